// Pairs to write tests with.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "merit/records/record.hpp"
#include "shown_sequence.hpp"

namespace merit_test {

inline merit::PreferenceRecord text_record(std::optional<std::string> prompt, std::string chosen,
                                           std::string rejected) {
  merit::PreferenceRecord record;
  if (prompt) record.prompt = *prompt;
  record.chosen = std::move(chosen);
  record.rejected = std::move(rejected);
  record.source = {"here.jsonl", 3};
  return record;
}

}  // namespace merit_test
