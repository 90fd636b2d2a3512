// What became of the records of a file: kept, cut, dropped and why.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// What became of the records. `records` is the sum of kept and the six kinds of dropped.
struct DataCounts {
  Index records = 0;            // read
  Index kept = 0;               // given out, cut ones among them
  Index dropped_over_long = 0;  // too long and not to be cut
  Index dropped_equal = 0;      // all completions the same, from the first or after cutting
  Index dropped_empty =
      0;                 // a completion without a token from the first; a rollout of one token in all, which
                         // has no state
  Index cut_left = 0;    // kept, at least one side cut by policy cut_left
  Index cut_right = 0;   // … by policy cut_right or longest_first
  Index cut_prompt = 0;  // … by policy keep_completion
  Index tokens = 0;      // of all kept sequences
  Index longest = 0;     // tokens of the longest sequence read, before any cut

  Index dropped_single = 0;      // a ranking of one completion
  Index dropped_unlabelled = 0;  // no step has a label, from the first or of those left by a cut
  Index equal_completions = 0;   // in kept rankings: equal to one before it, which is no reason to drop it
  Index all_tied = 0;  // kept pairs, rankings and ratings in which no completion is better than another

  // Steps, and states of rollouts, whose labels are their returns. labels + labels_lost is what the files gave and
  // the policies for labels left.
  Index labels = 0;                // of steps and states in kept sequences
  Index labels_lost = 0;           // of those cut off, and of dropped records
  Index unlabelled = 0;            // steps in kept sequences without a label
  Index steps_cut = 0;             // of kept sequences: steps that lost tokens to a cut, wholly or in part
  Index steps_with_separator = 0;  // of kept records: steps that their own text would be cut into more

  // Of the records kept.
  Index kept_equal = 0;         // all completions the same, kept to be counted in a figure
  Index cut_left_together = 0;  // cut by policy cut_left_together
  Index sharing_lost = 0;       // cut by cut_left with several completions, which share no prompt any more

  Index dropped_cut = 0;  // of a completion, or of its steps or states, nothing is left after the cut

  /// Name and value of each, for logs.
  std::array<std::pair<std::string_view, Index>, 23> items() const {
    return {{{"records", records},
             {"kept", kept},
             {"dropped_over_long", dropped_over_long},
             {"dropped_equal", dropped_equal},
             {"dropped_empty", dropped_empty},
             {"cut_left", cut_left},
             {"cut_right", cut_right},
             {"cut_prompt", cut_prompt},
             {"tokens", tokens},
             {"longest", longest},
             {"dropped_single", dropped_single},
             {"dropped_unlabelled", dropped_unlabelled},
             {"equal_completions", equal_completions},
             {"all_tied", all_tied},
             {"labels", labels},
             {"labels_lost", labels_lost},
             {"unlabelled", unlabelled},
             {"steps_cut", steps_cut},
             {"steps_with_separator", steps_with_separator},
             {"kept_equal", kept_equal},
             {"cut_left_together", cut_left_together},
             {"sharing_lost", sharing_lost},
             {"dropped_cut", dropped_cut}}};
  }

  /// One plain sentence. What did not happen is left out. `unread` records more could not be read, and are no part of
  /// the counts.
  std::string sentence(Index unread = 0) const {
    const Index all = records + unread;
    std::string text = concat("Of ", all, all == 1 ? " record, " : " records, ", kept,
                              kept == 1 ? " was kept" : " were kept");
    const auto add = [&](Index count, std::string_view what) {
      if (count != 0) text += concat(", ", count, ' ', what);
    };
    add(cut_left + cut_left_together, "of them cut on the left");
    add(sharing_lost, "of them cut each completion by itself, so that they share no prompt");
    add(cut_right, "of them cut on the right");
    add(cut_prompt, "of them with the head of the prompt cut");
    add(kept_equal, "of them with equal completions");
    add(all_tied, "of them with all completions tied");
    add(dropped_over_long, "dropped as too long");
    add(dropped_equal, "dropped as both sides were equal");
    add(dropped_empty, "dropped as a completion had no tokens");
    add(dropped_cut, "dropped as nothing was left of a completion after the cut");
    add(dropped_single, "dropped as rankings of one completion");
    add(dropped_unlabelled, "dropped as no step had a label");
    add(unread, "left out as they could not be read");
    if (equal_completions != 0) {
      text += concat("; ", equal_completions, equal_completions == 1 ? " completion" : " completions",
                     " equal to another of the same ranking");
    }
    const bool labelled = labels + labels_lost + unlabelled != 0;  // else steps that are scored alone
    if (labelled) {
      text +=
          concat("; ", labels, labels == 1 ? " step or state has a label" : " steps or states have a label");
      add(unlabelled, "have none");
      add(labels_lost, labels_lost == 1 ? "label was lost by cutting or dropping"
                                        : "labels were lost by cutting or dropping");
    }
    const auto add_steps = [&](Index count, std::string_view one, std::string_view several) {
      if (count != 0) text += concat(labelled ? ", " : "; ", count, ' ', count == 1 ? one : several);
    };
    add_steps(steps_cut, "step lost tokens by cutting", "steps lost tokens by cutting");
    add_steps(steps_with_separator, "step holds the separator inside", "steps hold the separator inside");
    return text + concat("; the longest sequence had ", longest, longest == 1 ? " token." : " tokens.");
  }

  /// Counts of two parts together.
  DataCounts& operator+=(const DataCounts& other) {
    records += other.records;
    kept += other.kept;
    dropped_over_long += other.dropped_over_long;
    dropped_equal += other.dropped_equal;
    dropped_empty += other.dropped_empty;
    dropped_cut += other.dropped_cut;
    cut_left += other.cut_left;
    cut_left_together += other.cut_left_together;
    sharing_lost += other.sharing_lost;
    cut_right += other.cut_right;
    cut_prompt += other.cut_prompt;
    tokens += other.tokens;
    longest = std::max(longest, other.longest);
    dropped_single += other.dropped_single;
    dropped_unlabelled += other.dropped_unlabelled;
    equal_completions += other.equal_completions;
    kept_equal += other.kept_equal;
    all_tied += other.all_tied;
    labels += other.labels;
    labels_lost += other.labels_lost;
    unlabelled += other.unlabelled;
    steps_cut += other.steps_cut;
    steps_with_separator += other.steps_with_separator;
    return *this;
  }

  bool operator==(const DataCounts&) const = default;
};

/// Why one record was dropped, told by what it was counted as: by the counts before and after it.
inline std::string_view reason_since(const DataCounts& before, const DataCounts& after) {
  if (after.dropped_over_long != before.dropped_over_long) return "too long";
  if (after.dropped_equal != before.dropped_equal) return "all completions are equal";
  if (after.dropped_single != before.dropped_single) return "there is one completion alone";
  if (after.dropped_unlabelled != before.dropped_unlabelled) return "no labelled step is left";
  if (after.dropped_cut != before.dropped_cut) return "nothing is left after the cut";
  return "no tokens in a completion";
}

}  // namespace MERIT_ABI
}  // namespace merit
