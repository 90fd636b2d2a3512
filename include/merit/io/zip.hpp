// What lies where in a zip archive whose files are stored, not compressed, such as torch.save writes.
// Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The bytes of one file in an archive.
struct ZipEntry {
  Index begin = 0;  // counted from the beginning of the archive
  Index size = 0;
};
using ZipEntries = std::map<std::string, ZipEntry, std::less<>>;

/// The files of the archive `bytes`, by name. Throws DataError that begins with `where` for what is truncated,
/// lies outside, occurs twice, is compressed or encrypted. Checksums are not looked at.
ZipEntries zip_entries(std::string_view bytes, const std::string& where);

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/io/zip_body.hpp"
#endif
