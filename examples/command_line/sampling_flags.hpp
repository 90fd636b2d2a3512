// The options of how a language model chooses its next token.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>

#include "merit/core/error.hpp"
#include "merit/infer/sampling.hpp"
#include "options.hpp"

namespace programs {

/// Each setting of Sampling as an option; the help of each begins with `of`.
inline void declare(CommandLine& line, merit::Sampling& sampling, std::string_view of = {}) {
  merit::Sampling::fields([&](const auto& field) {
    line.number(field.command_line(), sampling.*field.member, merit::concat(of, field.meaning));
  });
}

/// Throws ConfigError for a value that none may have, and for what was given although nothing is drawn.
inline void check(const CommandLine& line, const merit::Sampling& sampling) {
  merit::Sampling::fields([&](const auto& field) {
    const auto value = sampling.*field.member;
    if (field.range.holds(static_cast<double>(value))) return;
    throw merit::ConfigError(merit::concat(field.command_line(), " is ", value, ", expected ",
                                           field.range.text(std::is_integral_v<decltype(value)>)));
  });
  for (const char* option : {"--top-k", "--top-p", "--min-p"}) {
    if (line.given(option) && sampling.temperature == 0)
      throw merit::ConfigError(std::string(option) +
                               " is given at a --temperature of 0, where nothing is drawn");
  }
}

}  // namespace programs
