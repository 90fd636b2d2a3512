// Language models opened to write text: templates, stops, pieces as they become known, and what has none.
#include "merit/run/text_writer.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/temporary.hpp"
#include "merit/backbone/llama.hpp"
#include "merit/core/rng.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/tokenizer/pretrained_tokenizer.hpp"
#include "stored.hpp"

namespace text_writer_test {

using merit::Index;
using merit::Token;
using merit::detail::text_writer::GrowingText;
using Strings = std::vector<std::string>;

TEST_CASE("a text is told as soon as it cannot become a stop, and ends before the first stop") {
  const Strings stops{"\nUser:", "END"};
  GrowingText text(stops);
  CHECK(text.grow("Hello") == "Hello");
  CHECK(text.grow("Hello\nUs") == "");  // may become a stop
  CHECK(text.grow("Hello\nUsual") == "\nUsual");
  CHECK(text.grow("Hello\nUsual \xEF\xBF\xBD") == " ");  // half a character
  CHECK(text.grow("Hello\nUsual \xC3\xA9"
                  "E") == "\xC3\xA9");
  CHECK(!text.stopped());
  CHECK(text.grow("Hello\nUsual \xC3\xA9"
                  "END and") == "");
  CHECK(text.stopped());
  CHECK(text.rest() == "");
  CHECK(text.text() == "Hello\nUsual \xC3\xA9");

  GrowingText open(stops);
  CHECK(open.grow("an EN") == "an ");
  CHECK(open.rest() == "EN");
}

TEST_CASE("tokens that come one by one have the text that they have together") {
  const std::filesystem::path folder = merit_test::stored("tokenizers");
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const merit::Json golden = merit::read_json(entry.path());
    if (!golden.contains("base")) continue;
    CAPTURE(entry.path().filename().string());
    const merit::AnyTokenizer tokenizer(merit::PretrainedTokenizer(golden.at("base"), entry.path().string()));
    std::vector<std::vector<Token>> lists(2);
    tokenizer.encode(
        "Is  water wet? Yes, it's so:\n\tna\xC3\xAFve \xF0\x9F\x90\xB3\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x94\xAC don't.",
        lists[0]);
    merit::Rng random(3);  // and tokens that no text has, halves of characters among them
    for (Index i = 0; i < 60; ++i)
      lists[1].push_back(static_cast<Token>(random.below(tokenizer.vocabulary_size())));
    for (const std::vector<Token>& tokens : lists) {
      merit::detail::text_writer::GrowingTokens growing;
      for (Index i = 0; i < tokens.size(); ++i) {
        const std::string text = growing.grow(tokenizer, tokens[i]);
        CHECK(text == merit::detail::text_writer::text_of(
                          tokenizer, {tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(i) + 1}));
      }
    }
  }
}

/// A language model of bytes, as transformers publishes one, whose tokenizer is named by its user.
struct Published {
  Published() {
    using Model = merit::RewardModel<merit::Llama, merit::LanguageModelHead, merit::LanguageModelLoss,
                                     merit::EigenBackend<float>>;
    Model model({.backbone = {.vocabulary_size = 257,
                              .hidden_size = 16,
                              .intermediate_size = 24,
                              .layers = 2,
                              .heads = 2,
                              .kv_heads = 1,
                              .init_deviation = 0.5},
                 .seed = 5});
    merit::write_model(temporary.path(), model);
    std::filesystem::remove(temporary.path() / "merit.json");
  }
  merit_test::TemporaryDirectory temporary;
};

TEST_CASE("a folder without a head writes text, the same in pieces, alone and beside others") {
  const Published published;
  merit::TextWriter writer = merit::open_writer(published.temporary.path(), {.tokenizer = "bytes"});
  Strings streamed(3);
  const merit::WriteOptions options{.branches = 3, .max_tokens = 20, .seed = 1};
  const auto texts =
      writer.write("Once", options, [&](Index branch, std::string_view piece) { streamed[branch] += piece; });
  REQUIRE(texts.size() == 3);
  for (Index b = 0; b < 3; ++b) {
    CHECK(texts[b].text == streamed[b]);
    CHECK(texts[b].tokens.size() <= 20);
    CHECK(texts[b].log_probability < 0);
  }
  CHECK(texts[0].tokens != texts[1].tokens);
  CHECK(writer.counts().held == 0);
  const auto alone = writer.write("Once", {.max_tokens = 20, .seed = 1});
  CHECK(alone[0].tokens == texts[0].tokens);

  // A byte that was written as a stop.
  const auto greedy = writer.write("Once", {.sampling = {.temperature = 0}, .max_tokens = 8});
  REQUIRE(greedy[0].tokens.size() == 8);
  const auto stopped = writer.write(
      "Once", {.sampling = {.temperature = 0}, .max_tokens = 8, .stop_tokens = {greedy[0].tokens[2]}});
  CHECK(stopped[0].tokens.size() <= 2);
  CHECK(stopped[0].end == merit::GenerationEnd::end_token);

  const std::vector<merit::Message> conversation{{"user", "Hi"}};
  CHECK_THROWS_AS(writer.write(conversation), merit::DataError);  // it has no chat template
  CHECK_THROWS_AS(writer.write(std::span<const Token>()), merit::DataError);
}

TEST_CASE("several prompts are written behind as one forest, and what goes on is not computed again") {
  const Published published;
  merit::TextWriter writer = merit::open_writer(published.temporary.path(), {.tokenizer = "bytes"});
  const std::vector<std::vector<merit::Token>> prompts{writer.tokens_of("Once"), writer.tokens_of("Twice, ")};
  merit::WriteOptions options{.branches = 2, .max_tokens = 5, .seed = 3};
  const auto both = writer.write_each(prompts, options);
  REQUIRE(both.size() == 4);
  options.first_stream = 2;
  const auto second = writer.write("Twice, ", options);
  CHECK(both[2].tokens == second[0].tokens);
  CHECK(both[3].tokens == second[1].tokens);
  CHECK(writer.counts().nodes == 0);  // of the last call nothing goes on

  // The first of them goes on: two tokens are computed for its last one and the logits behind it, then what is written.
  options.first_stream = 0;
  const auto again = writer.write_each(prompts, options);
  CHECK(again[0].tokens == both[0].tokens);
  std::vector<merit::Token> longer = prompts[0];
  longer.insert(longer.end(), again[0].tokens.begin(), again[0].tokens.end());
  const merit::Index before = writer.counts().computed;
  options.branches = 1;
  const auto next = writer.write_each(std::span(&longer, 1), options);
  CHECK(writer.counts().computed - before <= 2 + next[0].tokens.size());
  CHECK(next[0].tokens == writer.write(longer, options)[0].tokens);
  CHECK(writer.tokens_of("Once", " upon") == writer.tokens_of("Once upon"));
}

}  // namespace text_writer_test
