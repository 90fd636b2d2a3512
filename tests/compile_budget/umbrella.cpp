// budget: 6 x yardstick, 465 MB
// The umbrella alone: what every unit of a user pays that includes it.
#include "merit/merit.hpp"
