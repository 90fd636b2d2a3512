// A consumer that also reads JSON: needs merit::io.
#include <iostream>
#include <nlohmann/json.hpp>

#include "merit/core/version.hpp"

int main() {
  std::cout << nlohmann::json{{"merit", MERIT_VERSION}} << '\n';
  return 0;
}
