// Bytes of a gzip file, unpacked as they are read, by zlib where the build has it.
#pragma once

#include <memory>
#include <streambuf>
#include <string>

#include "merit/core/error.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The first byte of a gzip file, with which no JSON text begins.
inline constexpr unsigned char gzip_first_byte = 0x1F;

/// What `packed`, which must outlive the result, holds, of any number of gzip members one behind the other. `name`
/// stands for the file in errors. Reading throws DataError where the bytes are no gzip, damaged, or end too early.
/// Throws IoError in a build without zlib (MERIT_USE_ZLIB), which says how to get one.
std::unique_ptr<std::streambuf> gunzip(std::streambuf& packed, const std::string& name);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/io/gzip_body.hpp"
#endif
