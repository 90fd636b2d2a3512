// Any bytes as a safetensors file: it is read, or refused with a merit::Error; and what is read of a good
// file is written back to the same numbers, and mapped to the same.
//   clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -I include tests/fuzz/safetensors_fuzz.cpp
//   ./a.out -max_len=8192 -malloc_limit_mb=2 CORPUS
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "file_of_bytes.hpp"
#include "merit/io/safetensors.hpp"

using namespace merit;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static merit_fuzz::FileOfBytes file("safetensors");
  file.set(bytes, size);
  try {
    const SafetensorsFile tensors(file.path());
    for (const TensorInfo& tensor : tensors.tensors()) {
      if (tensor.end > size || tensor.begin > tensor.end) std::abort();
      if (!tensor.dtype) continue;
      if (tensor.elements != (tensor.end - tensor.begin) / size_of(*tensor.dtype)) std::abort();
      std::vector<double> numbers(tensor.elements);
      tensors.read(tensor.name, VectorView<double>(numbers), NonFinite::allow);
      std::vector<std::byte> back(tensor.end - tensor.begin);
      detail::encode(*tensor.dtype, numbers.data(), back.data(), tensor.elements);
      std::vector<double> again(tensor.elements);
      detail::decode(*tensor.dtype, back.data(), again.data(), tensor.elements);
      for (Index i = 0; i < tensor.elements; ++i) {
        if (again[i] != numbers[i] && numbers[i] == numbers[i]) std::abort();
      }
      // The same where it is only mapped.
      if (detail::first_non_finite(numbers.data(), numbers.size()) < numbers.size()) continue;
      if (const auto stored = tensors.stored(tensor.name)) {
        visit_stored({stored->data, stored->dtype, 1, tensor.elements, tensor.elements}, [&](auto view) {
          for (Index i = 0; i < tensor.elements; ++i) {
            if (number<double>(view(0, i)) != numbers[i]) std::abort();
          }
        });
      }
    }
  } catch (const Error&) {
  }
  return 0;
}
