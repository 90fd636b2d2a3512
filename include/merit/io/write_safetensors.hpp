// Weights to files of the safetensors format: one file, or shards with an index.
#pragma once

#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "merit/core/dtype.hpp"
#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/io/safetensors.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// A tensor to be written: where its numbers are, row-major. Does not own them.
struct TensorSource {
  std::string name;
  std::vector<Index> shape;
  std::variant<const float*, const double*, const F16*, const Bf16*> data;
  std::optional<Dtype> dtype = std::nullopt;  ///< in the file; nothing: what the options say
};

struct SafetensorsOptions {
  /// The type in the file; nothing: F32 for floats and F64 for doubles, which loses no bit.
  std::optional<Dtype> dtype = std::nullopt;

  /// More strings for "__metadata__", beside {"format": "pt"} which transformers expects.
  std::map<std::string, std::string> metadata{};

  /// write_safetensors_directory begins a new shard before a shard's data would grow beyond this.
  Index max_shard_bytes = std::numeric_limits<Index>::max();

  /// Infinities and NaNs, also those that arise because a number does not fit the type in the file.
  NonFinite non_finite = NonFinite::reject;
};

/// Writes one safetensors file, all or nothing (AtomicFile). Options about shards do not apply. Throws
/// UsageError for two tensors of one name or a shape that overflows, DataError for a number that is not
/// finite in the file's type, IoError when the system refuses.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorSource> tensors,
                       const SafetensorsOptions& options = {});

/// Writes a checkpoint's weights into an existing directory as transformers does: `STEM.safetensors`, or,
/// when they exceed options.max_shard_bytes, `STEM-00001-of-0000N.safetensors` and so on with
/// `STEM.safetensors.index.json`. Tensors keep their order; one that is larger than a shard gets a shard of
/// its own. Each file is written all or nothing; for all of them together use AtomicDirectory.
void write_safetensors_directory(const std::filesystem::path& directory,
                                 std::span<const TensorSource> tensors,
                                 const SafetensorsOptions& options = {}, std::string_view stem = "model");

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/io/write_safetensors_body.hpp"
#endif
