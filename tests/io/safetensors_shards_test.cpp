// Weights in several files with an index, and files that change after they were opened.
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "merit/io/safetensors.hpp"
#include "merit/io/write_safetensors.hpp"
#include "safetensors_bytes.hpp"
#include "temporary.hpp"

namespace safetensors_shards_test {

using namespace merit;
using namespace merit_test;
namespace fs = std::filesystem;

TEST_CASE("a checkpoint is written as one file or as shards with an index, and reads the same") {
  TemporaryDirectory temporary;
  const std::vector<double> numbers = random_numbers(1000, 6);
  const std::vector<TensorSource> tensors = {{"z", {10}, numbers.data()},
                                             {"large", {100}, numbers.data()},
                                             {"a", {10}, numbers.data() + 5},
                                             {"b", {9}, numbers.data() + 7},
                                             {"c", {1}, numbers.data() + 8}};
  write_safetensors_directory(temporary.path(), tensors, {.dtype = Dtype::f32});
  CHECK(temporary.count() == 1);
  CHECK(SafetensorsDirectory(temporary.path()).path() == temporary / "model.safetensors");

  // 80 bytes a shard: z alone, large alone though it does not fit, a with b (76), c after that (80).
  write_safetensors_directory(temporary.path(), tensors, {.dtype = Dtype::f32, .max_shard_bytes = 80});
  CHECK(temporary.count() == 4);
  CHECK_FALSE(fs::exists(temporary / "model.safetensors"));
  CHECK(read_json(temporary / "model.safetensors.index.json") ==
        Json{{"metadata", {{"total_size", 4 * 130}}},
             {"weight_map",
              {{"z", "model-00001-of-00003.safetensors"},
               {"large", "model-00002-of-00003.safetensors"},
               {"a", "model-00003-of-00003.safetensors"},
               {"b", "model-00003-of-00003.safetensors"},
               {"c", "model-00003-of-00003.safetensors"}}}});
  {
    const SafetensorsDirectory directory(temporary.path());
    CHECK(directory.names() == std::vector<std::string>{"a", "b", "c", "large", "z"});
    CHECK(directory.unindexed().empty());
    CHECK(directory.skipped().empty());
    CHECK(directory.files().size() == 3);
    CHECK(directory.at("b").shape == std::vector<Index>{9});
    CHECK(directory.find("absent") == nullptr);
    for (const TensorSource& tensor : tensors) {
      const double* data = std::get<const double*>(tensor.data);
      const auto back = read_all<float>(directory, tensor.name);
      CHECK(back == std::vector<float>(data, data + back.size()));
    }
    CHECK(error_of<DataError>([&] { directory.at("absent"); }) ==
          (temporary / "model.safetensors.index.json").string() + ": there is no tensor \"absent\"");
  }

  write_safetensors_directory(temporary.path(), tensors, {}, "optimizer");
  CHECK(SafetensorsDirectory(temporary.path(), "optimizer").names().size() == 5);
  write_safetensors_directory(temporary.path(), tensors);  // in place of the shards
  CHECK(SafetensorsDirectory(temporary.path()).files().size() == 1);
  CHECK_FALSE(fs::exists(temporary / "model.safetensors.index.json"));
}

TEST_CASE("a tensor that a shard holds beside the index is reported") {
  TemporaryDirectory temporary;
  const std::vector<double> numbers = random_numbers(10, 7);
  write_safetensors(temporary / "s.safetensors",
                    std::vector<TensorSource>{{"a", {1}, numbers.data()}, {"b", {1}, numbers.data()}});
  write_json(temporary / "model.safetensors.index.json", {{"weight_map", {{"a", "s.safetensors"}}}});
  const SafetensorsDirectory directory(temporary.path());
  CHECK(directory.names() == std::vector<std::string>{"a"});
  CHECK(directory.unindexed() == std::vector<std::string>{"s.safetensors: b"});
}

TEST_CASE("malformed indexes and shards are errors that name the file and the cause") {
  TemporaryDirectory temporary;
  const std::string index = (temporary / "model.safetensors.index.json").string();
  CHECK(
      error_of<IoError>([&] { SafetensorsDirectory directory(temporary.path()); }) ==
      temporary.path().string() +
          ": neither model.safetensors nor model.safetensors.index.json is there, expected the weights under one "
          "of these names; it is empty");
  CHECK(contains(error_of<IoError>([&] { SafetensorsDirectory directory(temporary / "absent"); }), "absent"));

  const float number = 1;
  write_safetensors(temporary / "good.safetensors", std::vector<TensorSource>{{"x", {1}, &number}});
  put(temporary / "bad.safetensors", read_file(temporary / "good.safetensors").substr(0, 30));
  struct Case {
    std::string text;
    std::string cause;
    bool io = false;
  };
  const std::vector<Case> cases = {
      {"", "not valid JSON at column 1: "},
      {"{\"weight_map\":", "not valid JSON at column 15"},
      {"[]", "expected an object with the field \"weight_map\", found an empty array"},
      {"{}", "the field \"weight_map\" is missing"},
      {R"({"weight_map": null})", "the field \"weight_map\" is null"},
      {R"({"weight_map": []})", "expected an object, found an empty array"},
      {R"({"weight_map": {}})", "\"weight_map\" is empty"},
      {R"({"weight_map": {"x": 1}})", "field \"weight_map.x\": expected a string, found 1"},
      {R"({"weight_map": {"x": "good.safetensors", "x": "good.safetensors"}})", "the key \"x\" occurs twice"},
      {R"({"weight_map": {"x": "none.safetensors"}})", "the shard \"none.safetensors\" is missing", true},
      {R"({"weight_map": {"y": "good.safetensors"}})", "says that tensor \"y\" is in \"good.safetensors\""},
      {R"({"weight_map": {"x": "../good.safetensors"}})", "expected the name of a file beside it"},
      {R"({"weight_map": {"x": "/etc/passwd"}})", "expected the name of a file beside it"},
      {R"({"weight_map": {"x": ".."}})", "expected the name of a file beside it"},
      {R"({"weight_map": {"x": ""}})", "expected the name of a file beside it"},
  };
  for (const Case& test : cases) {
    CAPTURE(test.text);
    put(index, test.text);
    const auto open = [&] { SafetensorsDirectory directory(temporary.path()); };
    const std::string message = test.io ? error_of<IoError>(open) : error_of<DataError>(open);
    CHECK_MESSAGE(message.starts_with(index), message);
    CHECK_MESSAGE(contains(message, test.cause), message);
  }
  put(index, R"({"weight_map": {"x": "bad.safetensors"}})");
  CHECK(contains(error_of<DataError>([&] { SafetensorsDirectory directory(temporary.path()); }),
                 "bad.safetensors: truncated"));
  put(index, R"({"weight_map": {"x": "good.safetensors"}})");
  CHECK_NOTHROW(SafetensorsDirectory{temporary.path()});
}

TEST_CASE("a file cut short after it was opened is an error when read") {
  TemporaryDirectory temporary;
  const std::vector<double> numbers = random_numbers(100, 8);
  write_safetensors(temporary / "x", std::vector<TensorSource>{{"w", {100}, numbers.data()}});
  const SafetensorsFile file(temporary / "x");
  fs::resize_file(temporary / "x", fs::file_size(temporary / "x") - 8);
  CHECK(contains(error_of<IoError>([&] { read_all<double>(file, "w"); }), "x: the file ends at byte"));
}
}  // namespace safetensors_shards_test
