// The options of how a model's scores are read: as its card says, and as the command line says otherwise.
#pragma once

#include <cmath>
#include <initializer_list>
#include <optional>
#include <string>

#include "merit/run/reading.hpp"
#include "merit/run/saved_model.hpp"
#include "options.hpp"

namespace programs {

struct ReadingFlags {
  std::string aggregation, neutral = "good";
  merit::Index last = 4;
  std::optional<double> threshold;
  bool normalised = false;
};

/// `threshold` says what the program takes it for beside none_below.
inline void declare(CommandLine& line, ReadingFlags& flags, const std::string& threshold) {
  line.flag("--normalised", flags.normalised,
            "scores by the calibration of the model's card, or by its reward mean and deviation; of a "
            "model that compares, a pair's calibration is the probability that its first side is better");
  line.text("--aggregation", flags.aggregation, "NAME",
            "how tokens, steps or states become one: mean, minimum, product (of logarithms), last, "
            "mean_of_last, weighted, none_below; empty: as the card says");
  line.number("--last", flags.last, "how many the mean_of_last takes");
  line.number("--threshold", flags.threshold, "of none_below" + threshold, is_number<double>);
  line.text("--neutral", flags.neutral, "NAME", "what neutral steps count as: good or bad");
}

/// Throws ConfigError for a name or number that is none, and for an option of rows given to a model that scores
/// completions as a whole; `of_rows` are further ones.
inline merit::Reading reading_of(const ReadingFlags& flags, const merit::SavedModel& saved,
                                 const CommandLine& line, std::initializer_list<const char*> of_rows = {}) {
  const merit::ScoreMeaning meaning = merit::meaning_of(saved.head);
  merit::Reading reading = merit::reading_of(saved.about, meaning, flags.normalised);
  if (!flags.aggregation.empty()) reading.aggregation = merit::aggregation_from_name(flags.aggregation);
  if (flags.neutral != "good" && flags.neutral != "bad") {
    throw merit::ConfigError("--neutral is \"" + flags.neutral + "\", expected good or bad");
  }
  reading.neutral_is_good = flags.neutral == "good";
  reading.options.last = flags.last;
  if (flags.threshold) {
    const double threshold = *flags.threshold;
    const bool of_values = meaning == merit::ScoreMeaning::per_state;  // all else is a probability
    if (!std::isfinite(threshold) || (!of_values && (threshold < 0 || threshold > 1))) {
      throw merit::ConfigError(merit::concat("--threshold is ", threshold, ", expected ",
                                             of_values ? "a number" : "a probability from 0 to 1"));
    }
    reading.options.threshold = threshold;
  }
  if (reading.has_rows()) return reading;
  const auto refuse = [&](const char* option) {
    if (!line.given(option)) return;
    throw merit::ConfigError(std::string(option) +
                             " is given, but the model scores completions as a whole: there are no tokens, "
                             "steps or states to aggregate or show");
  };
  for (const char* option : {"--aggregation", "--last", "--neutral"}) refuse(option);
  for (const char* option : of_rows) refuse(option);
  return reading;
}

}  // namespace programs
