// Errors that reach the user. One clear sentence each: where, what was found, what was expected.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "merit/core/concat.hpp"
#include "merit/core/version.hpp"
#include "merit/core/visible.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The base of every exception merit throws on purpose. Its sentence is one line of visible() text, whatever
/// bytes of others it quotes.
class Error : public std::runtime_error {
 public:
  explicit Error(std::string_view sentence) : std::runtime_error(visible(sentence)) {}
};

/// A number or name in a configuration that cannot be used: a width that heads do not divide, a negative
/// rate.
class ConfigError : public Error {
 public:
  using Error::Error;
};

/// Bytes that are not what their format says: a malformed record, a truncated tensor, an unknown field.
class DataError : public Error {
 public:
  using Error::Error;
};

/// The operating system refused: a file that is missing, a disk that is full. Or a file of records is none, so that
/// there is nothing to go on with.
class IoError : public Error {
 public:
  using Error::Error;
};

/// Two shapes that do not fit, or a call out of order. A mistake of the calling program.
class UsageError : public Error {
 public:
  using Error::Error;
};

}  // namespace MERIT_ABI
}  // namespace merit
