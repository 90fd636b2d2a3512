// Records to text by a template, and what the tokenizer puts around a plain text.
#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/templates/conversation_template.hpp"
#include "merit/tokenizer/any_tokenizer.hpp"
#include "merit/tokenizer/byte_tokenizer.hpp"
#include "merit/tokens/tokenize.hpp"

namespace rendering_test {

using merit::CompletionRecord;
using merit::DataCounts;
using merit::Message;
using merit::Token;
using merit::TokenizeOptions;
using Messages = std::vector<Message>;

/// "<role>content;" with tools and variables in front.
struct Tags final : merit::ConversationTemplate {
  std::string render(std::span<const Message> messages, const merit::RenderOptions& options) const override {
    std::string text;
    if (!options.tools.is_none()) text += text_of(options.tools);
    if (!options.variables.is_none()) text += text_of(options.variables);
    for (const Message& message : messages) {
      if (message.role == "nobody") throw merit::DataError("the template knows no nobody");
      text += '<' + message.role + '>' + message.content + ';';
    }
    if (options.add_generation_prompt) text += "<assistant>";
    return text;
  }
  std::string name() const override { return "tags"; }
};

/// Bytes with special tokens: 'B' begins a plain text, 'E' ends it.
struct Wrapping {
  void encode(std::string_view text, std::vector<Token>& out) const {
    merit::ByteTokenizer().encode(text, out);
  }
  Token eos() const { return 'E'; }
  merit::Index vocabulary_size() const { return 256; }
  std::string name() const { return "wrapping"; }
  std::vector<Token> before() const { return {'B'}; }
  std::vector<Token> after() const { return ends ? std::vector<Token>{'E'} : std::vector<Token>{}; }
  std::optional<Token> bos() const { return 'B'; }
  bool ends = false;
};

TokenizeOptions tags() {
  return {.conversation = std::make_shared<const Tags>()};
}

/// The text of the tokens, with | where the completion begins.
std::string show(const CompletionRecord& record, const TokenizeOptions& options,
                 const Wrapping& tokenizer = {}) {
  DataCounts counts;
  const auto result = merit::tokenize(record, merit::AnyTokenizer(tokenizer), options, counts);
  std::string text;
  for (merit::Index i = 0; i < result.sequence.tokens.size(); ++i) {
    if (i == result.sequence.completion_begin) text += '|';
    text += static_cast<char>(result.sequence.tokens[i]);
  }
  return text;
}

CompletionRecord record_of(std::optional<merit::TextOrMessages> prompt, merit::TextOrMessages completion) {
  CompletionRecord record;
  record.prompt = std::move(prompt);
  record.completion = std::move(completion);
  record.source = {"here.jsonl", 3};
  return record;
}

TEST_CASE("a conversation is rendered by the template that the options name, with tools and variables") {
  CompletionRecord record = record_of(Messages{{"user", "Hi"}}, Messages{{"assistant", "Yo"}});
  CHECK(show(record, tags()) == "<user>Hi;<assistant>|Yo;");
  record.inputs.tools = merit::Value::List{merit::Value::object({{"z", 1}, {"a", 2}})};
  record.inputs.variables = merit::Value::object({{"think", false}});
  CHECK(show(record, tags()) == R"([{"z": 1, "a": 2}]{"think": false}<user>Hi;<assistant>|Yo;)");
  CHECK(show(record_of(Messages{{"user", "Hi"}}, std::string("Yo")), tags()) == "<user>Hi;<assistant>|Yo;");
  CHECK(show(record_of({}, Messages{{"user", "Hi"}, {"assistant", "Yo"}}), tags()) ==
        "|<user>Hi;<assistant>Yo;");
}

TEST_CASE("strings are plain text, or a question and its answer where the options say so") {
  const CompletionRecord record = record_of(std::string("Hi"), std::string("Yo"));
  TokenizeOptions options = tags();
  CHECK(show(record, options) == "BHi|YoE");
  options.strings_as_chat = true;
  CHECK(show(record, options) == "<user>Hi;<assistant>|Yo;");
  CHECK(show(record_of({}, std::string("Yo")), options) == "|BYoE");  // without a prompt there is no question
}

TEST_CASE("special tokens stand around a plain text once") {
  CHECK(show(record_of(std::string("Hi"), std::string("Yo")), {}) == "BHi|YoE");
  CHECK(show(record_of(std::string("Hi"), std::string("Yo")), {}, {.ends = true}) == "BHi|YoE");
  CHECK(show(record_of(std::string("Hi"), std::string("Yo")), {.append_eos = false}) == "BHi|Yo");
  CHECK(show(record_of(std::string("Hi"), std::string("YoE")), {}) == "BHi|YoE");
}

TEST_CASE("a doubled beginning of sequence is an error with file and line") {
  constexpr const char* message =
      "here.jsonl:3: the sequence begins with the token 66 twice, expected one beginning of sequence: the "
      "text has one of its own";
  CHECK_THROWS_WITH_AS(show(record_of(std::string("BHi"), std::string("Yo")), {}), message, merit::DataError);
  CHECK(show(record_of(std::string("ABBA"), std::string("Yo")), {}) == "BABBA|YoE");
}

TEST_CASE("what a template says of a record comes with file and line") {
  CHECK_THROWS_WITH_AS(show(record_of(Messages{{"nobody", "Hi"}}, std::string("Yo")), tags()),
                       "here.jsonl:3: the template knows no nobody", merit::DataError);
}

TEST_CASE("steps stand where the template writes the assistant's answer") {
  merit::StepsRecord record;
  record.prompt = Messages{{"user", "merit-answer?"}};
  record.completions = {"one", "two"};
  record.labels = {true, false};
  record.source = {"here.jsonl", 3};
  DataCounts counts;
  TokenizeOptions options = tags();
  options.step_separator = "#";
  const auto show_steps = [&] {
    const auto example = merit::tokenize(record, merit::AnyTokenizer(Wrapping{}), options, counts);
    std::string text;
    for (merit::Index i = 0; i < example->sequence.tokens.size(); ++i) {
      if (i == example->sequence.completion_begin) text += '|';
      text += static_cast<char>(example->sequence.tokens[i]);
    }
    for (const merit::Index end : example->sequence.step_ends) CHECK(example->sequence.tokens[end] == '#');
    return text;
  };
  CHECK(show_steps() == "<user>merit-answer?;<assistant>|one#two#;");
  record.prompt = std::string("Q");
  CHECK(show_steps() == "BQ#|one#two#E");
  options.strings_as_chat = true;
  CHECK(show_steps() == "<user>Q;<assistant>|one#two#;");
}

}  // namespace rendering_test
