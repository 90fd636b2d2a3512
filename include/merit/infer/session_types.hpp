// What is said to a session and by it, whatever its model.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>

#include "merit/core/dtype.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/example.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A place in a session: some tokens behind those of another node. One that was made by nobody is the root, before which
/// there is nothing.
struct SessionNode {
  std::uint64_t session = 0;  // 0: the root
  std::uint32_t number = 0;
  std::uint32_t generation = 0;  // numbers are given again

  friend bool operator==(const SessionNode&, const SessionNode&) = default;
};

/// Tokens to be added behind a node.
struct SessionBranch {
  SessionNode node;
  std::span<const Token> tokens;
};

/// Whole sequences, and a beginning that all of them have, which is kept. It goes on from a node's path as far as they agree.
struct SessionFamily {
  SessionNode node;
  std::span<const Token> beginning;
  std::span<const Sequence* const> members;
};

/// How many tokens two sequences begin with alike.
inline Index common_length(std::span<const Token> a, std::span<const Token> b) {
  return static_cast<Index>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

/// How much a session keeps, and how.
struct SessionOptions {
  /// Bytes of keys and values at most; 0: no limit. What was not used for longest goes first, in whole subtrees, and is
  /// computed again where it is used again: nodes stay what they are.
  Index memory_limit = 0;
  /// BF16, F16 or Q8_0, on a backend in the host's memory, for a half or a quarter of the memory: what is read back is then
  /// rounded. Nothing: as they are computed, and scores are those of whole sequences.
  std::optional<Dtype> stored = {};
};

/// What a session has, and what it has done.
struct SessionCounts {
  Index nodes = 0;  // not released
  Index held = 0;   // tokens with keys and values
  Index most = 0;   // of them, by the limit of memory
  Index bytes = 0;  // of those keys and values
  Index reserved_bytes = 0;
  Index computed = 0;  // tokens that calls have computed
  Index reused = 0;    // tokens whose keys and values they have read in place of that, each once a call
  Index evicted = 0;   // tokens that have lost their keys and values to others
};

namespace detail {

/// A row of the last layer that is wanted: of a sequence of a step, at a position of it.
struct SessionRead {
  Index sequence, position;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
