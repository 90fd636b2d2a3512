// Made-up work for the benches: pairs of random tokens with the lengths asked for.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "merit/merit.hpp"

namespace bench {

using namespace merit;

/// Token 0 never occurs: it is what a padded batch is filled up with.
inline constexpr Token padding = 0;

inline std::vector<Token> random_tokens(Rng& rng, Index count, Index vocabulary) {
  std::vector<Token> tokens(count);
  for (Token& token : tokens) token = static_cast<Token>(1 + rng.below(vocabulary - 1));
  return tokens;
}

/// A whole number from `low` to `high`, short ones as likely as long ones by ratio (log-uniform), as texts
/// are.
inline Index random_length(Rng& rng, Index low, Index high) {
  const double span = std::log(static_cast<double>(high) / static_cast<double>(low));
  return static_cast<Index>(std::lround(static_cast<double>(low) * std::exp(span * rng.uniform())));
}

/// Two sequences that agree in their first `shared` tokens and in no prefix beyond.
inline PreferenceExample make_pair(Rng& rng, Index shared, Index chosen, Index rejected, Index vocabulary) {
  PreferenceExample pair;
  pair.chosen.tokens = random_tokens(rng, shared + chosen, vocabulary);
  pair.rejected.tokens = random_tokens(rng, shared + rejected, vocabulary);
  std::copy_n(pair.chosen.tokens.begin(), shared, pair.rejected.tokens.begin());
  pair.chosen.tokens[shared] = 1;
  pair.rejected.tokens[shared] = 2;
  pair.chosen.completion_begin = pair.rejected.completion_begin = shared;
  return pair;
}

/// Of each line of a file such as device/pairs.txt: the tokens of a prompt, of its chosen and of its rejected answer.
inline std::vector<std::array<Index, 3>> read_lengths(const std::string& file) {
  std::ifstream in(file);
  if (!in) throw IoError(concat(file, ": cannot be read"));
  std::vector<std::array<Index, 3>> lengths;
  Index number = 0;
  for (std::string text; std::getline(in, text);) {
    ++number;
    std::array<Index, 3> one{};
    if (text.starts_with('#')) continue;
    if (!(std::istringstream(text) >> one[0] >> one[1] >> one[2]))
      throw DataError(concat(file, ", line ", number, ": found \"", text, "\", expected three lengths"));
    lengths.push_back(one);
  }
  if (lengths.empty()) throw DataError(concat(file, ": found no line of lengths, expected at least one"));
  return lengths;
}

/// A pair of these lengths, cut where a side would have more tokens than `limit`.
inline PreferenceExample make_pair(Rng& rng, const std::array<Index, 3>& lengths, Index limit,
                                   Index vocabulary) {
  const auto [prompt, chosen, rejected] = lengths;
  const Index shared = std::min(prompt, limit - 1);
  return make_pair(rng, shared, std::min(chosen, limit - shared), std::min(rejected, limit - shared),
                   vocabulary);
}

/// A forest of pairs with the rows that a scalar head reads, or with the row of every token.
struct Batch {
  ForestBuilder builder;
  PairTargets targets;

  explicit Batch(std::span<const PreferenceExample> pairs, Sharing sharing = Sharing::yes,
                 bool every_row = false)
      : builder(sharing) {
    std::vector<std::array<std::uint32_t, 2>> last;
    for (const PreferenceExample& pair : pairs) {
      const std::array<std::span<const Token>, 2> sides{pair.chosen.tokens, pair.rejected.tokens};
      const Index group = builder.add_tree(sides);
      last.push_back(
          {builder.index(group, 0, sides[0].size() - 1), builder.index(group, 1, sides[1].size() - 1)});
      for (const std::uint32_t token : last.back()) builder.want_row(token);
    }
    for (std::uint32_t token = 0; every_row && token < builder.token_count(); ++token) {
      builder.want_row(token);
    }
    builder.finish();
    for (const auto& [chosen, rejected] : last) {
      targets.pairs.push_back({builder.row_of(chosen), builder.row_of(rejected)});
    }
  }
};

}  // namespace bench
