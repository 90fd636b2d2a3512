// The body of zip.hpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/io/zip.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Fields of the records of an archive, little-endian, each asked for only inside the bytes.
struct ZipBytes {
  std::string_view bytes;
  const std::string& where;

  [[noreturn]] void fail(const std::string& what) const {
    throw DataError(concat(where, ": zip archive: ", what));
  }

  std::string_view part(Index begin, Index size) const {
    if (begin > bytes.size() || size > bytes.size() - begin) {
      fail(concat("truncated: ", size, " bytes are expected at byte ", begin, ", but it has only ",
                  bytes.size()));
    }
    return bytes.substr(begin, size);
  }
  template <class Integer>
  Integer number(Index begin) const {
    Integer value;
    std::memcpy(&value, part(begin, sizeof value).data(), sizeof value);
    return value;
  }
};

/// The list of files: how many, and where it begins.
struct ZipList {
  Index count, begin;
};

inline ZipList zip_list(const ZipBytes& zip) {
  // The last record ends with a comment of at most 65535 bytes, so that it is looked for from the end.
  constexpr Index size = 22, longest_comment = 65535;
  const std::string_view& bytes = zip.bytes;
  if (bytes.size() < size) zip.fail(concat("has ", bytes.size(), " bytes, expected at least ", size));
  const Index first = bytes.size() - std::min(bytes.size(), size + longest_comment);
  const auto found = bytes.substr(first).rfind("PK\5\6");
  if (found == bytes.npos) zip.fail("truncated: the record at its end is missing");
  const Index at = first + found;
  zip.part(at, size + zip.number<std::uint16_t>(at + size - 2));
  ZipList list{zip.number<std::uint16_t>(at + 10), zip.number<std::uint32_t>(at + 16)};
  // Where that record has no room, one of 64 bits lies before it.
  if (list.count == 0xFFFF || list.begin == 0xFFFFFFFF) {
    if (at < 20 || zip.part(at - 20, 4) != "PK\6\7") zip.fail("the record of 64 bits at its end is missing");
    const auto wide = zip.number<std::uint64_t>(at - 12);
    if (zip.part(wide, 4) != "PK\6\6") zip.fail("the record of 64 bits at its end is missing");
    list = {zip.number<std::uint64_t>(wide + 32), zip.number<std::uint64_t>(wide + 48)};
  }
  if (list.count > bytes.size() / 46) {
    zip.fail(concat("says ", list.count, " files, more than its ", bytes.size(), " bytes can hold"));
  }
  return list;
}

MERIT_INLINE ZipEntries zip_entries(std::string_view bytes, const std::string& where) {
  const ZipBytes zip{bytes, where};
  const ZipList list = zip_list(zip);
  ZipEntries entries;
  Index at = list.begin;
  for (Index i = 0; i < list.count; ++i) {
    if (zip.part(at, 4) != "PK\1\2") zip.fail(concat("entry ", i, " of its list is none"));
    const auto flags = zip.number<std::uint16_t>(at + 8), method = zip.number<std::uint16_t>(at + 10);
    Index packed = zip.number<std::uint32_t>(at + 20), size = zip.number<std::uint32_t>(at + 24);
    Index local = zip.number<std::uint32_t>(at + 42);
    const Index name_size = zip.number<std::uint16_t>(at + 28),
                extra_size = zip.number<std::uint16_t>(at + 30);
    const Index comment_size = zip.number<std::uint16_t>(at + 32);
    const std::string name(zip.part(at + 46, name_size));
    // Fields without room stand in an extra record of kind 1, in this order.
    const Index extra_end = at + 46 + name_size + extra_size;
    for (Index extra = at + 46 + name_size; extra + 4 <= extra_end;) {
      const auto kind = zip.number<std::uint16_t>(extra);
      Index field = extra + 4;
      extra = field + zip.number<std::uint16_t>(extra + 2);
      if (kind != 1) continue;
      for (Index* const value : {&size, &packed, &local}) {
        if (*value != 0xFFFFFFFF || field + 8 > extra) continue;
        *value = zip.number<std::uint64_t>(field);
        field += 8;
      }
    }
    at = extra_end + comment_size;
    if ((flags & 1u) != 0) zip.fail(concat("the file ", quote(name), " is encrypted"));
    if (method != 0 || packed != size) {
      zip.fail(concat("the file ", quote(name), " is compressed, expected it stored, as torch.save does"));
    }
    if (zip.part(local, 4) != "PK\3\4")
      zip.fail(concat("the file ", quote(name), " does not begin where the list says"));
    const Index begin =
        local + 30 + zip.number<std::uint16_t>(local + 26) + zip.number<std::uint16_t>(local + 28);
    zip.part(begin, size);
    if (!entries.emplace(name, ZipEntry{begin, size}).second)
      zip.fail(concat("the file ", quote(name), " occurs twice"));
  }
  return entries;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
