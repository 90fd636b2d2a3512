// Weights in files: round trips, shards, and a table of files that are not what the format says.
#include "merit/io/safetensors.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "merit/core/rng.hpp"
#include "merit/io/write_safetensors.hpp"
#include "safetensors_bytes.hpp"
#include "sanitized.hpp"
#include "temporary.hpp"

namespace safetensors_test {

using namespace merit;
using namespace merit_test;
namespace fs = std::filesystem;

constexpr float infinity = std::numeric_limits<float>::infinity();

/// What a double becomes in a type and back.
double rounded(double value, Dtype dtype) {
  switch (dtype) {
    case Dtype::f64: return value;
    case Dtype::f32: return static_cast<float>(value);
    case Dtype::f16: return from_f16(to_f16(static_cast<float>(value)));
    case Dtype::bf16: return from_bf16(to_bf16(static_cast<float>(value)));
    default: return 0;
  }
}

TEST_CASE("tensors of every type come back as they were rounded, into floats and doubles") {
  TemporaryDirectory temporary;
  const Index count = 40000;  // more than one conversion block
  const std::vector<double> numbers = random_numbers(count, 1);
  const std::vector<float> floats(numbers.begin(), numbers.end());
  for (const Dtype dtype : {Dtype::f64, Dtype::f32, Dtype::f16, Dtype::bf16}) {
    CAPTURE(name_of(dtype));
    const std::vector<TensorSource> tensors = {
        {"odd", {3}, numbers.data()},           {"from double", {200, 200}, numbers.data()},
        {"from float", {count}, floats.data()}, {"kept", {5}, numbers.data(), Dtype::f64},
        {"number", {}, numbers.data()},         {"empty", {4, 0, 2}, numbers.data()}};
    write_safetensors(temporary / "x.safetensors", tensors, {.dtype = dtype, .metadata = {{"step", "7"}}});

    const SafetensorsFile file(temporary / "x.safetensors");
    CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}, {"step", "7"}});
    CHECK(file.tensors().size() == 6);
    CHECK(file.skipped().empty());
    CHECK(file.at("from double").shape == std::vector<Index>{200, 200});
    CHECK(file.at("from double").dtype == dtype);
    CHECK(file.at("kept").dtype == Dtype::f64);
    CHECK(file.find("absent") == nullptr);
    for (const TensorInfo& tensor : file.tensors()) CHECK(tensor.begin % size_of(*tensor.dtype) == 0);

    const auto doubles_back = read_all<double>(file, "from double");
    const auto floats_back = read_all<float>(file, "from double");
    const auto from_float = read_all<double>(file, "from float");
    bool equal = true;
    for (Index i = 0; i < count; ++i) {
      equal = equal && doubles_back[i] == rounded(numbers[i], dtype);
      equal = equal && floats_back[i] == static_cast<float>(rounded(numbers[i], dtype));
      equal = equal && from_float[i] == rounded(double{floats[i]}, dtype);
    }
    CHECK(equal);
    CHECK(read_all<double>(file, "kept") == std::vector<double>(numbers.begin(), numbers.begin() + 5));
    CHECK(read_all<double>(file, "number") == std::vector<double>{rounded(numbers[0], dtype)});
    CHECK(read_all<double>(file, "empty").empty());
  }
}

TEST_CASE("without a type in the options no bit is lost") {
  TemporaryDirectory temporary;
  const std::vector<double> numbers = random_numbers(10, 2);
  const std::vector<float> floats(numbers.begin(), numbers.end());
  const std::vector<TensorSource> tensors = {{"f", {10}, floats.data()}, {"d", {10}, numbers.data()}};
  write_safetensors(temporary / "x", tensors);
  const SafetensorsFile file(temporary / "x");
  CHECK(read_all<float>(file, "f") == floats);
  CHECK(read_all<double>(file, "d") == numbers);
}

TEST_CASE("a written header is padded with spaces to 8 bytes and holds what the format says") {
  TemporaryDirectory temporary;
  const float number = 1.5f;
  for (const std::string name : {"a", "ab", "abc", "abcd", "quote\" and é"}) {
    const std::vector<TensorSource> tensors = {{name, {1}, &number}};
    write_safetensors(temporary / "x", tensors);
    const std::string bytes = read_file(temporary / "x");
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    CHECK(length % 8 == 0);
    CHECK(bytes.size() == 8 + length + 4);
    const Json header = parse_json(bytes.substr(8, length), "header");
    CHECK(header == Json{{"__metadata__", {{"format", "pt"}}},
                         {name, {{"dtype", "F32"}, {"shape", {1}}, {"data_offsets", {0, 4}}}}});
    CHECK(bytes.substr(8 + length) == bytes_of(number));
  }
  write_safetensors(temporary / "none", {});
  CHECK(SafetensorsFile(temporary / "none").tensors().empty());
}

TEST_CASE("what cannot be written is an error and leaves the old file") {
  TemporaryDirectory temporary;
  put(temporary / "x", "old");
  const std::vector<double> numbers = {1, 70000, std::nan(""), 1e300};
  const std::vector<float> floats = {1, infinity};
  const auto message = [&]<class E>(const E*, std::vector<TensorSource> tensors, SafetensorsOptions options) {
    return error_of<E>([&] { write_safetensors(temporary / "x", tensors, options); });
  };
  const DataError* data = nullptr;
  const UsageError* usage = nullptr;
  CHECK(message(data, {{"w", {2}, numbers.data()}}, {.dtype = Dtype::f16}) ==
        (temporary / "x").string() +
            ": not written: tensor \"w\": element 1 is 70000, which is not a finite F16");
  CHECK(contains(message(data, {{"w", {4}, numbers.data()}}, {}), "element 2 is nan"));
  CHECK(contains(message(data, {{"w", {1}, numbers.data() + 3}}, {.dtype = Dtype::f32}), "is 1e+300"));
  CHECK(contains(message(data, {{"w", {2}, floats.data()}}, {}), "element 1 is inf"));
  CHECK(contains(message(data, {{"\xff", {1}, numbers.data()}}, {}), "not UTF-8"));
  CHECK(contains(message(usage, {{"w", {1}, numbers.data()}, {"w", {1}, numbers.data()}}, {}),
                 "two tensors are called \"w\""));
  CHECK(contains(message(usage, {{"__metadata__", {1}, numbers.data()}}, {}), "__metadata__"));
  CHECK(contains(message(usage, {{"w", {Index{1} << 40, Index{1} << 40}, numbers.data()}}, {}), "overflows"));
  CHECK(read_file(temporary / "x") == "old");
  CHECK(temporary.count() == 1);
  message(data, {{"w", {2}, floats.data()}}, {});
  write_safetensors(temporary / "x", std::vector<TensorSource>{{"w", {2}, floats.data()}},
                    {.non_finite = NonFinite::allow});
  CHECK(read_all<float>(SafetensorsFile(temporary / "x"), "w", NonFinite::allow) == floats);
}

TEST_CASE("tensors of other types are listed as skipped and are errors only when read") {
  TemporaryDirectory temporary;
  put(temporary / "x", file_of(R"({"ids":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
                               R"("w":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},)"
                               R"("four":{"dtype":"F4","shape":[4],"data_offsets":[12,14]},)"
                               R"("mask":{"dtype":"BOOL","shape":[2],"data_offsets":[14,16]}}   )",
                               bytes_of(std::int64_t{3}) + bytes_of(2.5f) + std::string(4, '\1')));
  const SafetensorsFile file(temporary / "x");
  CHECK(file.skipped() == std::vector<std::string>{"ids", "four", "mask"});
  CHECK(read_all<double>(file, "w") == std::vector<double>{2.5});
  CHECK(error_of<DataError>([&] { read_all<float>(file, "ids"); }) ==
        (temporary / "x").string() +
            ": tensor \"ids\": has the type I64, expected one of F64, F32, F16, BF16");
}

TEST_CASE("infinities and NaNs are refused with tensor and element unless allowed") {
  TemporaryDirectory temporary;
  const std::string at = (temporary / "x").string() + ": tensor \"x\": element ";
  const auto message = [&](std::string_view dtype, std::string_view shape, std::string_view offsets,
                           std::string_view data) {
    put(temporary / "x", file_of_x(dtype, shape, offsets, data));
    const SafetensorsFile file(temporary / "x");
    CHECK_NOTHROW(read_all<float>(file, "x", NonFinite::allow));
    return error_of<DataError>([&] { read_all<float>(file, "x"); });
  };
  CHECK(message("\"F32\"", "[2]", "[0,8]", bytes_of(1.0f) + bytes_of(infinity)) ==
        at + "1 is inf, expected a finite number");
  CHECK(message("\"F32\"", "[1]", "[0,4]", bytes_of(-infinity)).starts_with(at + "0 is -inf"));
  CHECK(contains(message("\"F64\"", "[1]", "[0,8]", bytes_of(std::nan(""))), "0 is nan"));
  CHECK(contains(message("\"F64\"", "[1]", "[0,8]", bytes_of(1e300)), "0 is inf"));  // does not fit a float
  CHECK(contains(message("\"F16\"", "[1]", "[0,2]", bytes_of(std::uint16_t{0x7C00})), "0 is inf"));
  CHECK(contains(message("\"BF16\"", "[1]", "[0,2]", bytes_of(std::uint16_t{0x7FC0})), "0 is nan"));
  std::string many;
  for (int i = 0; i < 20000; ++i) many += bytes_of(i == 17000 ? infinity : 0.0f);  // in the second block
  CHECK(contains(message("\"F32\"", "[20000]", "[0,80000]", many), "element 17000 is inf"));
}

TEST_CASE("a place of the wrong size is a usage error") {
  TemporaryDirectory temporary;
  put(temporary / "x", file_of_x("\"F32\"", "[2]", "[0,8]", std::string(8, '\0')));
  std::vector<float> place(3);
  CHECK(contains(
      error_of<UsageError>([&] { SafetensorsFile(temporary / "x").read("x", VectorView<float>(place)); }),
      "tensor \"x\" has 2 elements, the place to read it into has 3"));
  CHECK(contains(error_of<DataError>([&] { SafetensorsFile(temporary / "x").at("y"); }), "no tensor \"y\""));
}

TEST_CASE("malformed files are errors that name the file and the cause") {
  const std::string data(16, '\1');
  const std::string one = R"("shape":[4],"data_offsets":[0,16])";
  const auto two = [&](std::string_view a, std::string_view b) {
    return file_of(concat(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":)", a,
                          R"(},"b":{"dtype":"F32","shape":[2],"data_offsets":)", b, "}}"),
                   data);
  };
  const std::string good = file_of_x("\"F32\"", "[4]", "[0,16]", data);
  const std::string deep(200000, '[');
  struct Case {
    std::string name;
    std::string bytes;
    std::string cause;
  };
  const std::vector<Case> cases = {
      // The length of the header.
      {"empty file", "", "0 bytes, expected at least 8"},
      {"seven bytes", std::string(7, '\1'), "7 bytes, expected at least 8"},
      {"only a length of 0", std::string(8, '\0'), "must begin with '{', found nothing"},
      {"length 0 before data", file_of("", data), "must begin with '{', found nothing"},
      {"length 2^63", bytes_of(std::uint64_t{1} << 63) + "{}", "the header length is 9223372036854775808"},
      {"length 2^64 - 1", bytes_of(~std::uint64_t{0}) + "{}", "the header length is 18446744073709551615"},
      {"length 2^64 - 8", bytes_of(~std::uint64_t{7}) + "{}", "expected at most 100000000"},
      {"length over 100 MB", bytes_of(std::uint64_t{100'000'001}) + "{}", "expected at most 100000000"},
      {"length beyond the file", bytes_of(std::uint64_t{3}) + "{}",
       "truncated: the header length is 3, but only 2"},
      {"a JSON file", "{\"model_type\": \"llama\"}", "not a safetensors file: the header length"},
      // Truncation in each region.
      {"cut in the length", good.substr(0, 5), "5 bytes, expected at least 8"},
      {"cut after the length", good.substr(0, 8), "truncated: the header length"},
      {"cut in the header", good.substr(0, 40), "truncated: the header length"},
      {"cut before the data", good.substr(0, good.size() - 16), "but the file has only 0 bytes of data"},
      {"cut in the data", good.substr(0, good.size() - 1), "but the file has only 15 bytes of data"},
      {"trailing byte", good + "x", "1 more bytes follow"},
      {"data without tensors", file_of("{}", data), "16 more bytes follow"},
      // The header as JSON.
      {"header begins with a space", file_of(" {}", ""), "must begin with '{', found \" \""},
      {"header is an array", file_of("[]", ""), "must begin with '{', found \"[\""},
      {"header is not closed", file_of("{", ""), "not valid JSON at column 2"},
      {"header with two values", file_of("{}{}", ""), "more text after the end of the value"},
      {"header padded with zeros", file_of(std::string("{}\0\0", 4), ""),
       "not valid JSON at column 3: a zero byte"},
      {"header not UTF-8", file_of("{\"\xff\xfe\":1}", ""), "not UTF-8"},
      {"header nested deeply", file_of("{\"x\":" + deep, ""), "nested deeper than 128 levels"},
      {"tensor twice",
       file_of(R"({"x":{"dtype":"F32",)" + one + R"(},"x":{"dtype":"F32",)" + one + "}}", data),
       "the key \"x\" occurs twice"},
      {"tensor twice, escaped",
       file_of(R"({"x":{"dtype":"F32",)" + one + R"(},"\u0078":{"dtype":"F32",)" + one + "}}", data),
       "the key \"x\" occurs twice"},
      {"field twice", file_of(R"({"x":{"dtype":"F32","dtype":"F16",)" + one + "}}", data),
       "the key \"dtype\" occurs twice"},
      {"metadata twice", file_of(R"({"__metadata__":{},"__metadata__":{}})", ""),
       "\"__metadata__\" occurs twice"},
      {"metadata not an object", file_of(R"({"__metadata__":"pt"})", ""), "expected an object, found \"pt\""},
      {"metadata not strings", file_of(R"({"__metadata__":{"step":7}})", ""),
       "field \"__metadata__.step\": expected a string, found 7"},
      // The entry of a tensor.
      {"tensor is a number", file_of(R"({"x":3})", ""), "tensor \"x\": expected an object"},
      {"dtype missing", file_of("{\"x\":{" + one + "}}", data), "the field \"dtype\" is missing"},
      {"shape missing", file_of(R"({"x":{"dtype":"F32","data_offsets":[0,16]}})", data),
       "the field \"shape\" is missing"},
      {"offsets missing", file_of(R"({"x":{"dtype":"F32","shape":[4]}})", data),
       "the field \"data_offsets\" is missing"},
      {"dtype null", file_of_x("null", "[4]", "[0,16]", data), "the field \"dtype\" is null"},
      {"dtype a number", file_of_x("32", "[4]", "[0,16]", data), "expected a string, found 32"},
      {"dtype unknown", file_of_x("\"F33\"", "[4]", "[0,16]", data), "unknown dtype \"F33\""},
      {"dtype in small letters", file_of_x("\"f32\"", "[4]", "[0,16]", data), "unknown dtype \"f32\""},
      {"shape a number", file_of_x("\"F32\"", "4", "[0,16]", data), "\"shape\": expected an array, found 4"},
      {"shape negative", file_of_x("\"F32\"", "[-4]", "[0,16]", data),
       "\"shape[0]\": expected a whole number"},
      {"shape a fraction", file_of_x("\"F32\"", "[2, 2.5]", "[0,16]", data),
       "\"shape[1]\": expected a whole number"},
      {"shape a string", file_of_x("\"F32\"", "[\"4\"]", "[0,16]", data), "found \"4\""},
      {"shape beyond 64 bits", file_of_x("\"F32\"", "[18446744073709551616]", "[0,16]", data),
       "\"shape[0]\": expected a whole number"},
      {"shape of exponent form", file_of_x("\"F32\"", "[4.5e0]", "[0,16]", data), "found 4.5"},
      {"elements overflow", file_of_x("\"F32\"", "[4294967296, 4294967296]", "[0,16]", data),
       "the shape [4294967296, 4294967296] overflows"},
      {"elements wrap around to the right size",
       file_of_x("\"F32\"", "[9223372036854775809, 4]", "[0,16]", data), "overflows"},
      {"bytes overflow", file_of_x("\"F32\"", "[4611686018427387908]", "[0,16]", data), "overflows"},
      {"bits of F4 uneven", file_of_x("\"F4\"", "[3]", "[0,1]", "x"), "does not fill whole bytes"},
      {"shape larger than bytes", file_of_x("\"F32\"", "[5]", "[0,16]", data),
       "span 16 bytes, but the shape [5]"},
      {"shape smaller than bytes", file_of_x("\"F32\"", "[3]", "[0,16]", data), "of F32 takes 12"},
      {"type wider than bytes", file_of_x("\"F64\"", "[4]", "[0,16]", data), "of F64 takes 32"},
      {"empty shape with bytes", file_of_x("\"F32\"", "[0]", "[0,16]", data), "takes 0"},
      // Offsets.
      {"one offset", file_of_x("\"F32\"", "[4]", "[16]", data), "data_offsets has 1 numbers, expected 2"},
      {"three offsets", file_of_x("\"F32\"", "[4]", "[0,16,16]", data), "data_offsets has 3 numbers"},
      {"offset negative", file_of_x("\"F32\"", "[4]", "[-16,0]", data),
       "\"data_offsets[0]\": expected a whole"},
      {"offset a fraction", file_of_x("\"F32\"", "[4]", "[0,16.5]", data),
       "\"data_offsets[1]\": expected a whole"},
      {"offsets reversed", file_of_x("\"F32\"", "[4]", "[16,0]", data), "data_offsets [16, 0] run backwards"},
      {"offsets beyond the end", file_of_x("\"F32\"", "[4]", "[8,24]", data), "data_offsets end at byte 24"},
      {"offsets near 2^64", file_of_x("\"F32\"", "[4]", "[18446744073709551599,18446744073709551615]", data),
       "data_offsets end at byte 18446744073709551615"},
      {"hole at the beginning", file_of_x("\"F32\"", "[3]", "[4,16]", data), "leaves a hole, expected 0"},
      {"hole between", two("[0,8]", "[9,17]").append("x"),
       "begin at byte 9, which leaves a hole, expected 8"},
      {"overlap", two("[0,8]", "[4,12]"), "tensor \"b\": data_offsets begin at byte 4, which overlaps"},
      {"the same bytes twice", two("[0,8]", "[0,8]"), "begin at byte 0, which overlaps the tensor before"},
      {"a name with control characters",
       file_of(R"({"a\nb":{"dtype":"F33","shape":[4],"data_offsets":[0,16]}})", data),
       "tensor \"a\\x0ab\": unknown"},
  };
  CHECK(cases.size() >= 60);
  TemporaryDirectory temporary;
  const fs::path path = temporary / "bad.safetensors";
  for (const Case& test : cases) {
    CAPTURE(test.name);
    put(path, test.bytes);
    const std::string message = error_of<DataError>([&] { SafetensorsFile file(path); });
    CHECK(contains(message, path.string()));
    CHECK_MESSAGE(contains(message, test.cause), message);
    CHECK(message.find('\n') == message.npos);
    CHECK(message.size() < 500);
  }
  put(path, good);
  CHECK_NOTHROW(SafetensorsFile{path});  // what the table varies is itself right
  put(path, two("[8,16]", "[0,8]"));
  CHECK_NOTHROW(SafetensorsFile{path});  // the order in the header does not matter
}

TEST_CASE("every truncation of a file is an error") {
  TemporaryDirectory temporary;
  const std::vector<double> numbers = random_numbers(6, 3);
  const std::vector<TensorSource> tensors = {{"a", {2, 3}, numbers.data()},
                                             {"b", {3}, numbers.data(), Dtype::f16}};
  write_safetensors(temporary / "whole", tensors);
  const std::string whole = read_file(temporary / "whole");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    CAPTURE(length);
    put(temporary / "cut", whole.substr(0, length));
    CHECK_THROWS_AS(SafetensorsFile{temporary / "cut"}, DataError);
  }
}

TEST_CASE("a file damaged at random gives numbers or an error, never a crash") {
  TemporaryDirectory temporary;
  const std::vector<double> numbers = random_numbers(12, 4);
  const std::vector<TensorSource> tensors = {{"a.weight", {2, 3}, numbers.data(), Dtype::f32},
                                             {"b", {3}, numbers.data(), Dtype::f16},
                                             {"c", {}, numbers.data(), Dtype::bf16},
                                             {"d", {2, 0}, numbers.data()}};
  write_safetensors(temporary / "whole", tensors);
  const std::string whole = read_file(temporary / "whole");
  Rng rng(5);
  Index errors = 0;
  for (Index round = 0; round < random_cases(4000); ++round) {
    std::string bytes = whole;
    const std::uint64_t changes = 1 + rng.below(4);
    for (std::uint64_t change = 0; change < changes; ++change) {
      const std::size_t at = rng.below(bytes.size());
      switch (rng.below(4)) {
        case 0: bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.below(8))); break;
        case 1: bytes[at] = "0123456789[]{},:\"-.e"[rng.below(20)]; break;
        case 2: bytes.erase(at, 1 + rng.below(3)); break;
        case 3: bytes.insert(at, bytes.substr(rng.below(bytes.size()), rng.below(20))); break;
      }
    }
    put(temporary / "damaged", bytes);
    try {
      const SafetensorsFile file(temporary / "damaged");
      for (const TensorInfo& tensor : file.tensors()) read_all<float>(file, tensor.name);
    } catch (const Error& error) {
      ++errors;
      if (!contains(error.what(), "damaged")) FAIL_CHECK(error.what());
    }
  }
  CHECK(errors > random_cases(4000) / 2);
}

/// The largest finite numbers of a type pass, of either sign; an infinity or NaN is found at any place.
template <class T>
void check_non_finite(const std::vector<T>& finite, const std::vector<T>& others) {
  for (const Index size : {Index{1}, Index{7}, Index{4096}, Index{10'000}}) {
    std::vector<T> values(size);
    for (Index i = 0; i < size; ++i) values[i] = finite[i % finite.size()];
    CHECK(detail::first_non_finite(values.data(), size) == size);
    for (const Index place : {Index{0}, size / 2, size - 1}) {
      for (const T& other : others) {
        std::vector<T> bad = values;
        bad[place] = other;
        CHECK(detail::first_non_finite(bad.data(), size) == place);
      }
    }
  }
}

TEST_CASE("what is not finite is found in every stored type") {
  using F = std::numeric_limits<float>;
  using D = std::numeric_limits<double>;
  check_non_finite<float>({0, -1, F::max(), F::lowest(), F::denorm_min()},
                          {F::infinity(), -F::infinity(), F::quiet_NaN(), -F::quiet_NaN()});
  check_non_finite<double>({0, -1, D::max(), D::lowest(), D::denorm_min()},
                           {D::infinity(), -D::infinity(), D::quiet_NaN(), -D::quiet_NaN()});
  check_non_finite<F16>({{0}, {0x8000}, {0x7BFF}, {0xFBFF}}, {{0x7C00}, {0xFC00}, {0x7C01}, {0xFFFF}});
  check_non_finite<Bf16>({{0}, {0x8000}, {0x7F7F}, {0xFF7F}}, {{0x7F80}, {0xFF80}, {0x7F81}, {0xFFFF}});
}

}  // namespace safetensors_test
