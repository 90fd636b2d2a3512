// Tensors in the memory of their file: they outlive the object that gave them, and what lies between them takes no memory.
#include "merit/io/mapped_tensor.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "merit/io/file.hpp"
#include "resident.hpp"
#include "temporary.hpp"

namespace mapped_tensor_test {

using merit::Index;

TEST_CASE("what lies between the tensors of a file is given back, and they stay") {
  const merit_test::TemporaryDirectory directory;
  const Index size = Index{32} << 20, tensor = Index{1} << 20;
  const auto path = directory / "mapped_tensors";
  merit::write_file_atomically(path, std::string(size, '\2'));
  const auto refuse = [](Index, double) { FAIL("all numbers are finite"); };
  std::optional<merit::StoredTensor> first, last;
  Index whole = 0;
  {
    const merit::InputFile file(path);
    merit::detail::MappedTensors tensors;
    last = tensors.at(file, merit::Dtype::f32, size - tensor, tensor / 4, refuse);
    first = tensors.at(file, merit::Dtype::f32, 8, tensor / 4, refuse);
    CHECK_FALSE(tensors.at(file, merit::Dtype::f32, 3, 1, refuse));  // not aligned
    CHECK(tensors.at(file, merit::Dtype::f32, 8, 100, refuse));      // a part, which nobody keeps
    unsigned sum = 0;
    for (Index i = 0; i < size; i += 4096)
      sum += static_cast<unsigned>(static_cast<const std::byte*>(first->data)[i - (i > 8 ? 8 : 0)]);
    CHECK(sum == 2 * (size / 4096));
    whole = merit_test::resident_bytes("mapped_tensors");
    const merit::detail::MappedTensors moved(std::move(tensors));
  }
#if defined(__linux__)
  CHECK(whole > size / 4 * 3);
  CHECK(merit_test::resident_bytes("mapped_tensors") < size / 4);
#endif
  for (const auto& one : {first, last}) {
    const auto* const bytes = static_cast<const std::byte*>(one->data);
    for (Index i = 0; i < tensor; i += 1000) CHECK(bytes[i] == std::byte{2});
  }
}

}  // namespace mapped_tensor_test
