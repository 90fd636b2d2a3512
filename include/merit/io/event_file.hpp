// Numbers of a run as TensorBoard reads them: a file of events, each a scalar at a step.
#pragma once

#include <array>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// CRC-32C (Castagnoli), bits reflected.
inline std::uint32_t crc32c(std::string_view bytes) {
  static constexpr std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> values{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78U : 0U);
      values[i] = value;
    }
    return values;
  }();
  std::uint32_t crc = ~std::uint32_t{0};
  for (const char byte : bytes) crc = (crc >> 8) ^ table[(crc ^ static_cast<unsigned char>(byte)) & 0xFF];
  return ~crc;
}

/// Protocol buffers' wire format, as much of it as events need.
class ProtoText {
 public:
  void varint(Index field, std::uint64_t value) {
    raw_varint(field << 3);
    raw_varint(value);
  }
  void number(Index field, double value) {
    raw_varint(field << 3 | 1);
    little_endian(std::bit_cast<std::uint64_t>(value));
  }
  void number(Index field, float value) {
    raw_varint(field << 3 | 5);
    little_endian(std::bit_cast<std::uint32_t>(value));
  }
  void bytes(Index field, std::string_view value) {
    raw_varint(field << 3 | 2);
    raw_varint(value.size());
    text_ += value;
  }
  template <class Unsigned>
  void little_endian(Unsigned value) {
    for (std::size_t i = 0; i < sizeof value; ++i) text_ += static_cast<char>(value >> (8 * i) & 0xFF);
  }
  const std::string& text() const { return text_; }

 private:
  void raw_varint(std::uint64_t value) {
    for (; value >= 128; value >>= 7) text_ += static_cast<char>(value | 128);
    text_ += static_cast<char>(value);
  }

  std::string text_;
};

}  // namespace detail

/// A file of scalars for TensorBoard: "brain.Event:2", each event framed as TFRecord does (its length, and
/// checksums of both). Throws IoError where it cannot be written.
class EventFile {
 public:
  /// `seconds`: since 1970, as in the file's name, which TensorBoard goes by; the folder is made.
  EventFile(const std::filesystem::path& folder, double seconds) {
    std::error_code ignored;
    std::filesystem::create_directories(folder, ignored);
    path_ = folder / concat("events.out.tfevents.", static_cast<std::uint64_t>(seconds), ".merit");
    file_ = std::fopen(path_.c_str(), "ab");
    if (file_ == nullptr) fail();
    detail::ProtoText event;
    event.number(1, seconds);
    event.bytes(3, "brain.Event:2");
    write(event.text());
  }
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;
  ~EventFile() {
    if (file_ != nullptr) std::fclose(file_);
  }

  /// One number under a name such as "train/loss", at a step, at so many seconds since 1970.
  void scalar(std::string_view tag, Index step, double value, double seconds) {
    detail::ProtoText scalar, summary, event;
    scalar.bytes(1, tag);
    scalar.number(2, static_cast<float>(value));
    summary.bytes(1, scalar.text());
    event.number(1, seconds);
    event.varint(2, step);
    event.bytes(5, summary.text());
    write(event.text());
  }

  /// The run goes on from before this step: what other files of the folder say of it and later ones is void.
  void restart(Index step, double seconds) {
    detail::ProtoText status, event;
    status.varint(1, 1);  // SessionLog.START
    event.number(1, seconds);
    event.varint(2, step);
    event.bytes(7, status.text());
    write(event.text());
  }

  const std::filesystem::path& path() const { return path_; }

 private:
  static std::uint32_t masked(std::string_view bytes) {
    const std::uint32_t crc = detail::crc32c(bytes);
    return (crc >> 15 | crc << 17) + 0xA282EAD8U;
  }

  void write(std::string_view event) {
    detail::ProtoText length, framed;
    length.little_endian(std::uint64_t{event.size()});
    framed.little_endian(masked(length.text()));
    std::string record = length.text() + framed.text();
    record += event;
    detail::ProtoText end;
    end.little_endian(masked(event));
    record += end.text();
    if (std::fwrite(record.data(), 1, record.size(), file_) != record.size() || std::fflush(file_) != 0)
      fail();
  }

  [[noreturn]] void fail() const {
    throw IoError(
        concat("cannot write the events ", path_.string(), ": ", std::generic_category().message(errno)));
  }

  std::filesystem::path path_;
  std::FILE* file_ = nullptr;
};

}  // namespace MERIT_ABI
}  // namespace merit
