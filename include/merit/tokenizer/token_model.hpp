// What turns one piece of text into tokens: the interface of BPE, Unigram, WordPiece and WordLevel.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/tokenizer/vocabulary.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// A token of a piece and the bytes [begin, end) of the piece that it stands for.
struct Unit {
  Token id = 0;
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
};

class TokenModel {
 public:
  explicit TokenModel(Vocabulary pieces) : vocabulary(std::move(pieces)) {}
  virtual ~TokenModel() = default;
  /// Appends the tokens of `piece`, which is not empty.
  virtual void encode(std::string_view piece, std::vector<Unit>& out) const = 0;

  const Vocabulary vocabulary;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
