// budget: 5 x yardstick, 400 MB
// The umbrella alone: what every unit of a user pays that includes it.
#include "merit/merit.hpp"
