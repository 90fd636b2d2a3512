// Which algorithm of cuBLASLt computes a product, by its shape, in memory and in a file: without CUDA, so that it can be
// tested where there is none.
#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::device {

/// All that the choice of an algorithm may depend on: out (m, n) from a depth of k.
struct ProductShape {
  std::uint64_t m = 0, n = 0, k = 0;
  std::uint64_t a_stride = 0, b_stride = 0, addend_stride = 0, out_stride = 0;
  std::uint64_t a_alignment = 0, b_alignment = 0, addend_alignment = 0, out_alignment = 0;  // bytes
  std::uint64_t factors = 0, out = 0;                                                       // their Dtypes
  std::uint64_t a_transposed = 0, b_transposed = 0, bias = 0, adds = 0;

  bool operator==(const ProductShape&) const = default;

  /// Calls f with each of its numbers, in an order that files keep.
  template <class Self, class F>
  static void for_each_number(Self& self, F f) {
    for (auto* const number :
         {&self.m, &self.n, &self.k, &self.a_stride, &self.b_stride, &self.addend_stride, &self.out_stride,
          &self.a_alignment, &self.b_alignment, &self.addend_alignment, &self.out_alignment, &self.factors,
          &self.out, &self.a_transposed, &self.b_transposed, &self.bias, &self.adds})
      f(*number);
  }
};

/// Products rise and fall with the tokens of a batch: shapes that differ by little share an algorithm, so that there are not as
/// many as batches. `extent` up to the next of 16 numbers between powers of two.
constexpr std::uint64_t bucket_of(std::uint64_t extent) {
  std::uint64_t unit = 1;
  while (extent / unit >= 32) unit *= 2;
  return (extent + unit - 1) / unit * unit;
}

/// The shape for which an algorithm is chosen: every shape of a bucket has the same, whichever came first. What is rounded is
/// the extent that the tokens are: the rows of a linear layer, the depth of a weight's gradient. Either is how many rows of a
/// matrix there are, so that strides stay right; widths are a model's own.
inline ProductShape bucket_of(ProductShape shape) {
  if (shape.a_transposed == 0) shape.m = bucket_of(shape.m);
  if (shape.a_transposed != 0 && shape.b_transposed == 0) shape.k = bucket_of(shape.k);
  return shape;
}

/// Algorithms by shape, as cuBLASLt writes them; none where it has none.
class ProductPlans {
 public:
  using Algorithm = std::array<std::uint64_t, 8>;
  using Plan = std::optional<Algorithm>;

  /// Null where the shape is new. The answer stays where it is.
  const Plan* find(const ProductShape& shape) const {
    const auto found = plans_.find(shape);
    return found == plans_.end() ? nullptr : &found->second;
  }

  /// Also to the file, if there is one. Throws Error where it cannot be written to.
  const Plan* add(const ProductShape& shape, const Plan& plan) {
    if (!file_.empty()) {
      std::ofstream out(file_, std::ios::app);
      out << line_of(shape, plan) << std::flush;
      if (!out) throw Error(concat(file_, ": writing failed: expected a file for the plans of products"));
    }
    return &plans_.insert_or_assign(shape, plan).first->second;
  }

  Index size() const { return plans_.size(); }

  /// Reads what the file has, if it is there, and keeps in it what is added from here on. `machine` is the line that it must
  /// begin with: another machine's algorithms may not run, or be slow. A last line that was not finished is cut off. Throws
  /// Error for a file of another kind or machine.
  void open(const std::string& file, const std::string& machine) {
    std::ifstream in(file, std::ios::binary);
    if (in) {
      read(file, in, machine);
    } else if (!begin(file, machine)) {  // another process was first
      in.open(file, std::ios::binary);
      read(file, in, machine);
    }
    file_ = file;
  }

 private:
  struct Hash {
    std::size_t operator()(const ProductShape& shape) const {
      std::uint64_t hash = 0xCBF29CE484222325u;
      ProductShape::for_each_number(shape,
                                    [&](std::uint64_t number) { hash = (hash ^ number) * 0x100000001B3u; });
      return hash;
    }
  };

  static std::string line_of(const ProductShape& shape, const Plan& plan) {
    std::ostringstream line;
    ProductShape::for_each_number(shape, [&](std::uint64_t number) { line << number << ' '; });
    line << ':' << std::hex;
    for (Index i = 0; plan && i < plan->size(); ++i) line << ' ' << (*plan)[i];
    line << '\n';
    return line.str();
  }

  /// A file with its first line, all at once; false where there is one already.
  static bool begin(const std::string& file, const std::string& machine) {
    const std::string unfinished = concat(file, ".", std::random_device()());
    std::ofstream out(unfinished, std::ios::binary);
    out << machine << '\n' << std::flush;
    if (!out) throw Error(concat(file, ": cannot be written: expected a file for the plans of products"));
    std::error_code answer, removed;
    std::filesystem::create_hard_link(unfinished, file, answer);
    std::filesystem::remove(unfinished, removed);
    if (answer && answer != std::errc::file_exists)
      throw Error(concat(file, ": cannot be written: ", answer.message()));
    return !answer;
  }

  void read(const std::string& file, std::ifstream& in, const std::string& machine) {
    const std::string all((std::istreambuf_iterator<char>(in)), {});
    in.close();
    const std::size_t whole = all.rfind('\n') + 1;  // 0 where there is no line
    std::istringstream lines(all.substr(0, whole));
    std::string line;
    if (!std::getline(lines, line) || line != machine) {
      const bool text =
          std::all_of(line.begin(), line.end(), [](unsigned char c) { return std::isprint(c) != 0; });
      throw Error(concat(file, ", line 1: found \"", text ? line.substr(0, 80) : "no text", "\", expected \"",
                         machine, "\": name another file, or remove it"));
    }
    for (Index number = 2; std::getline(lines, line); ++number) {
      std::istringstream words(line);
      ProductShape shape;
      std::string colon;
      bool good = true;
      ProductShape::for_each_number(shape, [&](std::uint64_t& n) { good = good && words >> n; });
      good = good && words >> colon && colon == ":";
      std::vector<std::uint64_t> numbers;
      words >> std::hex;
      for (std::uint64_t n = 0; good && words >> n;) numbers.push_back(n);
      Plan plan;
      if (numbers.size() == Algorithm{}.size()) {
        plan.emplace();
        std::copy(numbers.begin(), numbers.end(), plan->begin());
      } else {
        good = good && numbers.empty();
      }
      if (!good || !words.eof()) {
        throw Error(concat(file, ", line ", number, ": expected the numbers of a shape, a colon and ",
                           Algorithm{}.size(), " numbers of an algorithm, or none: remove the line"));
      }
      plans_.emplace(shape, plan);  // of several processes the first to choose is right
    }
    if (whole == all.size()) return;
    std::error_code answer;
    std::filesystem::resize_file(file, whole, answer);
    if (answer)
      throw Error(concat(file, ": its last line was not finished and cannot be cut off: ", answer.message()));
  }

  std::unordered_map<ProductShape, Plan, Hash> plans_;
  std::string file_;
};

}  // namespace detail::device
}  // namespace MERIT_ABI
}  // namespace merit
