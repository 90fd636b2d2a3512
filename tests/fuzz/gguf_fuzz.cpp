// Any bytes as a GGUF file: it is read, or refused with a merit::Error, and costs no more memory than a small
// multiple of its size.
//   clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -I include tests/fuzz/gguf_fuzz.cpp
//   ./a.out -max_len=8192 -malloc_limit_mb=2 CORPUS tests/golden/gguf
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "file_of_bytes.hpp"
#include "merit/io/gguf.hpp"
#include "merit/model/gguf_weights.hpp"

using namespace merit;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static merit_fuzz::FileOfBytes file("gguf");
  file.set(bytes, size);
  try {
    const GgufFile gguf(file.path());
    for (const GgufTensor& tensor : gguf.tensors()) {
      if (tensor.end > size || tensor.begin > tensor.end) std::abort();
      if (!tensor.type->dtype()) continue;
      // What a tensor takes is bounded by its bytes, of which none makes more than 4 numbers.
      if (tensor.elements > 4 * (tensor.end - tensor.begin)) std::abort();
      std::vector<float> numbers(tensor.elements);
      gguf.read(tensor.name, VectorView<float>(numbers), NonFinite::allow);
    }
    for (const auto& [key, value] : gguf.metadata()) detail::describe(value);
    const GgufWeights weights(file.path());
    for (const std::string& name : weights.names()) {
      const TensorInfo* info = weights.find(name);
      if (info == nullptr) std::abort();
      std::vector<double> numbers(info->elements);
      try {
        weights.read(name, VectorView<double>(numbers));
        if (const auto stored = weights.stored(name)) {  // the same where it is only mapped
          std::vector<double> again(info->elements);
          detail::copy_numbers(stored->dtype, static_cast<const std::byte*>(stored->data), again.size(),
                               again.data());
          if (again != numbers) std::abort();
        }
      } catch (const DataError&) {  // a number that is not finite, a type that is not read
      }
    }
  } catch (const Error&) {
  }
  return 0;
}
