// What an encoder gives for a row: the token's own hidden row, or one of its whole sequence.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "merit/backend/operations.hpp"
#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Which hidden row stands for a sequence: that of the token that is read, of its first token ([CLS]), or the mean of
/// all of them.
enum class Pooling : std::uint8_t { token, first, mean };
template <>
inline constexpr std::array<std::string_view, 3> enum_names<Pooling>{"token", "first", "mean"};

namespace detail {

/// The tokens whose hidden rows the last layer has to give for a forest's rows; empty: all tokens. A sequence has one
/// pooled row.
template <class Forest>
auto pooled_tokens(Pooling pooling, const Forest& forest) {
  if (pooling != Pooling::token && forest.row_count() > forest.tree_count()) {
    throw UsageError(
        "an encoder with one row a sequence is read at several tokens, expected pooling = token, or a head of whole "
        "completions");
  }
  if (pooling == Pooling::token) return forest.rows;
  if (pooling == Pooling::first) return forest.row_roots;
  return decltype(forest.rows){};
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
