// Folders opened to score text: tokenizer, template, head and card together, and what is refused.
#include <doctest/doctest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "io/temporary.hpp"
#include "merit/backbone/llama.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/core/error.hpp"
#include "merit/io/file.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/run/scorer.hpp"
#include "merit/run/typed_model.hpp"

namespace open_test {

using merit::DataError;
using merit::Json;
using merit::Message;
using merit::SavedModel;
using Model =
    merit::RewardModel<merit::Llama, merit::ScalarHead, merit::PairwiseLoss, merit::EigenBackend<float>>;

/// A vocabulary of words, with a beginning and an end of sequence.
Json tokenizer_json(std::vector<std::string> words) {
  Json vocabulary = {{"<s>", 0}, {"</s>", 1}, {"<unk>", 2}};
  for (const std::string& word : words) vocabulary[word] = vocabulary.size();
  const auto special = [](const char* content, int id) {
    return Json{{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
                {"rstrip", false}, {"normalized", false}, {"special", true}};
  };
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", {special("<s>", 0), special("</s>", 1)}},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "Whitespace"}}},
          {"post_processor", nullptr},
          {"decoder", nullptr},
          {"model", {{"type", "WordLevel"}, {"vocab", vocabulary}, {"unk_token", "<unk>"}}}};
}

constexpr const char* chat_template =
    "{{ bos_token }}{% for m in messages %}{{ m.role }} says {{ m.content }} {% endfor %}"
    "{% if add_generation_prompt %}assistant says {% endif %}";

const std::vector<std::string> words = {"user", "assistant", "says", "water", "wet", "dry", "is", "it"};
constexpr merit::Llama backbone{.vocabulary_size = 16,
                                .hidden_size = 16,
                                .intermediate_size = 32,
                                .layers = 2,
                                .heads = 2,
                                .kv_heads = 2};

/// A folder as others publish one: weights, config.json, a tokenizer and a chat template.
struct Published {
  Published() {
    merit::write_model(folder, model);
    std::filesystem::remove(folder / "merit.json");
    write_tokenizer(words);
    merit::write_file_atomically(folder / "chat_template.jinja", chat_template);
  }
  void write_tokenizer(const std::vector<std::string>& list) const {
    merit::write_json(folder / "tokenizer.json", tokenizer_json(list));
    merit::write_json(folder / "tokenizer_config.json", {{"bos_token", "<s>"}, {"eos_token", "</s>"}});
  }
  /// The score of token ids, without any of what is tested.
  double score_of(std::vector<merit::Token> tokens) {
    const std::vector<merit::Sequence> sequences{{.tokens = std::move(tokens)}};
    return static_cast<double>(merit::score(model, std::span<const merit::Sequence>(sequences))[0]);
  }

  merit_test::TemporaryDirectory temporary;
  std::filesystem::path folder = temporary.path();
  Model model{{.backbone = backbone, .head = {.init_deviation = 0.5}, .seed = 3}};
};

/// open() for this one kind of model: the whole compiled set takes long to build.
merit::Scorer open_scalar(const std::filesystem::path& place, const merit::OpenOptions& options = {}) {
  SavedModel saved = merit::read_saved_model(place, options);
  using Typed = merit::TypedModel<Model>;
  auto model = std::make_unique<Typed>(Model::Config{.backbone = std::get<merit::Llama>(saved.backbone),
                                                     .head = std::get<merit::ScalarHead>(saved.head),
                                                     .initial = merit::Initial::from_file});
  model->load(place, merit::load_options(saved));
  return merit::Scorer(std::move(saved), std::move(model));
}

TEST_CASE("a published folder scores text as its tokens, by its template and as plain text") {
  Published published;
  merit::Scorer scorer = open_scalar(published.folder);
  // <s> user says is water wet assistant says it is
  const double chat = published.score_of({0, 3, 5, 9, 6, 7, 4, 5, 10, 9});
  const std::vector<Message> conversation{{"user", "is water wet"}, {"assistant", "it is"}};
  CHECK(scorer.score(conversation) == doctest::Approx(chat).epsilon(1e-6));
  // A plain text as it stands, and its end.
  const double plain = published.score_of({9, 6, 7, 10, 9, 1});
  CHECK(scorer.score("is water wet ", "it is") == doctest::Approx(plain).epsilon(1e-6));
  CHECK_FALSE(scorer.about().note_on_strings.empty());

  merit::Scorer as_chat = open_scalar(published.folder, {.strings_as_chat = true});
  CHECK(as_chat.score("is water wet", "it is") == doctest::Approx(chat).epsilon(1e-6));
  CHECK(as_chat.about().note_on_strings.empty());

  const std::vector<std::string> answers{"it is", "dry", "wet wet"};
  const std::vector<double> scores = as_chat.score("is water wet", answers);
  CHECK(scores[0] == doctest::Approx(chat).epsilon(1e-5));
  const auto order = as_chat.rank("is water wet", answers);
  REQUIRE(order.size() == 3);
  CHECK(order[0].score >= order[1].score);
  CHECK(order[1].score >= order[2].score);
  CHECK(order[0].score == scores[order[0].index]);
  CHECK(order[0].text == answers[order[0].index]);

  // Texts may be of any type, and a list of any.
  const char* const literals[] = {"it is", "dry", "wet wet"};
  CHECK(as_chat.score("is water wet", literals) == scores);
  CHECK(as_chat.rank("is water wet", std::vector<std::string_view>{"dry", "it is"}).size() == 2);
}

TEST_CASE("sequences of the model's own tokens are scored by the same verb") {
  Published published;
  merit::Scorer scorer = open_scalar(published.folder);
  const std::vector<merit::Sequence> sequences{{.tokens = {0, 3, 5, 9}}, {.tokens = {9, 6, 7}}};
  const std::vector<double> scores = scorer.score(sequences);
  REQUIRE(scores.size() == 2);
  CHECK(scores[0] == doctest::Approx(published.score_of({0, 3, 5, 9})).epsilon(1e-6));
  CHECK(scores[1] == doctest::Approx(published.score_of({9, 6, 7})).epsilon(1e-6));
}

TEST_CASE("records are answered in their order, with a reason where there is no score") {
  Published published;
  merit::Scorer scorer = open_scalar(published.folder);
  std::vector<merit::CompletionRecord> records(3);
  for (merit::CompletionRecord& record : records) record.prompt = std::string("is water wet ");
  records[0].completion = std::string("it is");
  records[1].completion_ids = {3, 4};
  records[1].prompt_ids = std::vector<merit::Token>{5};
  records[1].form = merit::RecordForm::ids;
  records[2].form = merit::RecordForm::ids;
  records[2].prompt_ids = std::vector<merit::Token>{5};
  const auto scores = scorer.score(records);
  REQUIRE(scores.size() == 3);
  CHECK(scores[0].completions.at(0).score ==
        doctest::Approx(published.score_of({9, 6, 7, 10, 9, 1})).epsilon(1e-5));
  CHECK(scores[1].completions.at(0).score == doctest::Approx(published.score_of({5, 3, 4})).epsilon(1e-5));
  CHECK(scores[2].completions.empty());
  CHECK(scores[2].dropped == "empty: no tokens in the completion");
}

TEST_CASE("what is saved keeps tokenizer and template, and opens to the same scores") {
  Published published;
  const std::vector<Message> conversation{{"user", "is it wet"}, {"assistant", "it is dry"}};
  SavedModel saved = merit::read_saved_model(published.folder);
  const merit_test::TemporaryDirectory place;
  const std::filesystem::path copy = place / "copy";
  merit::save_model(copy, published.model, merit::card_of(saved), {.files = saved.files});
  CHECK(merit::kept_files(copy) ==
        std::set<std::string>{"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"});
  CHECK(open_scalar(copy).score(conversation) == open_scalar(published.folder).score(conversation));

  // Another tokenizer or template than the model was trained with is an error that names both.
  std::vector<std::string> others = words;
  others[0] = "someone";
  merit::write_json(copy / "tokenizer.json", tokenizer_json(others));
  CHECK_THROWS_WITH_AS(merit::read_saved_model(copy),
                       doctest::Contains("a different tokenizer: found pretrained:"), merit::ConfigError);
  merit::write_json(copy / "tokenizer.json", tokenizer_json(words));
  merit::write_file_atomically(copy / "chat_template.jinja", "{{ messages[0].content }}");
  CHECK_THROWS_WITH_AS(merit::read_saved_model(copy),
                       doctest::Contains("a different chat template: found chat:"), merit::ConfigError);
  std::filesystem::remove(copy / "tokenizer.json");
  CHECK_THROWS_WITH_AS(merit::read_saved_model(copy), doctest::Contains("its files are not there"),
                       DataError);
}

TEST_CASE("what the template of a model does not write is refused") {
  Published published;
  auto model = open_scalar(published.folder);
  const merit::Value named =
      merit::Value::object({{"role", "user"}, {"content", "is it wet"}, {"name", "Ann"}});
  const std::vector<Message> conversation{{"user", "is it wet", named}, {"assistant", "it is dry"}};
  CHECK_THROWS_WITH_AS(model.score(conversation), doctest::Contains("messages[0].name of the role 'user'"),
                       DataError);
}

TEST_CASE("a tokenizer that the model was not trained with is refused") {
  Published published;
  CHECK_THROWS_WITH_AS(merit::read_saved_model(published.folder, {.tokenizer = "bytes"}),
                       doctest::Contains("--tokenizer bytes contradicts"), merit::ConfigError);
  std::filesystem::remove(published.folder / "tokenizer.json");
  CHECK_THROWS_WITH_AS(merit::read_saved_model(published.folder),
                       doctest::Contains("give a tokenizer with --tokenizer"), merit::ConfigError);
  CHECK_THROWS_WITH_AS(merit::read_saved_model(published.folder, {.tokenizer = "bytes"}),
                       doctest::Contains("its scores would mean nothing"), merit::ConfigError);
  CHECK(merit::read_saved_model(published.folder, {.tokenizer = "ids:16"}).tokenizer->name() == "ids:16");
}

TEST_CASE("a language model has no head, but its logits may be read") {
  Published published;
  Json config = merit::read_json(published.folder / "config.json");
  config["architectures"] = {"LlamaForCausalLM"};
  config["tie_word_embeddings"] = true;
  merit::write_json(published.folder / "config.json", config);
  // Without the tensor of the head.
  const merit::SafetensorsDirectory file(published.folder);
  std::vector<std::vector<float>> values;
  std::vector<merit::TensorSource> tensors;
  for (const std::string& name : file.names()) {
    if (name.starts_with("score.")) continue;
    const merit::TensorInfo& info = file.at(name);
    values.emplace_back(info.elements);
    file.read(name, merit::VectorView<float>(values.back()));
  }
  std::size_t next = 0;
  for (const std::string& name : file.names()) {
    if (!name.starts_with("score.")) tensors.push_back({name, file.at(name).shape, values[next++].data()});
  }
  merit::write_safetensors(published.folder / "model.safetensors", tensors);
  CHECK_FALSE(merit::read_saved_model(published.folder).has_head);
  const SavedModel read =
      merit::read_saved_model(published.folder, {.head = "answer_logits", .head_tokens = {"dry", "wet"}});
  CHECK(read.has_head);
  CHECK(std::get<merit::AnswerLogitHead>(read.head).tokens == std::vector<merit::Token>{8, 7});
  CHECK_THROWS_WITH_AS(
      merit::read_saved_model(published.folder, {.head = "answer_logits", .head_tokens = {"dry wet"}}),
      doctest::Contains("which is 2 tokens"), merit::ConfigError);
}

TEST_CASE("a card that contradicts its model is refused by field, and a loss that is not known is said") {
  const merit_test::TemporaryDirectory directory;
  const auto read = [&](const auto& model, const Json& changes,
                        const merit::OpenOptions& options = {}) -> std::string {
    merit::save_model(directory / "m", model, {.tokenizer = "ids:16"});
    Json card = merit::read_json(directory / "m/merit.json");
    card.update(changes);
    merit::write_json(directory / "m/merit.json", card);
    try {
      const SavedModel saved = merit::read_saved_model(directory / "m", options);
      return saved.remarks.empty() ? "read" : saved.remarks[0];
    } catch (const merit::Error& error) {
      return error.what();
    }
  };
  const std::string card = (directory / "m/merit.json").string() + ": field ";
  const Model scalar({.backbone = backbone});
  CHECK(
      read(scalar, {{"loss", {{"name", "zzz"}}}}) ==
      card +
          "\"loss\" names \"zzz\", which is not known here: no loss is reported, and each score is read by itself");
  CHECK(read(scalar, {{"loss", Json::object()}}).starts_with(card + "\"loss\" names none"));
  CHECK(read(scalar, {{"loss", {{"name", "value"}}}}) ==
        card + "\"loss\" is \"value\", which does not go with the head \"scalar\"");
  for (const char* rule : {"appended:300", "tag:16", "last;gate:16"}) {
    CHECK(read(scalar, {{"reading", rule}}) ==
          card + "\"reading\" is \"" + rule + "\", expected ids below 16, the vocabulary of the model");
  }
  CHECK(read(scalar, {{"reading", "appended:15"}}) == "read");
  CHECK(read(scalar, {{"reading", "last_not_pad:300"}}) == "read");  // as some are published
  for (const Json& threshold : {Json(2), Json(-1), Json("x"), Json(nullptr)}) {
    CHECK(read(scalar, {{"step_threshold", threshold}})
              .ends_with("\"step_threshold\" is " + merit::describe(threshold) +
                         ", expected a probability from 0 to 1"));
  }
  using Steps = merit::RewardModel<merit::Llama, merit::StepHead<2>, merit::CrossEntropyLoss,
                                   merit::EigenBackend<float>>;
  const Steps steps({.backbone = backbone});
  CHECK(read(steps, {{"labels", {"bad", "good"}}, {"step_threshold", 0.25}}) == "read");
  CHECK(read(steps, {{"labels", {"wrong", "right"}}}) == "read");  // as a published one may call them
  for (const Json& labels : {Json{"good", "bad"}, Json{"bad"}, Json{"bad", "good", "good"}}) {
    CHECK(read(steps, {{"labels", labels}}) ==
          card + "\"labels\" is " + labels.dump() +
              ", expected [\"bad\",\"good\"], the scores of the head \"step_binary\" in their order");
  }
}

TEST_CASE("a place without a model is one sentence") {
  CHECK_THROWS_WITH_AS(merit::read_saved_model("no/such/place"),
                       "no/such/place: there is no such directory, expected one with a model",
                       merit::IoError);
}

TEST_CASE("a folder that cannot be used as it is says what was seen") {
  const merit_test::TemporaryDirectory directory;
  namespace fs = std::filesystem;
  const auto refusal = [](const fs::path& place) {
    try {
      merit::open(place);
    } catch (const merit::Error& error) {
      return std::string(error.what());
    }
    return std::string("opened");
  };
  const auto ends = [&](const fs::path& place, const std::string& end) {
    const std::string text = refusal(place);
    CAPTURE(text);
    CHECK(text.starts_with(place.string()));
    CHECK(text.ends_with(end));
  };
  const fs::path place = directory / "m";
  fs::create_directory(place);
  ends(place, ": there is no config.json in it, expected the folder of a model; it is empty");
  Model model({.backbone = backbone});
  merit::save_model(place / "checkpoint-20", model, {.tokenizer = "ids:16"});
  ends(place, "it holds checkpoint-20/; " + (place / "checkpoint-20").string() + " is such a folder");
  ends(place / "checkpoint-20/model.safetensors",
       ": is a file, expected the folder of a model or a .gguf file; its folder, " +
           (place / "checkpoint-20").string() + ", holds one");
  fs::rename(place / "checkpoint-20/model.safetensors", place / "checkpoint-20/weights.safetensors");
  ends(
      place / "checkpoint-20",
      ": neither model.safetensors nor model.safetensors.index.json is there, expected the weights under one of "
      "these names; it holds config.json, merit.json, weights.safetensors");
}

TEST_CASE("kept prompts change no score and are computed once") {
  Published published;
  merit::Scorer plain = open_scalar(published.folder, {.strings_as_chat = true});
  merit::Scorer keeping = open_scalar(published.folder, {.strings_as_chat = true});
  keeping.keep_prompts();
  const std::string prompt = "is water wet";
  const std::vector<std::string> answers{"it is", "it is dry", "wet wet"};
  const auto check = [&](const std::string& of, const std::vector<std::string>& list) {
    const auto found = keeping.score(of, list), expected = plain.score(of, list);
    for (merit::Index i = 0; i < list.size(); ++i)
      CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-5));
  };
  check(prompt, answers);
  // <s> user says is water wet assistant says, then what differs: it is, dry, wet wet
  CHECK(keeping.kept().held == 8);
  CHECK(keeping.kept().computed == 8 + 5);
  check(prompt, {"dry"});
  CHECK(keeping.kept().held == 8);
  CHECK(keeping.kept().computed == 13 + 1);
  CHECK(keeping.kept().reused == 8);

  // A conversation grows: what goes on from the prompt is kept behind it.
  std::vector<Message> conversation{{"user", prompt}, {"assistant", "it is"}};
  CHECK(keeping.score(conversation) == doctest::Approx(plain.score(conversation)).epsilon(1e-5));
  conversation.push_back({"user", "is it dry"});
  conversation.push_back({"assistant", "dry dry"});
  const merit::Index before = keeping.kept().computed;
  CHECK(keeping.score(conversation) == doctest::Approx(plain.score(conversation)).epsilon(1e-5));
  CHECK(keeping.kept().computed - before < 14);
  CHECK(keeping.rank(prompt, answers)[0].index == plain.rank(prompt, answers)[0].index);

  // Several prompts, one that is kept among them, are one step, in which what they begin with is read once.
  std::vector<merit::CompletionsRecord> records;
  for (const char* const of : {"is water wet", "is it dry", "is water dry"}) {
    auto& record = records.emplace_back();
    record.prompt = std::string(of);
    for (const std::string& answer : answers) record.completions.emplace_back(answer);
  }
  const auto check_records = [&] {
    const auto found = keeping.score(records), expected = plain.score(records);
    for (merit::Index i = 0; i < records.size(); ++i) {
      for (merit::Index k = 0; k < answers.size(); ++k)
        CHECK(found[i].completions[k].score ==
              doctest::Approx(expected[i].completions[k].score).epsilon(1e-5));
    }
  };
  keeping.keep_prompts();
  check(prompt, answers);
  const merit::Index first = keeping.kept().computed;
  check_records();
  // <s> user says is | it dry assistant says | water dry assistant says, of which "water" is the first prompt's.
  CHECK(keeping.kept().held == 8 + 4 + 3);
  CHECK(keeping.kept().computed == first + 5 + (4 + 5) + (3 + 5));
  CHECK(keeping.kept().reused == 8);
  check_records();
  CHECK(keeping.kept().reused == 8 + 15);
  // A step for each of them under a small budget.
  keeping.keep_prompts();
  keeping.score(records, 13);
  CHECK(keeping.kept().reused == 4 + 5);

  // With room for one prompt the other goes; what does not fit is scored whole.
  const merit::Index token_bytes = keeping.kept().bytes / keeping.kept().held;
  keeping.keep_prompts({.memory_limit = 10 * token_bytes});
  check(prompt, answers);
  check("is it dry", answers);
  check(prompt, answers);
  CHECK(keeping.kept().evicted == 8);  // but for what both begin with
  check("is water wet is water wet", answers);
  CHECK(keeping.kept().held <= 10);
}

}  // namespace open_test
