// What the tests of this room share: sequences packed into a forest with a row at each one's last token.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "merit/forest/forest.hpp"

namespace merit_test {

/// One group: the sequences share their tokens as far as they agree, where the builder shares.
class Packed {
 public:
  explicit Packed(const std::vector<std::vector<merit::Token>>& sequences,
                  merit::ForestBuilder builder = merit::ForestBuilder())
      : builder_(std::move(builder)) {
    const std::vector<std::span<const merit::Token>> spans(sequences.begin(), sequences.end());
    const merit::Index group = builder_.add_tree(spans);
    std::vector<std::uint32_t> last;
    for (merit::Index s = 0; s < sequences.size(); ++s) {
      last.push_back(builder_.index(group, s, sequences[s].size() - 1));
      builder_.want_row(last.back());
    }
    builder_.finish();
    for (const std::uint32_t token : last) rows_.push_back(builder_.row_of(token));
    view_ = builder_.view();
  }
  Packed(const Packed&) = delete;
  Packed& operator=(const Packed&) = delete;

  const merit::ForestView<>& view() const { return view_; }
  std::uint32_t row(merit::Index sequence) const { return rows_[sequence]; }

 private:
  merit::ForestBuilder builder_;
  merit::ForestView<> view_;
  std::vector<std::uint32_t> rows_;
};

}  // namespace merit_test
