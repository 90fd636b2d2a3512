// The plain template: its text by hand, and that prefixes stay prefixes.
#include <doctest/doctest.h>

#include <span>
#include <string>
#include <vector>

#include "merit/templates/plain_template.hpp"

namespace plain_template_test {

using merit::Message;
using merit::PlainTemplate;
using merit::render_plain;
using merit::Value;

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
    const auto apart = render_apart(PlainTemplate(), std::span(all).first(n), std::span(all).subspan(n));
    CHECK(apart.text == whole);
  }
}

TEST_CASE("the completion begins after the assistant's header") {
  const std::vector<Message> prompt{{"user", "Hi"}};
  const auto answered = render_apart(PlainTemplate(), prompt, std::vector<Message>{{"assistant", "Hello"}});
  CHECK(answered.text.substr(answered.completion_begin) == "Hello\n\n");
  const auto other = render_apart(PlainTemplate(), prompt, std::vector<Message>{{"user", "Hello"}});
  CHECK(other.text.substr(other.completion_begin) == "user: Hello\n\n");
}

TEST_CASE("a final message may stay open") {
  const std::vector<Message> open{{"user", "Hi"}, {"assistant", "Hel"}};
  CHECK(PlainTemplate().render(open, {.continue_final_message = true}) == "user: Hi\n\nassistant: Hel");
}

TEST_CASE("what the plain template has no place for is refused by name, unless it says nothing") {
  const auto render = [](const Value& whole, const Value& tools = {}) {
    return PlainTemplate().render(std::vector<Message>{{"user", "Hi", whole}}, {.tools = tools});
  };
  CHECK(render({}) == "user: Hi\n\n");
  CHECK(render(Value::object(
            {{"role", "user"}, {"content", "Hi"}, {"name", Value()}, {"tool_calls", Value::List()}})) ==
        "user: Hi\n\n");
  CHECK_THROWS_WITH(
      render(Value::object({{"role", "user"}, {"content", "Hi"}, {"reasoning_content", "Hm"}})),
      doctest::Contains("no place for the field 'reasoning_content' of a message of the role 'user'"));
  const Value image = Value::object({{"type", "image"}, {"image", "a.png"}});
  CHECK_THROWS_WITH(render(Value::object({{"role", "user"}, {"content", Value::List{image}}})),
                    doctest::Contains("the field 'content[0].image'"));
  const Value more = Value::object({{"type", "text"}, {"text", "hi"}, {"image_url", "a.png"}});
  CHECK_THROWS_WITH(render(Value::object({{"role", "user"}, {"content", Value::List{"x", more}}})),
                    doctest::Contains("the field 'content[1].image_url' of a message of the role 'user'"));
  CHECK_THROWS_WITH(render({}, Value::List{"tool"}), doctest::Contains("the tools of the conversation"));
}

TEST_CASE("no two conversations give one text") {
  using Talk = std::vector<Message>;
  const std::vector<Talk> talks = {
      {{"assistant", "A\n\nuser: ok"}},         {{"assistant", "A"}, {"user", "ok"}},
      {{"assistant", "A\n\n\\user: ok"}},       {{"assistant", "A\n\n\\\\user: ok"}},
      {{"assistant", "A\n"}, {"user", "ok"}},   {{"assistant", "A\n\n\nuser: ok"}},
      {{"assistant", "A\n\n"}, {"user", "ok"}}, {{"assistant", "A"}, {"user", "ok\n\n"}},
      {{"assistant", ""}, {"user", "ok"}},      {{"assistant", "\n\nuser: ok"}},
  };
  for (std::size_t i = 0; i < talks.size(); ++i) {
    for (std::size_t j = i + 1; j < talks.size(); ++j) {
      CAPTURE(i);
      CAPTURE(j);
      CHECK(render_plain(talks[i]) != render_plain(talks[j]));
    }
  }
  CHECK(render_plain(talks[0]) == "assistant: A\n\n\\user: ok\n\n");
  // What does not look like a message stays as it is.
  CHECK(render_plain(Talk{{"user", "a\n\nNote: b\nuser: c"}}) == "user: a\n\nNote: b\nuser: c\n\n");
  CHECK_THROWS_WITH(PlainTemplate().render(Talk{{"a: b", "c"}}, {}), doctest::Contains("the role \"a: b\""));
}

TEST_CASE("parts of text are their text") {
  const Value part = Value::object({{"type", "text"}, {"text", "Hi "}});
  const Value whole = Value::object({{"role", "user"}, {"content", Value::List{part, "you"}}});
  CHECK(PlainTemplate().render(std::vector<Message>{{"user", "Hi you", whole}}, {}) == "user: Hi you\n\n");
  CHECK(merit::text_of_parts(*whole.find("content")) == "Hi you");
  CHECK(!merit::text_of_parts(Value::List{Value::object({{"type", "image"}, {"text", "x"}})}));
}

/// A template that begins the prompt's rendering with how many messages there are: never prefix-stable.
struct Counting final : merit::ConversationTemplate {
  std::string render(std::span<const Message> messages, const merit::RenderOptions&) const override {
    return "n=" + std::to_string(messages.size()) + "\n";
  }
  std::string name() const override { return "counting"; }
};

/// One that gives a generating model a header which it does not write in a whole conversation.
struct OtherHeader final : merit::ConversationTemplate {
  std::string render(std::span<const Message> messages, const merit::RenderOptions& options) const override {
    return render_plain(messages) + (options.add_generation_prompt ? "assistant: <think>" : "");
  }
  std::string name() const override { return "other_header"; }
};

TEST_CASE("a template that does not keep its beginning is an error with both texts, not a wrong border") {
  const std::vector<Message> prompt{{"user", "Hi"}};
  const std::vector<Message> answer{{"assistant", "Hello"}};
  try {
    static_cast<void>(render_apart(Counting(), prompt, answer));
    FAIL("expected an error");
  } catch (const merit::DataError& error) {
    const std::string text = error.what();
    CHECK(text.find("\"n=\"") != std::string::npos);
    CHECK(text.find("\"1\\n\"") != std::string::npos);
    CHECK(text.find("\"2\\n\"") != std::string::npos);
  }
  const auto apart = render_apart(OtherHeader(), prompt, answer);
  CHECK(apart.text.substr(apart.completion_begin) == "assistant: Hello\n\n");
}

}  // namespace plain_template_test
