// Chat templates as ConversationTemplate: what they are given, spans, continued messages, names.
#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "merit/templates/chat_template.hpp"

namespace chat_template_test {

using namespace merit;

const std::vector<Message> talk = {
    {"system", "Be brief.", {}}, {"user", "Hi", {}}, {"assistant", "Hello ", {}}};
constexpr const char* simple =
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}";

ChatTemplate made(std::string source, ChatTemplate::Settings settings = {}) {
  return ChatTemplate(std::move(source), "it", std::move(settings));
}
std::string error_of(const ChatTemplate& chat, const std::vector<Message>& messages,
                     const RenderOptions& options) {
  try {
    chat.render(messages, options);
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("a chat template sees messages, tokens, tools and variables") {
  ChatTemplate::Settings settings;
  settings.tokens = {{"bos_token", "<s>"}};
  const ChatTemplate chat = made(simple, settings);
  CHECK(chat.render(talk, {}) == "<s><system>Be brief.<user>Hi<assistant>Hello ");
  CHECK(chat.render(talk, {.add_generation_prompt = true}) ==
        "<s><system>Be brief.<user>Hi<assistant>Hello <assistant>");
  RenderOptions options;
  options.variables = Value::object({{"bos_token", "<own>"}, {"enable_thinking", false}});
  CHECK(chat.render({talk.data(), 1}, options) == "<own><system>Be brief.");
  CHECK(made("{{ tools is none }}{{ enable_thinking }}{{ eos_token is defined }}").render(talk, options) ==
        "TrueFalseFalse");
  options.tools = Value::List{Value::object({{"z", 1}, {"a", Value::List{1.0, Value(), true}}})};
  CHECK(made("{{ tools | tojson }}{{ tools }}").render(talk, options) ==
        "[{\"z\": 1, \"a\": [1.0, null, true]}][{'z': 1, 'a': [1.0, None, True]}]");
}

TEST_CASE(
    "whole messages are given without fields that are None, with their reasoning under its usual names") {
  const Value whole =
      Value::object({{"role", "assistant"}, {"content", Value()}, {"reasoning", "Hm."}, {"name", "bot"}});
  const std::vector<Message> messages = {{"assistant", "", whole}};
  CHECK(made("{{ messages[0] }}").render(messages, {}) ==
        "{'thinking': 'Hm.', 'role': 'assistant', 'reasoning': 'Hm.', 'name': 'bot', 'reasoning_content': "
        "'Hm.'}");
  CHECK(made("{{ messages[0].content is defined }}").render(messages, {}) == "False");
}

TEST_CASE("spans of generation blocks are bytes of the text") {
  const ChatTemplate chat = made(
      "{% for m in messages %}[é{{ m.role }}]"
      "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}!{% endgeneration %}{% endif %}{% endfor "
      "%}");
  const auto rendered = chat.render_with_spans(talk, {});
  CHECK(rendered.text == "[ésystem][éuser][éassistant]Hello !");
  REQUIRE(rendered.generated.size() == 1);
  const auto [begin, end] = rendered.generated[0];
  CHECK(rendered.text.substr(begin, end - begin) == "Hello !");
  CHECK(end == rendered.text.size());
  // In a text that is still being put together a block begins where the output stands, as in transformers.
  const ChatTemplate inner = made("ab{% set x %}cd{% generation %}e{% endgeneration %}{% endset %}{{ x }}");
  const auto captured = inner.render_with_spans(talk, {});
  CHECK(captured.text == "abcde");
  CHECK(captured.generated == std::vector<std::pair<Index, Index>>{{2, 3}});
  CHECK(chat.render_with_spans(talk, {.continue_final_message = true}).generated.empty());
}

TEST_CASE("a final message is left open") {
  const RenderOptions open{.continue_final_message = true};
  const std::string body = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}";
  CHECK(made(body).render(talk, open) == "<system>Be brief.</><user>Hi</><assistant>Hello ");
  const std::string trimmed = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</>{% endfor %}";
  CHECK(made(trimmed).render(talk, open) == "<system>Be brief.</><user>Hi</><assistant>Hello");
  const Value parts =
      Value::List{Value::object({{"type", "text"}, {"text", "One"}}), Value::object({{"type", "image"}})};
  const std::vector<Message> of_parts = {
      {"assistant", "", Value::object({{"role", "assistant"}, {"content", parts}})}};
  CHECK(made("{% for p in messages[0].content %}{{ p.text }}|{% endfor %}").render(of_parts, open) == "One");

  CHECK(error_of(made("{% for m in messages %}{{ m.role }}{% endfor %}"), talk, open) ==
        "it: the chat template never reads the content that is to be continued");
  CHECK(error_of(made("{{ messages[0].content }}"), talk, open).find("does not write the whole text") !=
        std::string::npos);
  CHECK(error_of(made(body), talk, {.add_generation_prompt = true, .continue_final_message = true})
            .find("choose one") != std::string::npos);
  const std::vector<Message> silent = {{"assistant", "", Value::object({{"role", "assistant"}})}};
  CHECK(error_of(made(body), silent, open) == "it: the last message has no content to continue");
}

TEST_CASE("what cannot be rendered is refused") {
  CHECK(error_of(made("x"), {}, {}) == "it: a chat template renders at least one message, found none");
  CHECK(error_of(made("x"), {{"user", "", Value("text")}}, {}) == "it: a message is no object of fields");
  RenderOptions options;
  options.variables = 5;
  CHECK(error_of(made("x"), talk, options) == "it: the variables of a chat template are no object of fields");
  CHECK(error_of(made("\n{{ raise_exception('No.') }}"), talk, {}) == "it:2:19: No.");
}

TEST_CASE("a chat template's name is a hash of its text") {
  CHECK(made("").name() == "chat:cbf29ce484222325");
  CHECK(made("a").name() == "chat:af63dc4c8601ec8c");
  CHECK(made("a\n").name() != made("a").name());
}

TEST_CASE("strftime_now asks the clock that was given") {
  ChatTemplate::Settings settings;
  settings.clock = [] { return std::time_t{86400 * 365}; };
  const std::string year = made("{{ strftime_now('%Y') }}", settings).render(talk, {});
  CHECK((year == "1971" || year == "1970"));  // by the zone
  CHECK(made("{{ strftime_now('%Y') | int > 2020 }}").render(talk, {}) == "True");
}

TEST_CASE("copies of one template render in several threads") {
  const ChatTemplate chat = made(simple);
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (std::string& text : texts) {
    threads.emplace_back([&text, chat] {
      for (int i = 0; i < 50; ++i) text = chat.render(talk, {.add_generation_prompt = true});
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts)
    CHECK(text == "<system>Be brief.<user>Hi<assistant>Hello <assistant>");
}

TEST_CASE("a prompt and its completion are cut where a chat template begins the assistant's message") {
  const auto cut = render_apart(made(simple), {talk.data(), 2}, {talk.data() + 2, 1});
  CHECK(cut.text.substr(cut.completion_begin) == "Hello ");
}

}  // namespace chat_template_test
