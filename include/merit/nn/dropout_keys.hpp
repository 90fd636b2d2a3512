// What dropout knows each token of a forest by: a function of the run's seed, the step, and the tokens from the root of its
// tree to it, of which there are as many as it is deep. So a token drops the same elements whichever completions share
// it, whatever else is in its batch, and wherever it lies there.
#pragma once

#include <cstdint>
#include <vector>

#include "merit/backend/dropout.hpp"
#include "merit/core/error.hpp"
#include "merit/forest/forest_view.hpp"
#include "merit/tape/tape.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Of which the keys of a step are made.
inline std::uint64_t dropout_root(std::uint64_t seed, std::uint64_t step) {
  return mixed(mixed(seed) + step);
}

/// `keys` becomes the keys of a forest's tokens, then those of its wanted rows.
inline void dropout_keys(const ForestView<HostSpace>& forest, std::uint64_t root,
                         std::vector<std::uint64_t>& keys) {
  keys.clear();
  keys.reserve(forest.token_count() + forest.row_count());
  std::vector<std::uint64_t> path(forest.depth);  // the keys of the tokens above, by depth
  for (Index t = 0; t < forest.token_count(); ++t) {
    const Index depth = forest.positions[t];
    const std::uint64_t above = depth == 0 ? root : path[depth - 1];
    path[depth] = mixed(above + (std::uint64_t{forest.tokens[t]} + 1) * 0x9E3779B97F4A7C15u);
    keys.push_back(path[depth]);
  }
  for (Index r = 0; r < forest.row_count(); ++r) keys.push_back(keys[forest.rows[r]]);
}

namespace detail {

/// The keys of x's rows: those that were set, or those of a forest's tokens or its wanted rows; empty where dropout is off.
template <class B>
typename Tape<B>::Keys keys_of_rows(const Tape<B>& tape, Var x) {
  const auto& keys = tape.dropout_keys();
  if (keys.tokens.empty()) return {};
  if (const auto own = tape.keys_of_rows(x); !own.empty()) return own;
  const Index rows = tape.rows(x);
  if (rows == keys.tokens.size) return keys.tokens;
  if (rows == keys.rows.size) return keys.rows;
  throw UsageError(concat("dropout: a map with an adapter reads ", rows, " rows, expected the ",
                          keys.tokens.size, " tokens of the forest or its ", keys.rows.size, " rows"));
}

}  // namespace detail

/// Gives the rows of a table that stand for no token, as DeBERTa's for distances, keys by their number: they drop the same
/// elements in every batch of a step, as the tokens do.
template <class B>
void set_keys_of_table(Tape<B>& tape, Var table) {
  const auto& keys = tape.dropout_keys();
  if (keys.tokens.empty()) return;
  constexpr std::uint64_t tables = 0x7461626C65u;  // tells them from tokens of the same number
  const std::uint64_t root = mixed(keys.root ^ tables);
  std::vector<std::uint64_t> host;
  for (Index row = 0; row < tape.rows(table); ++row)
    host.push_back(mixed(root + (static_cast<std::uint64_t>(row) + 1) * 0x9E3779B97F4A7C15u));
  const auto place = tape.template room<std::uint64_t>(host.size());
  B::from_host(tape.handle(), static_cast<const std::uint64_t*>(host.data()), place.data, host.size());
  B::wait(tape.handle());
  tape.set_keys_of_rows(table, {place.data, place.size});
}

}  // namespace MERIT_ABI
}  // namespace merit
