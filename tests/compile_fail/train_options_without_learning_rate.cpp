// expect: learning_rate
// It is the schedule's: .schedule = {.peak = 1e-4}.
#include "merit/train/train_options.hpp"

merit::TrainOptions options{.learning_rate = 1e-4};
