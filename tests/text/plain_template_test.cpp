// The plain template: its text by hand, and that prefixes stay prefixes.
#include <doctest/doctest.h>

#include <span>
#include <string>
#include <vector>

#include "merit/text/plain_template.hpp"

namespace plain_template_test {

using merit::Message;
using merit::render_plain;

TEST_CASE("a conversation is role, colon, content and an empty line each") {
  CHECK(render_plain(std::vector<Message>{{"user", "Hi"}, {"assistant", "Hello"}}) ==
        "user: Hi\n\nassistant: Hello\n\n");
  CHECK(render_plain(std::vector<Message>{}) == "");
}

TEST_CASE("the first messages of a conversation render to the beginning of the whole") {
  const std::vector<Message> all{
      {"system", "Be brief."}, {"user", ""}, {"assistant", "\n\nuser: x"}, {"tool", "7"}};
  const std::string whole = render_plain(all);
  for (std::size_t n = 0; n <= all.size(); ++n) {
    CHECK(whole.starts_with(render_plain(std::span(all).first(n))));
    const auto apart = render_plain(std::span(all).first(n), std::span(all).subspan(n));
    CHECK(apart.text == whole);
  }
}

TEST_CASE("the completion begins after the assistant's header") {
  const std::vector<Message> prompt{{"user", "Hi"}};
  const auto answered = render_plain(prompt, std::vector<Message>{{"assistant", "Hello"}});
  CHECK(answered.text.substr(answered.completion_begin) == "Hello\n\n");
  const auto other = render_plain(prompt, std::vector<Message>{{"user", "Hello"}});
  CHECK(other.text.substr(other.completion_begin) == "user: Hello\n\n");
}

}  // namespace plain_template_test
