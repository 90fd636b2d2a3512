// What a held-out set shares with what was trained on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <variant>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/hash.hpp"
#include "merit/core/view.hpp"
#include "merit/forest/example.hpp"
#include "merit/run/any_model.hpp"

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

}  // namespace detail

/// Compares two sets by their tokens or features.
inline Overlap overlap_of(const Examples& trained, const Examples& held_out) {
  std::unordered_set<std::uint64_t> prompts, wholes;
  const auto each = [](const Examples& set, const auto& do_with) {
    std::visit(
        [&](const auto& examples) {
          for (const auto& example : examples) do_with(detail::keys_of(example));
        },
        set);
  };
  each(trained, [&](const detail::ExampleKeys& keys) {
    prompts.insert(keys.prompt);
    wholes.insert(keys.whole);
  });
  Overlap overlap;
  each(held_out, [&](const detail::ExampleKeys& keys) {
    ++overlap.records;
    overlap.prompts += prompts.contains(keys.prompt) ? 1 : 0;
    overlap.same += wholes.contains(keys.whole) ? 1 : 0;
  });
  return overlap;
}

}  // namespace MERIT_ABI
}  // namespace merit
