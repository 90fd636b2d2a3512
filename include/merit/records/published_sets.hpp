// Training sets as they are published: which layout a row has, and its records in our own fields.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/enum_names.hpp"
#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/record.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Sets whose fields are not ours. Others are read as they are: UltraFeedback binarized, Skywork-Reward-Preference,
/// hh-rlhf and TRL's own have `chosen` and `rejected`.
enum class PublishedSet : std::uint8_t {
  ultrafeedback,  // openbmb/UltraFeedback: instruction, completions[].response, .overall_score
  helpsteer,      // nvidia/HelpSteer and HelpSteer2: prompt, response and five ratings; rows of one prompt
                  // behind each other are one record
  helpsteer2_preference,  // nvidia/HelpSteer2, preference: prompt, response_1, response_2, preference_strength
  helpsteer3,             // nvidia/HelpSteer3: context, response1, response2, overall_preference
  prm800k,                // openai/prm800k, both phases: question.problem, label.steps[].completions[]
  math_shepherd,  // peiyi9979/Math-Shepherd: input with ки behind each step, label with + or − in its place
  arena,          // lmarena-ai and lmsys: conversation_a, conversation_b, winner
  arena_55k,  // lmsys/lmsys-arena-human-preference-55k: prompt, response_a, response_b, each a JSON list written as
              // text, and winner_model_a, winner_model_b, winner_tie
  orca_pairs,     // Intel/orca_dpo_pairs: system, question (or input), chosen, rejected
  nectar,         // berkeley-nest/Nectar: prompt, answers[].answer, .rank from 1
  pku_safe_rlhf,  // PKU-Alignment/PKU-SafeRLHF: prompt, response_0, response_1, better_response_id
  shp,            // stanfordnlp/SHP: history, human_ref_A, human_ref_B, labels
  webgpt,         // openai/webgpt_comparisons: question.full_text, answer_0, answer_1, score_0, score_1
};

template <>
inline constexpr std::array<std::string_view, 13> enum_names<PublishedSet>{
    "ultrafeedback", "helpsteer",     "helpsteer2_preference",
    "helpsteer3",    "prm800k",       "math_shepherd",
    "arena",         "arena_55k",     "orca_pairs",
    "nectar",        "pku_safe_rlhf", "shp",
    "webgpt"};

/// The set of which `row` has the fields; nothing for a record in our own, or for neither. Throws DataError where the
/// fields are those of several sets.
std::optional<PublishedSet> detect_published_set(const OrderedJson& row, const SourcePosition& at);

/// A sentence about a row that has some of the fields of a set and not others; empty where there is none.
std::string partly_published(const OrderedJson& row);

/// Rows of one set to records. A row may give several (each labelled step of PRM800K that was not gone on from), one,
/// none with a reason, or one together with the next row.
class PublishedRows {
 public:
  /// `ratings` names which ratings count, of ultrafeedback and helpsteer; empty: the overall score, and all five.
  PublishedRows(PublishedSet set, std::vector<std::string> ratings)
      : set_(set), ratings_(std::move(ratings)) {}

  struct Record {
    OrderedJson object;
    SourcePosition at;
  };

  /// Takes a row. Throws DataError where it is not what the set's rows are.
  void add(const OrderedJson& row, const SourcePosition& at);
  /// No row will follow. Throws ConfigError where no row had one of the ratings.
  void end();
  /// The next record of the rows taken, if one is complete.
  std::optional<Record> next();

  PublishedSet set() const { return set_; }
  /// Rows that gave no record, by reason.
  const std::map<std::string, Index>& left_out() const { return left_out_; }
  /// Completions without a rating, of rows that gave a record of the others.
  Index unrated() const { return unrated_; }

 private:
  void give(OrderedJson object, const SourcePosition& at) { given_.push_back({std::move(object), at}); }
  void leave_out(const char* reason) { ++left_out_[reason]; }

  void add_ultrafeedback(const OrderedJson& row, const SourcePosition& at);
  void add_helpsteer(const OrderedJson& row, const SourcePosition& at);
  void add_strength(const OrderedJson& row, const SourcePosition& at, const char* prompt, const char* first,
                    const char* second, const char* strength);
  void add_prm800k(const OrderedJson& row, const SourcePosition& at);
  void add_math_shepherd(const OrderedJson& row, const SourcePosition& at);
  void add_arena(const OrderedJson& row, const SourcePosition& at);
  void add_arena_55k(const OrderedJson& row, const SourcePosition& at);
  /// Two conversations, of which the turns that both have are the prompt; false where they begin with another one.
  bool add_judged(const OrderedJson& a, const OrderedJson& b, const char* vote, const SourcePosition& at);
  void add_nectar(const OrderedJson& row, const SourcePosition& at);
  /// Two answers of which the first is the better one, neither, or the second: above, at and below 0.
  void add_pair(const OrderedJson& prompt, const OrderedJson& first, const OrderedJson& second,
                double first_by, OrderedJson extra, const SourcePosition& at);

  PublishedSet set_;
  std::vector<std::string> ratings_;
  std::deque<Record> given_;
  std::map<std::string, Index> left_out_;
  Index unrated_ = 0;
  std::set<std::string> ratings_there_;  // of ultrafeedback, where some are asked for
  std::string file_;                     // of the last row
  std::optional<Record> open_;           // of helpsteer: the rows of one prompt so far
};

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/records/published_sets_body.hpp"
#include "merit/records/published_steps_body.hpp"
#endif
