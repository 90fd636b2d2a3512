// Files of weights made by hand, and all numbers of a tensor in one.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/rng.hpp"
#include "merit/core/view.hpp"
#include "merit/io/safetensors.hpp"

namespace merit_test {

using namespace merit;

/// The bytes of a number.
template <class T>
std::string bytes_of(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

/// A file from a header and data, with the length as it should be.
inline std::string file_of(std::string_view header, std::string_view data) {
  return bytes_of(std::uint64_t{header.size()}) + std::string(header) + std::string(data);
}

/// A file of one tensor "x".
inline std::string file_of_x(std::string_view dtype, std::string_view shape, std::string_view offsets,
                             std::string_view data) {
  return file_of(
      concat(R"({"x":{"dtype":)", dtype, R"(,"shape":)", shape, R"(,"data_offsets":)", offsets, "}}"), data);
}

inline std::vector<double> random_numbers(Index count, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<double> numbers(count);
  for (double& number : numbers) number = rng.normal();
  return numbers;
}

template <class T>
std::vector<T> read_all(const auto& file, std::string_view name, NonFinite non_finite = NonFinite::reject) {
  std::vector<T> numbers(file.at(name).elements);
  file.read(name, VectorView<T>(numbers), non_finite);
  return numbers;
}
}  // namespace merit_test
