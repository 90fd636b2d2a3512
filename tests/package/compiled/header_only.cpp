// The unit that does not know of the library.
#ifdef MERIT_COMPILED
#error "this unit must be compiled without MERIT_COMPILED"
#endif
#include "../product.hpp"

float product_header_only() {
  return product();
}
