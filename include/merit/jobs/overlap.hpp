// What a held-out set shares with what was trained on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/hash.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/example.hpp"
#include "merit/run/any_model.hpp"
#include "merit/run/record_set.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// How many held-out records were seen in training: a figure of them says less.
struct Overlap {
  Index records = 0;  // that were held out
  Index prompts = 0;  // of them, with the prompt of a record that was trained on, the same records among them
  Index same = 0;     // of them, with the same prompt and answers as one

  /// Empty where there is none: "3 of 10 held-out records have a prompt that was trained on, 1 of them the same
  /// answers".
  std::string sentence() const {
    if (prompts == 0) return "";
    return concat(prompts, " of ", records, records == 1 ? " held-out record" : " held-out records",
                  prompts == 1 ? " has" : " have", " a prompt that was trained on, ", same,
                  same == 1 ? " of them is a record that was, too" : " of them are records that were, too",
                  ": the figures say less of what is new");
  }
};

namespace detail {

/// Numbers by which the prompt and the whole of an example are known. Without a prompt the two are one.
struct ExampleKeys {
  std::uint64_t prompt = 0;
  std::uint64_t whole = 0;
};

template <class T>
std::string_view bytes_of_numbers(const std::vector<T>& numbers, Index count) {
  return {reinterpret_cast<const char*>(numbers.data()), count * sizeof(T)};
}

template <class Example>
ExampleKeys keys_of(const Example& example) {
  std::string prompt, whole;
  for_each_sequence(example, [&](const Sequence& sequence) {
    if (prompt.empty()) prompt = bytes_of_numbers(sequence.tokens, sequence.completion_begin);
    whole += bytes_of_numbers(sequence.tokens, sequence.tokens.size());
    whole += bytes_of_numbers(sequence.features, sequence.features.size());
    whole += '|';
  });
  const std::uint64_t of_all = fnv1a(whole);
  return {prompt.empty() ? of_all : fnv1a(prompt), of_all};
}

/// `for_each_trained(f)` calls f(example) for each. Of those nothing is kept, as they may be more than memory holds.
template <class ForEachTrained>
Overlap overlap_with(const ForEachTrained& for_each_trained, const Examples& held_out) {
  std::unordered_map<std::uint64_t, bool> prompts,
      wholes;  // that are held out, and whether they were trained on
  std::vector<ExampleKeys> held_keys;
  std::visit(
      [&](const auto& list) {
        for (const auto& example : list) {
          held_keys.push_back(keys_of(example));
          prompts[held_keys.back().prompt] = wholes[held_keys.back().whole] = false;
        }
      },
      held_out);
  for_each_trained([&](const auto& example) {
    const ExampleKeys keys = keys_of(example);
    if (const auto found = prompts.find(keys.prompt); found != prompts.end()) found->second = true;
    if (const auto found = wholes.find(keys.whole); found != wholes.end()) found->second = true;
  });
  Overlap overlap{.records = held_keys.size()};
  for (const ExampleKeys& keys : held_keys) {
    overlap.prompts += prompts.at(keys.prompt) ? 1 : 0;
    overlap.same += wholes.at(keys.whole) ? 1 : 0;
  }
  return overlap;
}

}  // namespace detail

/// Compares two sets by their tokens or features.
inline Overlap overlap_of(const Examples& trained, const Examples& held_out) {
  return detail::overlap_with(
      [&](const auto& f) {
        std::visit(
            [&](const auto& list) {
              for (const auto& example : list) f(example);
            },
            trained);
      },
      held_out);
}
inline Overlap overlap_of(const RecordSet& trained, const Examples& held_out) {
  return detail::overlap_with([&](const auto& f) { for_each_example(trained, f); }, held_out);
}

}  // namespace MERIT_ABI
}  // namespace merit
