// Steps as turns of a conversation, and the templates and tokenizers that have no place for them.
#include "merit/tokens/step_turns.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/templates/chat_template.hpp"
#include "merit/templates/conversation_template.hpp"
#include "merit/templates/message.hpp"
#include "merit/tokenizer/byte_tokenizer.hpp"
#include "merit/tokens/tokenize.hpp"
#include "shown_steps.hpp"

namespace step_turns_test {

using namespace merit_test;
using merit::DataCounts;
using merit::TokenizeOptions;

/// "u:…." and "a:…." for each message, and the header "a:" to go on with.
struct Turns : merit::ConversationTemplate {
  std::string render(std::span<const merit::Message> messages,
                     const merit::RenderOptions& options) const override {
    std::string text;
    for (const merit::Message& message : messages) {
      text += message.role.substr(0, 1) + ":" + message.content + ".";
    }
    return text + (options.add_generation_prompt ? "a:" : "");
  }
  std::string name() const override { return "chat:turns"; }
};

/// Says how many messages there are before it writes them, so that no beginning is stable.
struct Counting : Turns {
  std::string render(std::span<const merit::Message> messages,
                     const merit::RenderOptions& options) const override {
    return std::to_string(messages.size()) + Turns::render(messages, options);
  }
};

/// Bytes, with ":+" as one token, shown as "?".
struct ColonJoins : merit::ByteTokenizer {
  void encode(std::string_view text, std::vector<Token>& out) const {
    for (Index i = 0; i < text.size(); ++i) {
      const bool joins = text.substr(i).starts_with(":+");
      out.push_back(joins ? Token{'?'} : static_cast<unsigned char>(text[i]));
      i += joins ? 1 : 0;
    }
  }
};

/// No text has a token.
struct NoTokens : merit::ByteTokenizer {
  void encode(std::string_view, std::vector<Token>&) const {}
};

TEST_CASE("steps as turns: the user says them, and the model is read where it would say good") {
  DataCounts counts;
  TokenizeOptions options{.step_layout = merit::StepLayout::chat_turns};
  auto record = steps_record("Q", {"one", "t\no"}, {true, false});
  CHECK_THROWS_AS(merit::tokenize(record, bytes, options, counts), merit::ConfigError);
  options.conversation = std::make_shared<Turns>();
  const auto example = merit::tokenize(record, bytes, options, counts).value();
  CHECK(show(example.sequence) == "u:Q| one.a:'+.u:t/o.a:'");
  CHECK(show(example.labels) == "+-");
  CHECK(counts.steps_with_separator == 0);  // there is none
  record.prompt = std::vector<merit::Message>{{"system", "S"}, {"user", "Q"}};
  CHECK(show(merit::tokenize(record, bytes, options, counts)->sequence) == "s:S.u:Q| one.a:'+.u:t/o.a:'");
  record.prompt = std::vector<merit::Message>{{"system", "S"}};
  CHECK(show(merit::tokenize(record, bytes, options, counts)->sequence) == "s:S.|u:one.a:'+.u:t/o.a:'");
  // A chat template sees the first step also where the turn before it has more than role and text.
  const auto named = merit::Value::object({{"role", "user"}, {"content", "Q"}, {"name", "n"}});
  record.prompt = std::vector<merit::Message>{{"user", "Q", named}};
  options.conversation = std::make_shared<merit::ChatTemplate>(
      "{% for m in messages %}{{ m.role[0] }}{{ m.name }}:{{ m.content }}.{% endfor %}"
      "{% if add_generation_prompt %}a:{% endif %}",
      "it");
  CHECK(show(merit::tokenize(record, bytes, options, counts)->sequence) == "un:Q| one.a:'+.u:t/o.a:'");
  options.conversation = std::make_shared<Turns>();
  record.prompt = std::string();
  CHECK(show(merit::tokenize(record, bytes, options, counts)->sequence) == "u:|one.a:'+.u:t/o.a:'");
  options.conversation = std::make_shared<Counting>();
  CHECK_THROWS_WITH_AS(merit::tokenize(record, bytes, options, counts),
                       "here.jsonl:3: the chat template has no place for the answer to step 1 of 2: with the "
                       "header of that answer it gives \"1u:one.a:\", expected a text that the whole goes on "
                       "from with \"+\"",
                       merit::DataError);
  // The whole is tokenized at once: the answer is read one token before the one that it is part of.
  options.conversation = std::make_shared<Turns>();
  CHECK(show(merit::tokenize(record, ColonJoins(), options, counts)->sequence) == "u:|one.a'?.u:t/o.a'");
  CHECK_THROWS_AS(merit::tokenize(record, NoTokens(), options, counts), merit::DataError);
  options.reading = merit::reading_rule_from_name("before_tag:43");
  CHECK_THROWS_AS(merit::tokenize(record, bytes, options, counts), merit::ConfigError);
}

}  // namespace step_turns_test
