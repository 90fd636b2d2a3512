// compiles
// The positive control: if this file fails, the flags are wrong and the failures of the others mean nothing.
#include "merit/core/rng.hpp"
#include "merit/core/version.hpp"

static_assert(merit::Rng(1).seed() == 1);
