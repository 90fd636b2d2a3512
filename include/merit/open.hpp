// Open a reward model's folder and score text: merit::open(). Needs what merit::run brings: nlohmann_json,
// PCRE2, utf8proc.
#pragma once

#include "merit/core/error.hpp"
#include "merit/run/scorer.hpp"
