// pytorch_model.bin, read without running what is in it.
#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "merit/io/torch_file.hpp"
#include "merit/io/weight_source.hpp"
#include "stored.hpp"
#include "temporary.hpp"

namespace torch_file_test {

using namespace merit;
using namespace merit_test;

std::filesystem::path golden(const std::string& name) {
  return stored("torch/" + name);
}

std::vector<double> numbers(const TorchFile& file, const char* name) {
  REQUIRE(file.find(name) != nullptr);
  std::vector<double> values(file.find(name)->elements);
  file.read(name, VectorView<double>(values), NonFinite::allow);
  return values;
}

TEST_CASE("a state dict is read in both forms, whatever its strides") {
  for (const char* name : {"state.bin", "before_1_6.bin"}) {
    CAPTURE(name);
    const TorchFile file(golden(name));
    const std::vector<double> base{-1, -0.5, 0, 0.5, 1, 1.5};
    CHECK(file.tensors().size() == 13);
    CHECK(file.tensors()[0].name == "plain");
    CHECK(file.find("plain")->shape == std::vector<Index>{2, 3});
    for (const char* same : {"plain", "tied", "half", "brain"}) CHECK(numbers(file, same) == base);
    CHECK(file.find("transposed")->shape == std::vector<Index>{3, 2});
    CHECK(numbers(file, "transposed") == std::vector<double>{-1, 0.5, -0.5, 1, 0, 1.5});
    CHECK(numbers(file, "part") == std::vector<double>{1, 1.5});
    CHECK(numbers(file, "repeated") == std::vector<double>{-1, -0.5, 0, -1, -0.5, 0});
    CHECK(numbers(file, "parameter") == std::vector<double>{-2, -1, 0, 1, 2, 3});
    CHECK(numbers(file, "double")[5] == 0.5);
    CHECK(numbers(file, "scalar") == std::vector<double>{2.5});
    CHECK(file.find("scalar")->shape.empty());
    CHECK(numbers(file, "empty").empty());
    CHECK(file.find("brain")->dtype == Dtype::bf16);
    CHECK(file.find("integers")->dtype_name == "I64");
    std::vector<float> three(3), two(2);
    CHECK(contains(error_of<DataError>([&] { file.read("integers", VectorView<float>(three)); }),
                   "tensor \"integers\": has the type I64, expected one of F64, F32, F16, BF16"));
    CHECK_THROWS_AS(file.read("plain", VectorView<float>(two)), UsageError);
    CHECK_THROWS_AS(file.read("none", VectorView<float>(two)), DataError);
    // The file's own memory, where that has the numbers in order.
    CHECK_FALSE(file.stored("transposed"));
    CHECK_FALSE(file.stored("integers"));
    CHECK_FALSE(file.stored("empty"));
    if (const auto mapped = file.stored("plain")) {
      CHECK(static_cast<const float*>(mapped->data)[5] == 1.5f);
    } else {
      CHECK(name != std::string("state.bin"));  // in which all is aligned
    }
  }
}

TEST_CASE("what is no plain tensor is refused by name, and nothing is run") {
  const auto refused = [](const char* name) {
    return error_of<DataError>([&] { TorchFile file(golden(name)); });
  };
  CHECK(contains(refused("runs.bin"),
                 "names \"__builtin__.print\", which is not read: expected a dict of plain tensors"));
  CHECK(contains(refused("wrapped.bin"), "tensor \"model\": found a dict of 1, expected a plain tensor"));
  CHECK(contains(refused("sparse.bin"), "names \"torch._utils._rebuild_sparse_tensor\""));
  const TorchFile file(golden("nan.bin"));
  std::vector<float> values(6);
  CHECK(contains(error_of<DataError>([&] { file.read("plain", VectorView<float>(values)); }),
                 "tensor \"plain\": element 0 is "));
  CHECK_THROWS_AS(file.stored("plain"), DataError);
}

/// The file with some bytes of it replaced, opened.
std::string error_with(const std::string& bytes) {
  const TemporaryDirectory directory;
  write_file_atomically(directory / "m.bin", bytes);
  return error_of<DataError>([&] { TorchFile file(directory / "m.bin"); });
}
std::string replaced(std::string bytes, const std::string& from, const std::string& to) {
  const auto at = bytes.find(from);
  REQUIRE(at != bytes.npos);
  return bytes.replace(at, from.size(), to);
}

TEST_CASE("files that are cut, or do not agree with themselves, are refused") {
  const std::string bytes = read_file(golden("state.bin")), old = read_file(golden("before_1_6.bin"));
  for (const Index size : {Index{0}, Index{3}, Index{100}, bytes.size() / 2, bytes.size() - 1})
    CHECK(!error_with(bytes.substr(0, size)).empty());
  for (const Index size : {Index{15}, Index{40}, Index{600}, old.size() - 1})
    CHECK(!error_with(old.substr(0, size)).empty());
  CHECK(contains(error_with("GGUF"),
                 "not a file of torch.save: it begins with \"GGUF\", expected a zip archive"));
  CHECK(contains(error_with(replaced(bytes, "little", "bigend")),
                 "its byte order is \"bigend\", expected \"little\""));
  CHECK(contains(error_with(replaced(old, "q\x02\x88", "q\x02\x89")),
                 "its byte order is big, expected little"));
  // The first strides and the first offset of the dict: (2, 3) with (3, 1) from 0.
  const std::string shape = "K\x02K\x03\x86", strides = "K\x03K\x01\x86";
  CHECK(contains(
      error_with(replaced(bytes, strides, "K\x04K\x01\x86")),
      "tensor \"plain\": the shape [2, 3] with the strides [4, 1] from element 0 on does not lie in its "
      "storage of 6 numbers"));
  CHECK(contains(
      error_with(replaced(bytes, "K\x04K\x01K\x02\x86", "K\x05K\x01K\x02\x86")),
      "tensor \"part\": the shape [1, 2] with the strides [3, 1] from element 5 on does not lie in its"));
  // Strides whose sum of (2 − 1) · 2^63−1 and (3 − 1) · 2^62 wraps round to a small one.
  const std::string most(7, '\xFF'), zeros(7, '\0');
  CHECK(contains(error_with(replaced(old, strides, "\x8a\x08" + most + "\x7F\x8a\x08" + zeros + "\x40\x86")),
                 "does not lie in its storage"));
  CHECK(contains(error_with(replaced(bytes, shape, "K\x02K\x04\x86")), "does not lie in its storage"));
  CHECK(contains(error_with(replaced(bytes, "FloatStorage\n", "ShortStorage\n")),
                 "tensor \"plain\": its storage \"0\" has 24 bytes, expected 6 numbers of 2 bytes"));
  const auto key = bytes.rfind("state/data/0");  // in the list at the end
  CHECK(
      contains(error_with(std::string(bytes).replace(key, 12, "state/data/x")), "there is no storage \"0\""));
  CHECK(contains(error_with(replaced(bytes, "_rebuild_tensor_v2", "_rebuild_tensor_v9")),
                 "names \"torch._utils._rebuild_tensor_v9\""));
  CHECK(contains(error_with(replaced(bytes, std::string("\x80\x02", 2), std::string("\x80\x04", 2))),
                 "is of protocol 4, expected 2"));
  // A method of compression in the list at the end.
  const auto list = bytes.find("PK\1\2");
  std::string packed = bytes;
  packed[list + 10] = 8;
  CHECK(contains(error_with(packed), "is compressed, expected it stored"));
}

TEST_CASE("no byte of a file, changed, makes more than an error of merit") {
  const TemporaryDirectory directory;
  for (const char* name : {"state.bin", "before_1_6.bin"}) {
    const std::string bytes = read_file(golden(name));
    Index refused = 0;
    for (Index at = 0; at < bytes.size(); at += 3) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ (at % 2 == 0 ? 0x10 : 0xFF));
      put(directory / "m.bin", changed);
      try {
        const TorchFile file(directory / "m.bin");
        for (const TensorInfo& tensor : file.tensors()) {
          if (!tensor.dtype || tensor.elements > 100) continue;
          std::vector<float> values(tensor.elements);
          file.read(tensor.name, VectorView<float>(values), NonFinite::allow);
        }
      } catch (const Error&) {
        ++refused;
      }
    }
    CHECK(refused > 50);
  }
}

TEST_CASE("shards are read by their index, and safetensors come first") {
  const TemporaryDirectory directory;
  std::filesystem::copy(golden("state.bin"), directory / "pytorch_model-00001-of-00002.bin");
  std::filesystem::copy(golden("nan.bin"), directory / "pytorch_model-00002-of-00002.bin");
  write_file_atomically(directory / "pytorch_model.bin.index.json",
                        R"({"weight_map": {"half": "pytorch_model-00001-of-00002.bin",
                            "plain": "pytorch_model-00002-of-00002.bin"}})");
  const TorchWeights weights(directory.path());
  CHECK(weights.names() == std::vector<std::string>{"half", "plain"});
  std::vector<float> values(6);
  weights.read("half", VectorView<float>(values));
  CHECK(values[5] == 1.5f);
  CHECK_THROWS_AS(weights.read("plain", VectorView<float>(values)), DataError);
  CHECK(weights.unindexed().size() == 12);
}

}  // namespace torch_file_test
