// What a backbone or head says of a tensor that it declares, and how it names tensors afterwards.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// How a tensor starts: zeros, ones, or normal with a standard deviation.
struct Init {
  enum class Kind : std::uint8_t { zeros, ones, normal } kind = Kind::zeros;
  double deviation = 0;

  static Init zeros() { return {}; }
  static Init ones() { return {Kind::ones, 0}; }
  static Init normal(double deviation) { return {Kind::normal, deviation}; }
};

/// Where the values of a new model come from: drawn now, as each tensor's Init says; or from a file, after
/// which Parameters::draw gives the tensors that the file lacks what they would have drawn. Until then there
/// are none.
enum class Initial : std::uint8_t { drawn, from_file };

/// Where a file keeps the rows of a tensor that it holds in a larger one, or whole under another name: row r of the tensor
/// is row begin + r / run · period + r % run of `tensor`, a matrix of `rows` rows.
struct StoredRows {
  std::string tensor = {};  // empty: the file holds the tensor by itself
  Index rows = 0;
  Index begin = 0;
  Index run = 0;  // 0: all rows follow each other
  Index period = 0;

  bool present() const { return !tensor.empty(); }
  Index row(Index r) const { return run == 0 ? begin + r : begin + r / run * period + r % run; }

  friend bool operator==(const StoredRows&, const StoredRows&) = default;
};

/// One named tensor, as a backbone or head declares it.
struct ParameterSpec {
  std::string name = {};          // as in published checkpoints
  std::vector<Index> shape = {};  // one or two dimensions
  Init init = {};
  bool decay = true;      // weight decay applies (not to norms and biases)
  bool adjacent = false;  // lies directly behind the one declared before, so that both can be one matrix
  bool trainable = true;
  bool hidden = false;  // a linear map inside a layer, no embedding, no head: what Muon and adapters are for
  bool in_out = false;  // such a map is stored (in, out), as GPT-2's Conv1D
  StoredRows stored_in = {};  // a larger tensor of the file that holds it
};

namespace detail {

/// Throws UsageError for a spec that cannot be declared after the one `before` it, null for the first.
inline void check_declaration(const ParameterSpec& spec, const ParameterSpec* before) {
  const Index dimensions = spec.shape.size();
  const auto refuse = [&](const char* why) { throw UsageError(concat("parameter '", spec.name, "' ", why)); };
  if (dimensions != 1 && dimensions != 2) refuse("has no shape of one or two dimensions");
  if (spec.hidden && dimensions != 2) refuse("is no matrix, but declared as a linear map");
  if (!spec.adjacent) return;
  // One matrix has one place in a block, and its rows have one width.
  if (before == nullptr || before->trainable != spec.trainable || before->decay != spec.decay)
    refuse("is adjacent to none that is trained and decays as it does");
  if (before->shape.size() != dimensions || (dimensions == 2 && before->shape[1] != spec.shape[1]))
    refuse("is adjacent to none of rows as wide");
}

}  // namespace detail

/// One tensor, or several adjacent ones taken as one matrix (rows, cols), or a row or some columns of it.
struct ParameterSlice {
  std::uint32_t first = 0;  // the tensors it covers
  std::uint32_t count = 0;
  Index begin = 0;  // its first element, counted from the first tensor's
  Index rows = 0;
  Index cols = 0;
  Index stride = 0;

  bool present() const { return count != 0; }
  Index size() const { return rows * cols; }
  /// One row: the vector of one token in an embedding.
  ParameterSlice row(Index i) const { return {first, count, begin + i * stride, 1, cols, stride}; }
  /// Some columns: the queries' part of a joint projection.
  ParameterSlice columns(Index from, Index width) const {
    return {first, count, begin + from, rows, width, stride};
  }
};

}  // namespace MERIT_ABI
}  // namespace merit
