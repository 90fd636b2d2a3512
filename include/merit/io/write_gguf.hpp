// GGUF files, version 3, written; gguf.hpp says what one is made of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/dtype.hpp"
#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/gguf.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The metadata of a file, in their order.
class GgufMetadata {
 public:
  GgufMetadata& text(std::string_view key, std::string_view value);
  GgufMetadata& number(std::string_view key, std::uint32_t value);
  GgufMetadata& real(std::string_view key, float value);
  GgufMetadata& truth(std::string_view key, bool value);
  GgufMetadata& texts(std::string_view key, std::span<const std::string> values);
  GgufMetadata& truths(std::string_view key, const std::vector<bool>& values);
  GgufMetadata& reals(std::string_view key, std::span<const float> values);
  GgufMetadata& integers(std::string_view key, std::span<const std::int32_t> values);
  /// An entry as another file has it (GgufFile::entry_bytes); values() has it not.
  GgufMetadata& raw(std::string_view bytes);

  Index count() const { return count_; }
  const std::string& bytes() const { return bytes_; }
  const GgufHead::Metadata& values() const { return values_; }

 private:
  GgufMetadata& entry(std::string_view key, detail::GgufType type, std::string_view bytes, GgufValue value);
  GgufMetadata& array(std::string_view key, detail::GgufType type, Index count, std::string_view bytes,
                      GgufValue value);

  std::string bytes_;
  GgufHead::Metadata values_;
  Index count_ = 0;
};

/// A tensor to be written: its bytes are asked for when their turn comes.
struct GgufTensorSource {
  std::string name;
  std::vector<Index> shape;  // row-major
  Dtype dtype = Dtype::f32;  // rows are whole blocks of it
  std::function<std::vector<std::byte>()> bytes;
};

/// The head of a file that is yet to be written, so that what it would be read as is known before. `tensors` outlive it.
class PlannedGguf final : public GgufHead {
 public:
  PlannedGguf(const std::filesystem::path& path, const GgufMetadata& metadata,
              std::span<const GgufTensorSource> tensors);

  void read_numbers(std::string_view name, VectorView<float> out) const override;

 private:
  std::span<const GgufTensorSource> sources_;
};

/// Writes one file, all or nothing (AtomicFile). `data_alignment` is what the metadata say under
/// "general.alignment", 32 where they do not. Throws UsageError where the bytes of a tensor are not as many as
/// its shape takes, IoError where the system refuses.
void write_gguf(const std::filesystem::path& path, const GgufMetadata& metadata,
                std::span<const GgufTensorSource> tensors, Index data_alignment = 32);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/io/write_gguf_body.hpp"
#endif
