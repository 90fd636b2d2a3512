// budget: 6 s, 1500 MB
// The umbrella alone: what every unit of a user pays that includes it.
#include "merit/merit.hpp"
