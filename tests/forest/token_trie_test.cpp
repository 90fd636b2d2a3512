// A trie whose nodes have thousands of children: the answers to one prompt.
#include "merit/forest/token_trie.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <span>
#include <vector>

#include "merit/core/rng.hpp"

namespace token_trie_test {

using merit::Index;
using merit::Rng;
using merit::Token;
using merit::detail::TokenTrie;
using merit::detail::TrieNode;

/// The tokens that lead to a node and those that it holds.
std::vector<Token> path_to(const TokenTrie& trie, std::uint32_t node) {
  std::vector<Token> reversed;
  for (; node != TrieNode::none; node = trie[node].parent) {
    for (Index i = trie[node].count; i-- > 0;) reversed.push_back(trie[node].tokens[i]);
  }
  return {reversed.rbegin(), reversed.rend()};
}

TEST_CASE("children are found among thousands, also where their parent is cut afterwards") {
  Rng rng(11);
  TokenTrie trie;
  for (int round = 0; round < 20; ++round) {
    std::vector<std::vector<Token>> sequences;
    const Index vocabulary = round % 2 == 0 ? 2000 : 40;
    for (int i = 0; i < 1000; ++i) {
      // Most go on after a common run, others leave it on the way.
      std::vector<Token>& sequence = sequences.emplace_back(std::vector<Token>{1, 2, 3, 4, 5});
      if (i > 500 && rng.below(20) == 0) sequence.resize(1 + rng.below(4));
      for (Index k = 1 + rng.below(3); k > 0; --k)
        sequence.push_back(static_cast<Token>(rng.below(vocabulary)));
    }
    trie.clear();  // what was indexed before is forgotten
    std::set<std::vector<Token>> prefixes;
    for (const std::vector<Token>& sequence : sequences) {
      trie.insert(sequence);
      for (Index n = 1; n <= sequence.size(); ++n)
        prefixes.emplace(sequence.begin(), sequence.begin() + static_cast<std::ptrdiff_t>(n));
    }
    REQUIRE(trie.token_count() == prefixes.size());
    for (const std::vector<Token>& sequence : sequences) {
      std::uint32_t node = TrieNode::none;
      for (Index depth = 0; depth < sequence.size(); depth += trie[node].count) {
        const std::uint32_t child = trie.find_child(node, sequence[depth]);
        REQUIRE(child != TrieNode::none);
        REQUIRE(trie[child].parent == node);
        node = child;
      }
      const std::vector<Token> path = path_to(trie, node);
      REQUIRE(path.size() >= sequence.size());
      REQUIRE(std::equal(sequence.begin(), sequence.end(), path.begin()));
    }
    CHECK(trie.find_child(TrieNode::none, 99999) == TrieNode::none);
  }
}

}  // namespace token_trie_test
