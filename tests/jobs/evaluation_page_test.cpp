// The page of an evaluation shows the text of records, whatever the tokenizer makes of it.
#include "merit/jobs/evaluation_page.hpp"

#include <doctest/doctest.h>

#include <string>

#include "io/temporary.hpp"
#include "merit/io/file.hpp"
#include "merit/run/evaluation.hpp"
#include "run/letter_model.hpp"

namespace evaluation_page_test {

using merit_test::contains;

std::string page_of(merit::RecordKind kind, const std::string& lines, const merit::AnyHead& head,
                    const std::string& tokenizer) {
  merit_test::LetterModel model(head, merit::BinaryCrossEntropyLoss{});
  merit::RecordSetOptions options;
  options.wants_steps = model.meaning() == merit::ScoreMeaning::per_step;
  options.tokenize.step_scale = merit::StepScale::binary;
  options.tokenize.step_separator = "#";  // of line feeds there are no words
  options.tokenize.step_split = "\n";
  const merit::RecordSet set = merit_test::read_lines(kind, lines, options, tokenizer);
  const merit::Reading reading{.meaning = model.meaning(), .aggregation = merit::Aggregation::minimum};
  const merit::Evaluation evaluation = merit::evaluate(model, set, reading, 0.5, 1000);
  const merit_test::TemporaryDirectory folder;
  const merit::AnyTokenizer made = merit::make_tokenizer(tokenizer);
  const std::string path = (folder / "page.html").string();
  merit::write_evaluation_page(
      path, {.model = "m", .tokenizer = made, .set = set, .evaluation = evaluation, .reading = reading});
  return merit::read_file(path);
}

const std::string steps =
    R"({"prompt": "Add them.", "completions": ["First step.", "Second step."], "labels": [1, 0]})"
    "\n";
const std::string outcomes =
    R"({"prompt": "Add them.", "completion": "First step.\nSecond Step.", "label": 1})"
    "\n"
    R"({"prompt": "Add them.", "completion": "No.", "label": 0})"
    "\n";

TEST_CASE("steps stand as text where their tokens cannot be decoded") {
  for (const std::string tokenizer : {"bytes", "words:4096"}) {
    CAPTURE(tokenizer);
    const std::string page = page_of(merit::RecordKind::steps, steps, merit::TernaryStepHead{}, tokenizer);
    CHECK(contains(page, "First step."));
    CHECK(contains(page, "Second step."));
    CHECK_FALSE(contains(page, ">#"));
    const std::string of_text =
        page_of(merit::RecordKind::outcome, outcomes, merit::TernaryStepHead{}, tokenizer);
    CHECK(contains(of_text, "First step."));
    CHECK(contains(of_text, "Second Step."));
    CHECK_FALSE(contains(of_text, ">#"));
  }
}

TEST_CASE("a record without a prompt is shown without one") {
  const auto shows_prompt = [](const std::string& record) {
    return contains(page_of(merit::RecordKind::preference, record, merit::ScalarHead{}, "bytes"),
                    "<p class=\"prompt\">");
  };
  CHECK(shows_prompt("{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"b\"}\n"));
  CHECK_FALSE(shows_prompt("{\"chosen\": \"a\", \"rejected\": \"b\"}\n"));
}

TEST_CASE("reliability is of the weights that the figures have") {
  const std::string three_in_four = "The expected error is 0.75.";
  CHECK(contains(page_of(merit::RecordKind::preference,
                         "{\"prompt\": \"p\", \"chosen\": \"z\", \"rejected\": \"a\"}\n"
                         "{\"prompt\": \"q\", \"chosen\": \"a\", \"rejected\": \"z\", \"weight\": 3}\n",
                         merit::ScalarHead{}, "bytes"),
                 three_in_four));
  CHECK(contains(page_of(merit::RecordKind::steps,
                         "{\"prompt\": \"p\", \"completions\": [\"z\"], \"labels\": [1]}\n"
                         "{\"prompt\": \"q\", \"completions\": [\"z\"], \"labels\": [0], \"weight\": 3}\n",
                         merit::StepHead<1>{}, "bytes"),
                 three_in_four));
}

TEST_CASE("words stand as they are written") {
  const std::string page = page_of(merit::RecordKind::outcome, outcomes, merit::TokenHead{}, "words:4096");
  CHECK(contains(page, "Second "));
  CHECK(contains(page, "Step "));
  CHECK_FALSE(contains(page, ">#"));
}

}  // namespace evaluation_page_test
