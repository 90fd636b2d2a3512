// Two units, of which one has the kernels in itself and one has them from the library, give the same product.
#include <exception>
#include <iostream>

#include "../product.hpp"

float product_header_only();

int main() try {
  const merit::InstructionSets sets = merit::instruction_set();
  std::cout << "used " << name_of(sets.used) << " of " << name_of(sets.available) << '\n';
  const float compiled = product(), header_only = product_header_only();
  std::cout << (compiled == 70 && header_only == 70 ? "the products agree\n" : "the products differ\n");
} catch (const std::exception& error) {
  std::cout << error.what() << '\n';
}
