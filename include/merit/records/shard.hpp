// Which records one of several processes takes: "2/8" is the second of eight.
#pragma once

#include <charconv>
#include <string>
#include <string_view>
#include <system_error>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// One of `count` parts of the records of an input: record k (from 0, in their order) belongs to shard k mod count + 1,
/// so to one and no other.
///
/// In turn and not in runs, because nothing needs to know how many records there are: a pipe has shards too, and records
/// that come sorted by their length, as sets often do, are shared out evenly.
struct Shard {
  Index number = 1;  // from 1
  Index count = 1;

  bool has(Index record) const { return record % count == number - 1; }

  /// The record that is the n-th of the shard, n from 0.
  Index record(Index n) const { return n * count + number - 1; }

  /// How many of the first `records` are the shard's.
  Index count_of(Index records) const { return records / count + (records % count >= number ? 1 : 0); }

  std::string text() const { return concat(number, '/', count); }

  /// Throws ConfigError, which begins with `option`, for anything but I/N with 1 <= I <= N.
  static Shard from(std::string_view text, std::string_view option) {
    const auto whole = [](std::string_view part, Index& value) {
      const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
      return error == std::errc{} && end == part.data() + part.size();
    };
    Shard shard;
    const auto slash = text.find('/');
    const bool read = slash != text.npos && whole(text.substr(0, slash), shard.number) &&
                      whole(text.substr(slash + 1), shard.count);
    if (!read || shard.number == 0 || shard.number > shard.count) {
      throw ConfigError(concat(option, " is \"", text, "\", expected I/N with I from 1 to N, such as 2/8"));
    }
    return shard;
  }
};

}  // namespace MERIT_ABI
}  // namespace merit
