// Floats to quantised types, against the `gguf` package; GGUF files written and read.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "merit/core/hash.hpp"
#include "merit/core/quantized.hpp"
#include "merit/io/gguf.hpp"
#include "merit/io/json.hpp"
#include "merit/io/quantize.hpp"
#include "merit/io/write_gguf.hpp"
#include "stored.hpp"
#include "temporary.hpp"

namespace quantize_test {

using namespace merit;
using namespace merit_test;

/// The numbers of generate_quantized.py.
std::vector<float> numbers() {
  std::vector<float> values(8192);
  for (Index i = 0; i < values.size(); ++i) {
    const double spread = (static_cast<double>(i * 7919 % 10007) - 5003) / 977.0;
    values[i] = static_cast<float>(spread * static_cast<double>(i / 32 % 7) * 0.3) + 0.0f;  // no −0
  }
  return values;
}

TEST_CASE("floats become the blocks that the gguf package makes of them") {
  const Json expected = read_json(stored("gguf/quantized.json"));
  const std::vector<float> values = numbers();
  CHECK(expected.size() == 5);
  for (const auto& entry : expected.items()) {
    const std::string name = entry.key();
    const Json& facts = entry.value();
    CAPTURE(name);
    const Dtype dtype = dtype_named(name).value();
    REQUIRE(can_quantize(dtype));
    std::vector<std::byte> bytes(stored_bytes(dtype, values.size()));
    quantize(dtype, values.data(), bytes.data(), values.size());
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    std::string block;
    for (const char byte : text.substr(layout_of(dtype).bytes, layout_of(dtype).bytes)) {
      constexpr std::string_view digits = "0123456789abcdef";
      block += {digits[static_cast<unsigned char>(byte) >> 4], digits[static_cast<unsigned char>(byte) & 15]};
    }
    CHECK(block == facts.at("second_block"));
    char hash[17];
    std::snprintf(hash, sizeof hash, "%016llx", static_cast<unsigned long long>(fnv1a(text)));
    CHECK(std::string(hash) == facts.at("fnv1a"));
    // Half a step from what they were, or a whole one at the end of a range that has no opposite; scales have 11 bits.
    std::vector<float> again(values.size());
    detail::dequantize(dtype, bytes.data(), again.data(), again.size());
    const double levels = dtype == Dtype::q8_0   ? 127
                          : dtype == Dtype::q4_0 ? 8
                          : dtype == Dtype::q5_0 ? 16
                          : dtype == Dtype::q4_1 ? 7.5
                                                 : 15.5;
    for (Index i = 0; i < values.size(); ++i) {
      float most = 0;
      for (Index k = i / 32 * 32; k < i / 32 * 32 + 32; ++k) most = std::max(most, std::abs(values[k]));
      if (std::abs(double{again[i]} - double{values[i]}) > 1.1 * double{most} / levels)
        FAIL_CHECK("element ", i);
    }
  }
  CHECK_FALSE(can_quantize(Dtype::iq4_xs));
  std::byte room[256];
  CHECK_THROWS_AS(quantize(Dtype::iq4_xs, values.data(), room, 256), UsageError);
}

/// `values` in a type, and read again.
std::vector<float> through(Dtype dtype, const std::vector<float>& values) {
  std::vector<std::byte> bytes(stored_bytes(dtype, values.size()), std::byte{0xA5});  // every byte is written
  quantize(dtype, values.data(), bytes.data(), values.size());
  std::vector<float> again(values.size());
  detail::dequantize(dtype, bytes.data(), again.data(), again.size());
  return again;
}

/// Those of generate_k_errors.py.
std::vector<float> bell() {
  std::vector<float> values(1 << 16);
  for (std::uint64_t i = 0; i < values.size(); ++i) {
    double sum = 0;
    for (std::uint64_t k = 0; k < 4; ++k)
      sum +=
          static_cast<double>((i * 7919 + k * 104729) * 2654435761 % (std::uint64_t{1} << 32) >> 16) / 65536;
    values[i] = static_cast<float>((sum - 2) * 0.05);
  }
  return values;
}

TEST_CASE("K types are as near to floats as ggml makes them, and each number within a step of its group") {
  const Json expected = read_json(stored("gguf/k_errors.json"));
  CHECK(expected.size() == 5);
  for (const auto& entry : expected.items()) {
    const std::string name = entry.key();
    CAPTURE(name);
    const Dtype dtype = dtype_named(name).value();
    REQUIRE(can_quantize(dtype));
    const std::vector<float> values = bell(), again = through(dtype, values);
    double squares = 0;
    for (Index i = 0; i < values.size(); ++i) {
      const double error = double{again[i]} - double{values[i]};
      squares += error * error;
    }
    const double root = std::sqrt(squares / static_cast<double>(values.size()));
    CHECK(root <= 1.01 * entry.value().get<double>());
    CHECK(root >= 0.8 * entry.value().get<double>());

    // Blocks of all zeros, of one sign, of one number, and of numbers far apart.
    const double levels = dtype == Dtype::q2_k   ? 3
                          : dtype == Dtype::q3_k ? 4
                          : dtype == Dtype::q4_k ? 15
                                                 : 31;
    const std::vector<float> odd = numbers();
    for (const float shift : {0.0f, 2.0f, -2.0f}) {
      std::vector<float> shifted = odd;
      for (float& value : shifted) value += shift;
      const std::vector<float> read = through(dtype, shifted);
      for (Index block = 0; block < read.size(); block += 256) {
        double most = 0, worst = 0;
        for (Index i = block; i < block + 256; ++i) {
          most = std::max(most, std::abs(double{shifted[i]}));
          worst = std::max(worst, std::abs(double{read[i]} - double{shifted[i]}));
        }
        // Of a group's step, and of its scale and minimum, which have 6 bits (of Q2_K 4).
        CHECK_MESSAGE(worst <= most * (1.2 / levels + 3 / (dtype == Dtype::q2_k ? 30.0 : 126.0)), block);
      }
    }
    const std::vector<float> zeros(256), fives(256, 5.0f), minus(256, -5.0f);
    CHECK(through(dtype, zeros) == zeros);
    for (const std::vector<float>& same : {fives, minus}) {
      for (const float value : through(dtype, same)) CHECK(value == doctest::Approx(same[0]).epsilon(0.01));
    }
  }
}

TEST_CASE("a GGUF file that is written reads back, entry by entry and byte by byte") {
  const TemporaryDirectory directory;
  GgufMetadata metadata;
  const std::vector<std::string> words{"a", "", "longer"};
  metadata.number("general.alignment", 64)
      .text("general.architecture", "none")
      .number("n", 7)
      .real("r", 0.5f)
      .truth("t", true)
      .texts("w", words);
  const std::vector<float> values = numbers();
  const auto bytes = [&](Dtype dtype, Index count) {
    return [&values, dtype, count] {
      std::vector<std::byte> stored(stored_bytes(dtype, count));
      quantize(dtype, values.data(), stored.data(), count);
      return stored;
    };
  };
  const std::vector<GgufTensorSource> tensors{{"v", {3}, Dtype::f32, bytes(Dtype::f32, 3)},
                                              {"m", {2, 64}, Dtype::q4_0, bytes(Dtype::q4_0, 128)},
                                              {"h", {3, 5}, Dtype::bf16, bytes(Dtype::bf16, 15)}};
  write_gguf(directory / "a.gguf", metadata, tensors, 64);
  const GgufFile file(directory / "a.gguf");
  CHECK(file.version() == 3);
  CHECK(file.keys() ==
        std::vector<std::string>{"general.alignment", "general.architecture", "n", "r", "t", "w"});
  CHECK(file.require<unsigned>("n") == 7);
  CHECK(file.require<float>("r") == 0.5f);
  CHECK(file.require<bool>("t"));
  CHECK(file.require<std::vector<std::string>>("w") == words);
  CHECK(file.tensor("m").shape == std::vector<Index>{2, 64});
  CHECK(file.tensor("m").type->name == "Q4_0");
  CHECK(file.tensor_bytes("h") == bytes(Dtype::bf16, 15)());
  std::vector<float> three(3);
  file.read("v", VectorView<float>(three));
  CHECK(three == std::vector<float>(values.begin(), values.begin() + 3));
  GgufMetadata again;
  for (const std::string& key : file.keys()) again.raw(file.entry_bytes(key));
  CHECK(again.bytes() == metadata.bytes());
  CHECK(error_of<UsageError>([&] {
          write_gguf(directory / "b.gguf", metadata,
                     std::vector<GgufTensorSource>{{"v", {4}, Dtype::f32, bytes(Dtype::f32, 3)}});
        }) == "tensor \"v\" gave 12 bytes, expected 16");
  CHECK_FALSE(std::filesystem::exists(directory / "b.gguf"));
}

}  // namespace quantize_test
