// The algorithms of products by shape, in memory and in their file.
#include "merit/backend/thrust/product_plans.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <set>
#include <string>

#include "../io/temporary.hpp"

namespace product_plans_test {

using namespace merit;
using namespace merit_test;
using detail::device::bucket_of;
using detail::device::ProductPlans;
using detail::device::ProductShape;

const std::string machine = "merit product plans 1, cuBLASLt 130000, NVIDIA H200";

ProductShape shape_of(std::uint64_t rows) {
  return {.m = rows, .n = 768, .k = 64, .a_stride = 64, .b_stride = 768, .out_stride = 768, .bias = 1};
}
ProductPlans::Algorithm algorithm_of(std::uint64_t first) {
  return {first, 2, 3, 4, 5, 6, 7, 0xFFFFFFFFFFFFFFFFu};
}
void write(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file, std::ios::binary) << text;
}
std::string read(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST_CASE("every number of a shape tells plans apart") {
  ProductPlans plans;
  plans.add(shape_of(8), algorithm_of(1));
  CHECK(*plans.find(shape_of(8)) == algorithm_of(1));
  Index numbers = 0;
  ProductShape counted;
  ProductShape::for_each_number(counted, [&](std::uint64_t&) { ++numbers; });
  CHECK(numbers * sizeof(std::uint64_t) == sizeof(ProductShape));
  for (Index changed = 0; changed < numbers; ++changed) {
    ProductShape other = shape_of(8);
    Index i = 0;
    ProductShape::for_each_number(other, [&](std::uint64_t& number) { number += i++ == changed; });
    CHECK(plans.find(other) == nullptr);
  }
}

TEST_CASE("batches of about as many tokens share a plan, and there are few of them") {
  std::set<std::uint64_t> buckets;
  for (std::uint64_t extent = 1; extent <= 100000; ++extent) {
    const std::uint64_t bucket = bucket_of(extent);
    REQUIRE(bucket >= extent);
    REQUIRE(bucket <= extent + extent / 16);
    REQUIRE(bucket_of(bucket) == bucket);
    buckets.insert(bucket);
  }
  CHECK(buckets.size() <= 16 * 17);
  // Of a linear layer the rows, of a weight's gradient the depth: widths stay, so that strides hold them.
  CHECK(bucket_of(ProductShape{.m = 8190, .n = 8190, .k = 41}) ==
        ProductShape{.m = 8192, .n = 8190, .k = 41});
  CHECK(bucket_of(ProductShape{.m = 8190, .n = 8190, .k = 41, .b_transposed = 1}) ==
        ProductShape{.m = 8192, .n = 8190, .k = 41, .b_transposed = 1});
  CHECK(bucket_of(ProductShape{.m = 50257, .n = 41, .k = 8190, .a_transposed = 1}) ==
        ProductShape{.m = 50257, .n = 41, .k = 8192, .a_transposed = 1});
}

TEST_CASE("what a file was given it gives back, also the shapes that no algorithm is for") {
  const TemporaryDirectory directory;
  const std::string file = (directory / "plans.txt").string();
  {
    ProductPlans plans;
    plans.open(file, machine);
    plans.add(shape_of(8), algorithm_of(1));
    plans.add(shape_of(16), std::nullopt);
  }
  ProductPlans plans;
  plans.open(file, machine);
  REQUIRE(plans.size() == 2);
  CHECK(*plans.find(shape_of(8)) == algorithm_of(1));
  CHECK_FALSE(plans.find(shape_of(16))->has_value());
  plans.add(shape_of(32), algorithm_of(3));
  plans.add(shape_of(8), algorithm_of(9));  // as another process would: the first one is right
  ProductPlans again;
  again.open(file, machine);
  CHECK(again.size() == 3);
  CHECK(*again.find(shape_of(8)) == algorithm_of(1));
  CHECK(std::distance(std::filesystem::directory_iterator(directory / "."), {}) == 1);
}

TEST_CASE("a line that was not finished is cut off, and the file goes on behind it") {
  const TemporaryDirectory directory;
  const std::string file = (directory / "plans.txt").string();
  {
    ProductPlans plans;
    plans.open(file, machine);
    plans.add(shape_of(8), algorithm_of(1));
  }
  const std::string whole = read(file);
  write(file, whole + "16 768 64");
  ProductPlans plans;
  plans.open(file, machine);
  CHECK(plans.size() == 1);
  CHECK(read(file) == whole);
}

TEST_CASE("another machine's file, and one that is none, are refused in one sentence") {
  const TemporaryDirectory directory;
  const std::string file = (directory / "plans.txt").string();
  const auto refusal = [&](const std::string& text) {
    write(file, text);
    ProductPlans plans;
    try {
      plans.open(file, machine);
    } catch (const Error& error) {
      CHECK(read(file) == text);
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(refusal("merit product plans 1, cuBLASLt 120000, NVIDIA A100\n") ==
        file + ", line 1: found \"merit product plans 1, cuBLASLt 120000, NVIDIA A100\", expected \"" +
            machine + "\": name another file, or remove it");
  CHECK(refusal("") ==
        file + ", line 1: found \"\", expected \"" + machine + "\": name another file, or remove it");
  CHECK(refusal(std::string("\1\2\3\n")).find("found \"no text\"") != std::string::npos);
  const std::string bad =
      file +
      ", line 2: expected the numbers of a shape, a colon and 8 numbers of an algorithm, or "
      "none: remove the line";
  const std::string numbers = "8 768 64 64 768 0 768 0 0 0 0 0 0 0 0 1 0 ";
  CHECK(refusal(machine + "\n" + numbers + ": 1 2 3 4 5 6 7 8\n").empty());
  CHECK(refusal(machine + "\n" + numbers + ":\n").empty());
  CHECK(refusal(machine + "\n" + numbers + ": 1 2 3\n") == bad);
  CHECK(refusal(machine + "\n" + numbers + ": 1 2 3 4 5 6 7 8 9\n") == bad);
  CHECK(refusal(machine + "\n" + numbers + ": 1 2 3 4 5 6 7 x\n") == bad);
  CHECK(refusal(machine + "\n" + numbers + "1 2 3 4 5 6 7 8\n") == bad);
  CHECK(refusal(machine + "\n8 768\n") == bad);
  CHECK(refusal(machine + "\n\n") == bad);
  ProductPlans plans;
  CHECK_THROWS_WITH_AS(plans.open((directory / "none" / "plans.txt").string(), machine),
                       doctest::Contains("cannot be written"), Error);
}

}  // namespace product_plans_test
