// Finds one text in another in linear time, whatever the two are.
#pragma once

#include <string_view>
#include <vector>

#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

/// The method of Knuth, Morris and Pratt for long texts, whose worst case with string_view::find is
/// quadratic.
class TextSearch {
 public:
  /// Keeps a view of `sub`.
  explicit TextSearch(std::string_view sub) : sub_(sub) {
    if (!is_long()) return;
    borders_.resize(sub.size());
    Index border = 0;
    for (Index i = 1; i < sub.size(); ++i) {
      while (border > 0 && sub[i] != sub[border]) border = borders_[border - 1];
      if (sub[i] == sub[border]) ++border;
      borders_[i] = border;
    }
  }
  bool is_long() const { return sub_.size() > 32; }

  /// Where it first occurs at or behind byte `from`; npos where it does not.
  Index find(std::string_view text, Index from = 0) const {
    if (!is_long()) return text.find(sub_, from);
    Index matched = 0;
    for (Index i = from; i < text.size(); ++i) {
      while (matched > 0 && text[i] != sub_[matched]) matched = borders_[matched - 1];
      if (text[i] == sub_[matched]) ++matched;
      if (matched == sub_.size()) return i + 1 - matched;
    }
    return text.npos;
  }
  Index find_last(std::string_view text) const {
    if (!is_long()) return text.rfind(sub_);
    Index last = text.npos;
    for (Index at = find(text); at != text.npos; at = find(text, at + 1)) last = at;
    return last;
  }

 private:
  std::string_view sub_;
  std::vector<Index> borders_;  // of each beginning: the longest that is also its end
};

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
