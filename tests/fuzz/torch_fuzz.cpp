// Any bytes as a file of torch.save: its tensors are read, or it is refused with a merit::Error, and costs no more
// memory than a multiple of its size.
//   clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -I include tests/fuzz/torch_fuzz.cpp
//   ./a.out -max_len=8192 -malloc_limit_mb=4 CORPUS tests/golden/torch
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "file_of_bytes.hpp"
#include "merit/io/torch_file.hpp"

using namespace merit;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static merit_fuzz::FileOfBytes file("torch");
  file.set(bytes, size);
  try {
    const TorchFile torch(file.path());
    for (const TensorInfo& tensor : torch.tensors()) {
      if (tensor.end > size || tensor.begin > tensor.end) std::abort();
      if (!tensor.dtype || tensor.elements > size) continue;  // one number may be repeated
      std::vector<double> numbers(tensor.elements);
      torch.read(tensor.name, VectorView<double>(numbers), NonFinite::allow);
      if (detail::first_non_finite(numbers.data(), numbers.size()) < numbers.size()) continue;
      if (const auto stored = torch.stored(tensor.name)) {  // the same where it is only mapped
        std::vector<double> again(tensor.elements);
        detail::copy_numbers(stored->dtype, static_cast<const std::byte*>(stored->data), again.size(),
                             again.data());
        if (again != numbers) std::abort();
      }
    }
  } catch (const Error&) {
  }
  return 0;
}
