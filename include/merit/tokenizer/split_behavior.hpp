// What becomes of the delimiters where a text is cut.
#pragma once

#include <string>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/tokenizer/component.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// "a--b" cut at "-": removed gives a b; isolated a - - b; merged_with_previous a- - b; merged_with_next a -
/// -b; contiguous a -- b.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

inline SplitBehavior read_behavior(const Component& c, SplitBehavior otherwise) {
  if (!c.has("behavior")) return otherwise;
  const auto name = c.get<std::string>("behavior");
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  throw DataError(concat(c.where(), ": field \"behavior\": found ", quote(name),
                         ", expected Contiguous, Isolated, MergedWithNext, MergedWithPrevious or Removed"));
}

/// Takes the parts of a text in order, delimiters and what is between, and puts out pieces.
template <class Put>
class Splitter {
 public:
  Splitter(SplitBehavior behavior, const Put& put) : behavior_(behavior), put_(put) {}

  void part(Index begin, Index end, bool is_match) {
    switch (behavior_) {
      case SplitBehavior::removed:
        if (!is_match) put_(begin, end);
        return;
      case SplitBehavior::isolated: put_(begin, end); return;
      case SplitBehavior::contiguous:
        if (open_ && is_match == last_match_) {
          end_ = end;
        } else {
          begin_piece(begin, end);
        }
        break;
      case SplitBehavior::merged_with_previous:
        if (open_ && is_match && !last_match_) {
          end_ = end;
        } else {
          begin_piece(begin, end);
        }
        break;
      case SplitBehavior::merged_with_next:
        // A delimiter waits for what follows; another delimiter takes its place.
        if (open_ && last_match_ && !is_match) {
          end_ = end;
        } else {
          begin_piece(begin, end);
        }
        break;
    }
    last_match_ = is_match;
  }

  void finish() {
    if (open_) put_(begin_, end_);
    open_ = false;
  }

 private:
  void begin_piece(Index begin, Index end) {
    finish();
    begin_ = begin;
    end_ = end;
    open_ = true;
  }

  SplitBehavior behavior_;
  const Put& put_;
  Index begin_ = 0;
  Index end_ = 0;
  bool open_ = false;
  bool last_match_ = false;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
