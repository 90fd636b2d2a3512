// The bodies of gzip.hpp.
#pragma once

#if defined(MERIT_USE_ZLIB)
#include <zlib.h>
#endif

#include <memory>
#include <streambuf>
#include <string>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/gzip.hpp"

namespace merit {
inline namespace MERIT_ABI {

#if defined(MERIT_USE_ZLIB)
namespace detail::gzip {

class Unpacked final : public std::streambuf {
 public:
  Unpacked(std::streambuf& packed, std::string name)
      : packed_(packed), name_(std::move(name)), in_(block), out_(block) {
    constexpr int gzip_window = 15 + 16;  // the largest, and gzip's header
    if (inflateInit2(&stream_, gzip_window) != Z_OK) throw IoError(name_ + ": zlib cannot be started");
  }
  ~Unpacked() override { inflateEnd(&stream_); }

 protected:
  int_type underflow() override {
    if (damaged_) return traits_type::eof();
    stream_.next_out = out_.data();
    stream_.avail_out = static_cast<uInt>(out_.size());
    while (stream_.avail_out == out_.size()) {
      if (stream_.avail_in == 0 && !fill()) {
        if (std::exchange(inside_, false)) {  // said once
          throw DataError(name_ + ": ends in the middle of its gzip data, expected a whole file");
        }
        return traits_type::eof();
      }
      const int said = inflate(&stream_, Z_NO_FLUSH);
      inside_ = said != Z_STREAM_END;
      if (said == Z_STREAM_END) {
        inflateReset(&stream_);
      } else if (said != Z_OK && said != Z_BUF_ERROR) {
        inside_ = false;
        damaged_ = true;
        throw DataError(concat(name_, ": found damaged gzip data",
                               stream_.msg != nullptr ? concat(" (", stream_.msg, ")") : std::string(),
                               ", expected a whole file"));
      }
    }
    auto* begin = reinterpret_cast<char*>(out_.data());
    setg(begin, begin, begin + (out_.size() - stream_.avail_out));
    return traits_type::to_int_type(*gptr());
  }

 private:
  static constexpr Index block = Index{1} << 16;

  bool fill() {
    const auto got =
        packed_.sgetn(reinterpret_cast<char*>(in_.data()), static_cast<std::streamsize>(in_.size()));
    stream_.next_in = in_.data();
    stream_.avail_in = got > 0 ? static_cast<uInt>(got) : 0;
    inside_ |= got > 0;
    return got > 0;
  }

  std::streambuf& packed_;
  std::string name_;
  std::vector<unsigned char> in_, out_;
  z_stream stream_ = {};
  bool inside_ = false;  // a member has begun and not ended
  bool damaged_ = false;
};

}  // namespace detail::gzip
#endif

MERIT_INLINE std::unique_ptr<std::streambuf> gunzip(std::streambuf& packed, const std::string& name) {
#if defined(MERIT_USE_ZLIB)
  return std::make_unique<detail::gzip::Unpacked>(packed, name);
#else
  static_cast<void>(packed);
  throw IoError(
      name +
      ": found a gzip file, which this build cannot read: unpack it with gunzip, or build with zlib "
      "(apt-get install zlib1g-dev)");
#endif
}

}  // namespace MERIT_ABI
}  // namespace merit
