// GGUF files: every type of metadata and of element against the `gguf` package, and files that are not what
// the format says.
#include "merit/io/gguf.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "gguf_file.hpp"
#include "merit/core/hash.hpp"
#include "merit/core/rng.hpp"
#include "merit/io/json.hpp"
#include "stored.hpp"
#include "temporary.hpp"

namespace gguf_test {

using namespace merit;
using namespace merit_test;
using namespace merit_test::gguf_kind;
namespace fs = std::filesystem;

fs::path golden() {
  return merit_test::stored("gguf");
}

template <class T>
std::vector<T> read_all(const GgufFile& file, std::string_view name,
                        NonFinite non_finite = NonFinite::reject) {
  std::vector<T> numbers(file.tensor(name).elements);
  file.read(name, VectorView<T>(numbers), non_finite);
  return numbers;
}

TEST_CASE("metadata of every type are read as they were written") {
  const GgufFile file(golden() / "types.gguf");
  CHECK(file.version() == 3);
  CHECK(file.require<std::uint8_t>("a.uint8") == 200);
  CHECK(file.require<int>("a.int8") == -100);
  CHECK(file.require<std::uint16_t>("a.uint16") == 60000);
  CHECK(file.require<std::int16_t>("a.int16") == -30000);
  CHECK(file.require<std::uint32_t>("a.uint32") == 4000000000u);
  CHECK(file.require<int>("a.int32") == -2000000000);
  CHECK(file.require<std::uint64_t>("a.uint64") == std::uint64_t{1} << 63);
  CHECK(file.require<std::int64_t>("a.int64") == -(std::int64_t{1} << 62));
  CHECK(file.require<float>("a.float32") == 0.1f);
  CHECK(file.require<double>("a.float32") == double{0.1f});
  CHECK(file.require<double>("a.float64") == 0.1);
  CHECK(file.require<bool>("a.bool"));
  CHECK(file.require<std::string>("a.string") == "Grüße");
  CHECK(file.require<std::vector<int>>("array.int") == std::vector{1, -2, 3});
  CHECK(file.require<std::vector<double>>("array.float") == std::vector{0.5, -0.25});
  CHECK(file.require<std::vector<bool>>("array.bool") == std::vector{true, false, true});
  CHECK(file.require<std::vector<std::string>>("array.string") == std::vector<std::string>{"a", "", "Ġb"});
  const auto* nested = file.find("array.array")->get<std::vector<GgufValue>>();
  REQUIRE(nested != nullptr);
  REQUIRE(nested->size() == 2);
  CHECK(*(*nested)[0].get<std::vector<std::int64_t>>() == std::vector<std::int64_t>{1, 2});
  CHECK(*(*nested)[1].get<std::vector<std::int64_t>>() == std::vector<std::int64_t>{3});
  CHECK_FALSE(file.optional<int>("absent"));
  CHECK(file.find("absent") == nullptr);
}

TEST_CASE("numbers of every element type have the bits that the gguf package gives them") {
  const GgufFile file(golden() / "types.gguf");
  const Json expected = read_json(golden() / "types.json");
  CHECK(file.tensors().size() == expected.size());
  for (const auto& item : expected.items()) {
    const std::string& name = item.key();
    const Json& entry = item.value();
    CAPTURE(name);
    CHECK(file.tensor(name).type->name == name);
    CHECK(file.tensor(name).shape == entry.at("shape").get<std::vector<Index>>());
    const std::vector<float> numbers = read_all<float>(file, name);
    for (Index i = 0; i < 4; ++i) {
      CHECK(std::bit_cast<std::uint32_t>(numbers[i]) == entry.at("first")[i].get<std::uint32_t>());
    }
    const std::string_view bytes(reinterpret_cast<const char*>(numbers.data()),
                                 numbers.size() * sizeof(float));
    std::string hash(16, '0');
    std::uint64_t value = fnv1a(bytes);
    for (Index i = 16; i-- > 0; value >>= 4) hash[i] = "0123456789abcdef"[value & 15u];
    CHECK(hash == entry.at("hash").get<std::string>());
    const std::vector<double> wide = read_all<double>(file, name);
    CHECK(std::equal(wide.begin(), wide.end(), numbers.begin(), numbers.end()));
  }
}

TEST_CASE("tensors longer than one part are read whole, whatever their type") {
  const TemporaryDirectory directory;
  constexpr Index count = 3 * detail::conversion_block + 256;
  std::string blocks;  // of Q8_0: a scale of 1 and integers
  for (Index i = 0; i < count; ++i) {
    if (i % 32 == 0) blocks += gguf_bytes(std::uint16_t{0x3C00});
    blocks += static_cast<char>(i * 7 % 251 - 125);
  }
  put(directory / "f", GgufBytes().tensor("x", {256, count / 256}, 8, blocks).bytes());
  const std::vector<float> numbers = read_all<float>(GgufFile(directory / "f"), "x");
  bool same = true;
  for (Index i = 0; i < count; ++i) {
    same = same && numbers[i] == static_cast<float>(static_cast<std::int8_t>(i * 7 % 251 - 125));
  }
  CHECK(same);
}

TEST_CASE("version 2 reads as version 3, and another alignment is kept") {
  const TemporaryDirectory directory;
  GgufBytes bytes;
  bytes.version = 2;
  bytes.alignment = 8;
  bytes.number("general.alignment", 8).floats("a", {3}, {1, 2, 3}).floats("b", {1}, {4});
  put(directory / "f", bytes.bytes());
  const GgufFile file(directory / "f");
  CHECK(file.version() == 2);
  CHECK(file.alignment() == 8);
  CHECK(file.tensor("b").begin == file.tensor("a").begin + 16);
  CHECK(read_all<float>(file, "a") == std::vector<float>{1, 2, 3});
  CHECK(read_all<float>(file, "b") == std::vector<float>{4});
}

TEST_CASE("a number of no dimensions and a tensor of no elements are tensors") {
  const TemporaryDirectory directory;
  put(directory / "f", GgufBytes().floats("one", {}, {5}).floats("none", {0, 3}, {}).bytes());
  const GgufFile file(directory / "f");
  CHECK(read_all<float>(file, "one") == std::vector<float>{5});
  CHECK(file.tensor("none").shape == std::vector<Index>{3, 0});
  CHECK(read_all<float>(file, "none").empty());

  put(directory / "short",
      GgufBytes().floats("none", {0, 3}, {}).bytes());  // ends before the data would begin
  const GgufFile ends(directory / "short");
  CHECK(ends.tensor("none").end == std::filesystem::file_size(directory / "short"));
  CHECK(read_all<float>(ends, "none").empty());
}

TEST_CASE("a value that is not what was asked for is named with what was found") {
  const GgufFile file(golden() / "types.gguf");
  const auto error = [&]<class T>(const char* key, T) {
    return error_of<DataError>([&] { file.require<T>(key); });
  };
  CHECK(contains(error("a.string", 0), "types.gguf: metadata \"a.string\": expected a whole number from "));
  CHECK(contains(error("a.string", 0), "found \"Grüße\""));
  CHECK(contains(error("a.uint8", std::string()), "expected a string, found 200"));
  CHECK(contains(error("a.uint8", std::int8_t{}), "from -128 to 127, found 200"));
  CHECK(contains(error("a.int8", std::uint64_t{}), "from 0 to 18446744073709551615, found -100"));
  CHECK(contains(error("a.float32", 0), "expected a whole number"));
  CHECK(contains(error("a.uint8", true), "expected true or false, found 200"));
  CHECK(contains(error("a.bool", 0.0), "expected a finite number, found true"));
  CHECK(contains(error("array.int", 0), "found an array of 3"));
  CHECK(
      contains(error("array.int", std::vector<unsigned>()), "expected an array, each a whole number from 0"));
  CHECK(contains(error("array.string", std::vector<int>()), "expected an array, each a whole number"));
  CHECK(contains(error("absent", 0), "the metadata has no \"absent\""));
}

TEST_CASE("reading a tensor: types that are not read, numbers that are not finite, places too small") {
  const TemporaryDirectory directory;
  const float infinity = std::numeric_limits<float>::infinity();
  put(directory / "f", GgufBytes()
                           .tensor("q", {256}, 16, std::string(66, '\0'))
                           .tensor("i", {2}, 26, std::string(8, '\0'))
                           .floats("x", {2, 2}, {1, 2, infinity, 4})
                           .bytes());
  const GgufFile file(directory / "f");
  std::vector<float> place(3);
  std::string error = error_of<DataError>([&] { read_all<float>(file, "q"); });
  CHECK(contains(error,
                 "tensor \"q\": has the type IQ2_XXS, which is not read, expected one of F32, F16, Q4_0"));
  CHECK(contains(error_of<DataError>([&] { read_all<float>(file, "i"); }), "has the type I32"));
  error = error_of<DataError>([&] { read_all<float>(file, "x"); });
  CHECK(contains(error, "tensor \"x\": element 2 is inf, expected a finite number"));
  CHECK(read_all<float>(file, "x", NonFinite::allow)[2] == infinity);
  CHECK(contains(error_of<DataError>([&] { file.tensor("y"); }), "there is no tensor \"y\""));
  CHECK(contains(error_of<UsageError>([&] { file.read("x", VectorView<float>(place)); }), "has 4 elements"));
}

// --- files that are not what the format says ---

struct Malformed {
  const char* what;  // is wrong
  std::function<std::string()> bytes;
  const char* error;  // must say this
};

constexpr std::uint64_t huge = std::uint64_t{1} << 60;

std::string array_of(std::uint32_t type, std::uint64_t count, const std::string& items = "") {
  return gguf_bytes(type) + gguf_bytes(count) + items;
}

const std::vector<Malformed> malformed{
    {"nothing", [] { return std::string(); }, "not a GGUF file: 0 bytes"},
    {"another format", [] { return std::string("PK\x03\x04 and some more bytes"); },
     "begins with \"PK\\x03\\x04\", expected \"GGUF\""},
    {"version 1",
     [] {
       GgufBytes b;
       b.version = 1;
       return b.bytes();
     },
     "of version 1, expected 2 or 3"},
    {"version 4",
     [] {
       GgufBytes b;
       b.version = 4;
       return b.bytes();
     },
     "of version 4"},
    {"version 0",
     [] {
       GgufBytes b;
       b.version = 0;
       return b.bytes();
     },
     "of version 0"},
    {"big-endian",
     [] {
       GgufBytes b;
       b.version = 3u << 24;
       return b.bytes();
     },
     "a big-endian GGUF file"},
    {"2^60 entries",
     [] {
       GgufBytes b;
       b.more_entries = huge;
       return b.bytes();
     },
     "metadata entries, but only"},
    {"2^60 tensors",
     [] {
       GgufBytes b;
       b.more_tensors = huge;
       return b.bytes();
     },
     "tensors, but only"},
    {"one entry too many",
     [] {
       GgufBytes b;
       b.more_entries = 1;
       b.text("a", "a text of some length");
       return b.bytes();
     },
     "metadata entry 1: truncated"},
    {"one tensor too many",
     [] {
       GgufBytes b;
       b.more_tensors = 1;
       b.floats("a", {20}, std::vector<float>(20));
       return b.bytes();
     },
     "tensor "},
    {"a key beyond the file",
     [] {
       GgufBytes b;
       b.more_entries = 1;
       return b.bytes() + gguf_bytes(huge) + "12345678";
     },
     "metadata entry 0: a string of 1152921504606846976 bytes begins at byte 32, but only 8 bytes follow"},
    {"a text beyond the file",
     [] { return GgufBytes().entry("a", string, gguf_bytes(std::uint64_t{9}) + "b").bytes(); },
     "a string of 9 bytes"},
    {"2^60 elements", [] { return GgufBytes().entry("a", array, array_of(u32, huge)).bytes(); },
     "1152921504606846976 elements of an array, but only 0 bytes follow"},
    {"2^60 truth values", [] { return GgufBytes().entry("a", array, array_of(boolean, huge)).bytes(); },
     "elements of an array, but only"},
    {"2^60 strings", [] { return GgufBytes().entry("a", array, array_of(string, huge)).bytes(); },
     "strings of an array"},
    {"2^60 arrays", [] { return GgufBytes().entry("a", array, array_of(array, huge)).bytes(); },
     "arrays of an array"},
    {"arrays in arrays without end",
     [] {
       std::string deep;
       for (int i = 0; i < 100; ++i) deep += array_of(array, 1);
       return GgufBytes().entry("a", array, deep + array_of(u8, 0)).bytes();
     },
     "arrays are nested deeper than 8 levels"},
    {"an unknown type of value", [] { return GgufBytes().entry("a", 13, "12345678").bytes(); },
     "the unknown type 13"},
    {"an unknown type of element", [] { return GgufBytes().entry("a", array, array_of(77, 0)).bytes(); },
     "elements of the unknown type 77"},
    {"a truth value of 2", [] { return GgufBytes().entry("a", boolean, "\x02").bytes(); },
     "a truth value is 2"},
    {"a key twice", [] { return GgufBytes().number("a", 1).number("a", 2).bytes(); },
     "the key \"a\" occurs twice"},
    {"alignment 0", [] { return GgufBytes().number("general.alignment", 0).floats("x", {1}, {1}).bytes(); },
     "\"general.alignment\": expected a power of two, found 0"},
    {"alignment 24", [] { return GgufBytes().number("general.alignment", 24).bytes(); },
     "power of two, found 24"},
    {"an alignment that is a word", [] { return GgufBytes().text("general.alignment", "32").bytes(); },
     "\"general.alignment\": expected a whole number"},
    {"five dimensions",
     [] {
       return GgufBytes().place("x", {1, 1, 1, 1, 1}, 0, 0).data("1234").bytes();
     },
     "tensor \"x\": has 5 dimensions, expected at most 4"},
    {"an unknown element type", [] { return GgufBytes().place("x", {1}, 4, 0).data("1234").bytes(); },
     "tensor \"x\": has the unknown type 4"},
    {"a removed element type", [] { return GgufBytes().place("x", {1}, 31, 0).data("1234").bytes(); },
     "the unknown type 31"},
    {"rows that are not whole blocks",
     [] {
       return GgufBytes().place("x", {40, 4}, 2, 0).data(std::string(90, '\0')).bytes();
     },
     "has rows of 40 elements, expected a multiple of 32, the block of Q4_0"},
    {"a shape that overflows",
     [] {
       return GgufBytes().place("x", {huge, huge}, 0, 0).data("1234").bytes();
     },
     "the shape [1152921504606846976, 1152921504606846976] at byte 0 of the data overflows"},
    {"bytes that overflow",
     [] {
       return GgufBytes().place("x", {huge, 15}, 0, 0).data("1234").bytes();
     },
     "overflows"},
    {"an offset that overflows",
     [] { return GgufBytes().place("x", {8}, 0, ~std::uint64_t{31}).data("1234").bytes(); }, "overflows"},
    {"a misaligned tensor", [] { return GgufBytes().place("x", {1}, 0, 4).data("12345678").bytes(); },
     "begins at byte 4 of the data, expected a multiple of 32, the alignment"},
    {"a tensor beyond the file",
     [] { return GgufBytes().place("x", {9}, 0, 32).data(std::string(64, '\0')).bytes(); },
     "tensor \"x\": truncated: ends at byte 68 of the data, but the file has only 64 bytes of it"},
    {"a tensor and no data", [] { return GgufBytes().place("x", {9}, 0, 0).bytes(); },
     "the file has only 0 bytes of it"},
    {"tensors that overlap",
     [] {
       return GgufBytes().place("x", {9}, 0, 0).place("y", {1}, 0, 32).data(std::string(64, '\0')).bytes();
     },
     "tensor \"y\": overlaps the tensor \"x\""},
    {"tensors of one place",
     [] {
       return GgufBytes().place("x", {2}, 0, 0).place("y", {2}, 0, 0).data(std::string(64, '\0')).bytes();
     },
     "overlaps the tensor"},
    {"two tensors of one name",
     [] { return GgufBytes().floats("x", {1}, {1}).floats("x", {1}, {1}).bytes(); },
     "the name \"x\" is that of another before"},
};

TEST_CASE("a malformed file is refused with its cause") {
  const TemporaryDirectory directory;
  for (const Malformed& item : malformed) {
    CAPTURE(std::string(item.what));
    put(directory / "bad.gguf", item.bytes());
    const std::string error = error_of<DataError>([&] { GgufFile file(directory / "bad.gguf"); });
    CHECK_MESSAGE(contains(error, "bad.gguf: "), error);
    CHECK_MESSAGE(contains(error, item.error), error);
  }
  CHECK_THROWS_AS(GgufFile(directory / "missing.gguf"), IoError);
}

TEST_CASE("a file cut at any place is refused") {
  const std::string whole = read_file(golden() / "types.gguf");
  const GgufFile file(golden() / "types.gguf");
  Index last = 0;
  for (const GgufTensor& tensor : file.tensors()) last = std::max(last, tensor.end);
  const TemporaryDirectory directory;
  put(directory / "cut", whole);
  Index refused = 0;
  for (Index size = last; size-- > 0;) {
    fs::resize_file(directory / "cut", size);
    try {
      GgufFile cut(directory / "cut");
    } catch (const DataError& error) {
      refused += contains(error.what(), directory.path().string()) ? 1 : 0;
    }
  }
  CHECK(refused == last);
}

TEST_CASE("a file with any byte changed is read or refused") {
  std::string bytes = read_file(golden() / "types.gguf");
  const TemporaryDirectory directory;
  Rng rng(3);
  Index read = 0, refused = 0;
  for (Index i = 0; i < 2000; ++i) {
    const Index at = rng.below(1700);  // metadata and the list of tensors
    const char before = bytes[at];
    bytes[at] = static_cast<char>(rng.below(256));
    put(directory / "changed", bytes);
    bytes[at] = before;
    try {
      const GgufFile file(directory / "changed");
      for (const GgufTensor& tensor : file.tensors()) read_all<float>(file, tensor.name, NonFinite::allow);
      ++read;
    } catch (const Error&) {
      ++refused;
    }
  }
  CHECK(read > 0);
  CHECK(refused > 0);
}

}  // namespace gguf_test
