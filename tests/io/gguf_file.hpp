// A GGUF file put together byte by byte, as it should be or not.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace merit_test {

/// The little-endian bytes of a number.
template <class T>
std::string gguf_bytes(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}
inline std::string gguf_string(std::string_view text) {
  return gguf_bytes(std::uint64_t{text.size()}) + std::string(text);
}

/// Numbers of the types of metadata in files.
namespace gguf_kind {
enum Number : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };
}

class GgufBytes {
 public:
  std::uint32_t version = 3;
  std::string magic = "GGUF";
  std::uint64_t alignment = 32;   // of the data that are appended
  std::int64_t more_tensors = 0;  // than there are, in the header
  std::int64_t more_entries = 0;

  /// A metadata entry whose value is `bytes`.
  GgufBytes& entry(std::string_view key, std::uint32_t type, const std::string& bytes) {
    entries_ += gguf_string(key) + gguf_bytes(type) + bytes;
    ++entry_count_;
    return *this;
  }
  GgufBytes& text(std::string_view key, std::string_view value) {
    return entry(key, gguf_kind::string, gguf_string(value));
  }
  GgufBytes& number(std::string_view key, std::uint32_t value) {
    return entry(key, gguf_kind::u32, gguf_bytes(value));
  }
  GgufBytes& real(std::string_view key, float value) { return entry(key, gguf_kind::f32, gguf_bytes(value)); }

  /// A tensor at a place in the data that the caller names. `dimensions` innermost first, as in the file.
  GgufBytes& place(std::string_view name, const std::vector<std::uint64_t>& dimensions, std::uint32_t type,
                   std::uint64_t offset) {
    tensors_ += gguf_string(name) + gguf_bytes(static_cast<std::uint32_t>(dimensions.size()));
    for (const std::uint64_t size : dimensions) tensors_ += gguf_bytes(size);
    tensors_ += gguf_bytes(type) + gguf_bytes(offset);
    ++tensor_count_;
    return *this;
  }
  /// Appends data without a tensor.
  GgufBytes& data(std::string_view bytes) {
    data_.resize((data_.size() + alignment - 1) / alignment * alignment);
    data_ += bytes;
    return *this;
  }
  /// A tensor and its data.
  GgufBytes& tensor(std::string_view name, const std::vector<std::uint64_t>& dimensions, std::uint32_t type,
                    std::string_view bytes) {
    data("");
    place(name, dimensions, type, data_.size());
    data_ += bytes;
    return *this;
  }
  GgufBytes& floats(std::string_view name, const std::vector<std::uint64_t>& dimensions,
                    const std::vector<float>& values) {
    const auto* begin = reinterpret_cast<const char*>(values.data());
    return tensor(name, dimensions, 0, std::string_view(begin, values.size() * sizeof(float)));
  }

  std::string bytes() const {
    std::string result =
        magic + gguf_bytes(version) + gguf_bytes(tensor_count_ + static_cast<std::uint64_t>(more_tensors)) +
        gguf_bytes(entry_count_ + static_cast<std::uint64_t>(more_entries)) + entries_ + tensors_;
    if (!data_.empty()) result.resize((result.size() + alignment - 1) / alignment * alignment);
    return result + data_;
  }

 private:
  std::string entries_, tensors_, data_;
  std::uint64_t entry_count_ = 0, tensor_count_ = 0;
};

}  // namespace merit_test
