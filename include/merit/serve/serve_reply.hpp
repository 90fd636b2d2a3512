// An answer to a request: an HTTP status and a body.
#pragma once

#include <string>

#include "merit/core/version.hpp"
#include "merit/io/json.hpp"

namespace merit {
inline namespace MERIT_ABI {

struct ServeReply {
  int status = 200;
  std::string body = {};
  std::string content_type = "application/json";
  double retry_after = 0;  // seconds; 0: nothing is said of it
};

namespace detail {

inline std::string dumped(const Json& body) {
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}
inline ServeReply reply(const Json& body) {
  return {200, dumped(body)};
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
