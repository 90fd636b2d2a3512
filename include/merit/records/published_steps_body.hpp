// The bodies of published_sets.hpp, for solutions in steps: PRM800K and Math-Shepherd.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/records/published_sets.hpp"
#include "merit/records/published_sets_body.hpp"
#include "merit/records/record_fields.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE void PublishedRows::add_prm800k(const OrderedJson& row, const SourcePosition& at) {
  using detail::published_sets::member;
  const detail::Fields fields(row, at);
  const OrderedJson* problem = member(fields.need("question", "an object"), "problem");
  const OrderedJson* steps = member(fields.need("label", "an object"), "steps");
  if (problem == nullptr) fields.fail("question.problem", "no such field", "a string");
  if (steps == nullptr || !steps->is_array()) fields.fail("label.steps", "no list", "a list of steps");
  if (const OrderedJson* reason = member(row["label"], "finish_reason")) {
    if (*reason == "bad_problem") return leave_out("finish_reason bad_problem");
    if (*reason == "give_up") return leave_out("finish_reason give_up");
  }
  struct Step {
    OrderedJson text, label;
  };
  const auto step_of = [&](const OrderedJson& one, const std::string& where) {
    const OrderedJson* text = member(one, "text");
    if (text == nullptr || !text->is_string()) fields.fail(where + ".text", "no such text", "a string");
    const OrderedJson* rating = member(one, "rating");
    if (rating == nullptr) return Step{*text, nullptr};
    const auto label = whole_number(*rating);
    if (!label || *label < -1 || *label > 1)
      fields.fail(where + ".rating", detail::describe(*rating), "-1, 0 or 1");
    return Step{*text, *label};
  };
  std::vector<Step> path;
  const auto give_steps = [&](std::span<const Step> of, const Step* last) {
    OrderedJson texts = OrderedJson::array(), labels = OrderedJson::array();
    for (const Step& step : of) {
      texts.push_back(step.text);
      labels.push_back(last == nullptr ? step.label
                                       : OrderedJson(nullptr));  // labelled in a record of its own
    }
    if (last != nullptr) {
      texts.push_back(last->text);
      labels.push_back(last->label);
    }
    give({{"prompt", *problem}, {"completions", texts}, {"labels", labels}}, at);
  };
  for (Index i = 0; i < steps->size(); ++i) {
    const std::string where = concat("label.steps[", i, ']');
    const OrderedJson& step = (*steps)[i];
    const OrderedJson* completions = member(step, "completions");
    const OrderedJson* human = member(step, "human_completion");
    const OrderedJson* chosen = member(step, "chosen_completion");
    const Index count = completions != nullptr && completions->is_array() ? completions->size() : 0;
    Index taken = count;  // none of them
    if (chosen != nullptr) {
      const auto number = whole_number(*chosen);
      if (!number || *number < 0 || static_cast<Index>(*number) >= count) {
        fields.fail(where + ".chosen_completion", detail::describe(*chosen),
                    concat("the place of one of ", count, " completions, from 0"));
      }
      taken = static_cast<Index>(*number);
    } else if (human == nullptr && count != 0) {
      taken = 0;  // where the labellers stopped: the first is what they saw
    }
    for (Index k = 0; k < count; ++k) {
      if (k == taken) continue;
      const Step other = step_of((*completions)[k], concat(where, ".completions[", k, ']'));
      if (!other.label.is_null()) give_steps(path, &other);
    }
    if (taken < count) {
      path.push_back(step_of((*completions)[taken], concat(where, ".completions[", taken, ']')));
    } else if (human != nullptr) {
      path.push_back(step_of(*human, where + ".human_completion"));
    }
    if (chosen == nullptr && human == nullptr) break;
  }
  if (path.empty()) return leave_out("no step");
  give_steps(path, nullptr);
}

MERIT_INLINE void PublishedRows::add_math_shepherd(const OrderedJson& row, const SourcePosition& at) {
  namespace sets = detail::published_sets;
  const detail::Fields fields(row, at);
  const std::string input = fields.string_at(fields.need("input", "a string"), "input", false);
  const std::string label = fields.string_at(fields.need("label", "a string"), "label", false);
  const auto first = input.find("Step 1:");
  if (first == input.npos) return leave_out("no Step 1: in the input");
  OrderedJson steps = OrderedJson::array(), labels = OrderedJson::array();
  std::size_t begin = first;
  for (auto tag = input.find(sets::step_tag, first); tag != input.npos;
       tag = input.find(sets::step_tag, begin)) {
    // The label is the same text with one sign in the place of each tag.
    const std::size_t place = tag - steps.size() * (sets::step_tag.size() - 1);
    const char sign = place < label.size() ? label[place] : ' ';
    if (sign != '+' && sign != '-') {
      fields.fail("label", concat("no + or - in the place of tag ", steps.size() + 1, " of the input"),
                  "the input with one of them for each tag");
    }
    steps.push_back(sets::trimmed(std::string_view(input).substr(begin, tag - begin)));
    labels.push_back(sign == '+');
    begin = tag + sets::step_tag.size();
  }
  if (std::string rest = sets::trimmed(std::string_view(input).substr(begin));
      !rest.empty() && !steps.empty()) {
    steps.push_back(std::move(rest));
    labels.push_back(nullptr);  // a step that goes on without a tag has no label
  }
  if (steps.empty()) return leave_out("no tag behind a step");
  give({{"prompt", sets::trimmed(std::string_view(input).substr(0, first))},
        {"completions", steps},
        {"labels", labels}},
       at);
}

}  // namespace MERIT_ABI
}  // namespace merit
