// How scores are read, as the programs name it.
#pragma once

#include "any_model.hpp"
#include "merit/run/reading.hpp"

namespace programs {

using merit::completion_logit;
using merit::completion_probability;
using merit::completion_score;
using merit::logit_of_row;
using merit::Reading;
using merit::reading_of;
using merit::row_values;
using merit::shown_score;

}  // namespace programs
