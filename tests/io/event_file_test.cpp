// Events for TensorBoard: byte for byte what its own writer makes (tests/golden/generate_events.py).
#include "merit/io/event_file.hpp"

#include <doctest/doctest.h>

#include <string>

#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "stored.hpp"
#include "temporary.hpp"

namespace event_file_test {

using namespace merit;
using namespace merit_test;

std::string hexadecimal(const std::string& bytes) {
  std::string text;
  for (const char c : bytes) {
    constexpr const char* digits = "0123456789abcdef";
    text += digits[static_cast<unsigned char>(c) >> 4];
    text += digits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

TEST_CASE("events are framed and encoded as TensorBoard writes them") {
  const Json events_of = read_json(stored("events.json"));
  const TemporaryDirectory folder;
  std::filesystem::path path;
  {
    EventFile events(folder / "logs", 1700000000.25);
    events.scalar("train/loss", 1, 0.693, 1700000001.5);
    events.scalar("train/learning_rate", 300, 1e-5, 1700000002);
    events.restart(301, 1700000003);
    path = events.path();
  }
  CHECK(path.filename() == "events.out.tfevents.1700000000.merit");
  std::string expected;
  for (const char* name : {"start", "loss", "rate", "restart"})
    expected += events_of[name].get<std::string>();
  CHECK(hexadecimal(read_file(path)) == expected);
}

TEST_CASE("the checksum is the one of RFC 3720") {
  CHECK(detail::crc32c("123456789") == 0xE3069283U);
  CHECK(detail::crc32c(std::string(32, '\0')) == 0x8A9136AAU);
}

TEST_CASE("a folder that cannot be written is one sentence") {
  const TemporaryDirectory folder;
  write_file_atomically(folder / "file", "text");
  CHECK_THROWS_WITH_AS(EventFile(folder / "file", 1), doctest::Contains("cannot write the events "), IoError);
}

}  // namespace event_file_test
