// Runs: what they leave, going on after an interruption, the best model, an end that has come, foreign files.
#include "merit/jobs/training_run.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "io/temporary.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/comm/thread_comm.hpp"
#include "merit/io/file.hpp"
#include "merit/jobs/training_choice.hpp"
#include "merit/model/reward_model.hpp"
#include "merit/records/jsonl.hpp"
#include "merit/run/typed_model.hpp"
#include "merit/train/checkpoint.hpp"
#include "run/letter_model.hpp"

namespace training_run_test {

using merit::Index;
using merit::RunResult;
using merit::RunStart;
using merit_test::contains;
namespace fs = std::filesystem;

using Model = merit::RewardModel<merit::AnyBackbone, merit::ScalarHead, merit::PairwiseLoss,
                                 merit::EigenBackend<float>>;
constexpr merit::BagOfTokens backbone{.vocabulary_size = 257, .width = 8};

/// Pairs in which `better` is chosen over `worse`.
merit::RecordSet pairs(int count, const std::string& better, const std::string& worse) {
  std::string lines;
  for (int i = 0; i < count; ++i) {
    lines += "{\"prompt\": \"" + std::to_string(i) + "\", \"chosen\": \"" + better + "\", \"rejected\": \"" +
             worse + "\"}\n";
  }
  return merit_test::read_lines(merit::RecordKind::preference, lines);
}

/// Remembers what it is told, and asks to stop after a step.
class Listener final : public merit::RunListener {
 public:
  explicit Listener(Index stop_after = 0) : stop_after_(stop_after) {}

  void remark(const std::string& sentence) override { remarks.push_back(sentence); }
  void begin(const std::string& what, Index, Index) override { begun.push_back(what); }
  void progress(Index done, const std::string&) override {
    if (trains_ && done == stop_after_) stop = true;
  }
  void say(const std::string& line) override { lines.push_back(line); }
  void training(bool goes_on) override { trains_ = goes_on; }

  std::vector<std::string> remarks, begun, lines;
  std::atomic<bool> stop = false;

 private:
  Index stop_after_;
  bool trains_ = false;
};

struct Place {
  merit_test::TemporaryDirectory temporary;
  fs::path out = temporary / "model";
  std::string metrics = (temporary / "model.metrics.jsonl").string();
  merit::RecordSet train = pairs(8, "a", "b");
  merit::RecordSet eval = pairs(3, "a", "b");
  std::optional<merit::RecordSet> calibrate;
  merit::RunOptions options{
      .out = out,
      .metrics = metrics,
      .training = {.epochs = 2, .batch_size = 2, .schedule = {.peak = 0.1, .warmup = 0}}};

  RunResult run(RunStart start, Listener& listener) {
    merit::SavedModel saved;
    saved.backbone = backbone;
    saved.head = merit::ScalarHead{};
    saved.tokenizer = merit::make_tokenizer("bytes");
    const merit::AnyLoss loss = merit::PairwiseLoss{};
    const merit::ModelCard card = merit::training_card(saved, merit::RecordKind::preference, train, "", "");
    merit::TypedModel<Model> model({.backbone = {backbone}, .seed = 5});
    options.stop = &listener.stop;
    return merit::run_training(model,
                               {.start = start,
                                .saved = saved,
                                .loss = loss,
                                .card = card,
                                .train = train,
                                .eval = &eval,
                                .calibrate = calibrate ? &*calibrate : nullptr},
                               options, listener);
  }
  std::vector<merit::Json> events() const {
    std::vector<merit::Json> list;
    merit::JsonLinesReader reader{fs::path(metrics)};
    while (const auto event = reader.next()) list.push_back(merit::Json::parse(event->dump()));
    return list;
  }
  std::string weights() const { return merit::read_file(out / "model.safetensors"); }
};

/// A run of two ranks; what `change` makes of each one's.
template <class Change>
std::vector<RunResult> run_two(const merit_test::TemporaryDirectory& folder, const Change& change) {
  std::vector<RunResult> results(2);
  merit::run_ranks(2, [&](merit::Comm& comm) {
    Place place;
    place.out = place.options.out = folder / "model";
    place.options.metrics = (folder / "model.metrics.jsonl").string();
    place.options.comm = &comm;
    place.options.training.micro_batch_tokens = 6;
    change(comm.rank(), place);
    Listener listener;
    results[comm.rank()] = place.run(RunStart::fresh, listener);
  });
  return results;
}

TEST_CASE("ranks that would measure unlike things end before anything is written, and say which") {
  const merit_test::TemporaryDirectory folder;
  const auto fault_of = [&](const std::function<void(Place&)>& change) {
    const std::string fault = merit_test::error_of<merit::ConfigError>([&] {
      run_two(folder, [&](Index rank, Place& place) {
        if (rank == 1) change(place);
      });
    });
    CHECK_FALSE(fs::exists(folder / "model.metrics.jsonl"));
    return fault;
  };
  CHECK(contains(fault_of([](Place& place) { place.eval = pairs(3, "a", "c"); }),
                 "rank 1 differs from rank 0: the held-out examples' hash is "));
  CHECK(contains(fault_of([](Place& place) { place.options.training.micro_batch_tokens = 7; }),
                 "micro_batch_tokens is 7 and not 6"));
  CHECK(contains(fault_of([](Place& place) { place.options.evaluate_at_start = true; }),
                 "evaluate_at_start is yes and not no"));
  CHECK(contains(fault_of([](Place& place) { place.options.out += "2"; }), "out is "));
}

TEST_CASE("a calibration that fails on one rank's part is left out on all, and the run goes on") {
  const merit_test::TemporaryDirectory folder;
  const auto results = run_two(folder, [](Index, Place& place) {
    place.calibrate = pairs(6, "a", "b");
    std::get<std::vector<merit::PreferenceExample>>(place.calibrate->examples).back().chosen.tokens.back() =
        999;
  });
  for (const RunResult& result : results) {
    CHECK(result.card.calibration.empty());
    REQUIRE(result.evaluation);
    CHECK(result.evaluation->pairs->accuracy.value == 1);
  }
  CHECK(merit::read_model_card(folder / "model"));
}

TEST_CASE("a run leaves a model with its card, figures, and metrics of each event") {
  Place place;
  Listener listener;
  const RunResult result = place.run(RunStart::fresh, listener);
  CHECK_FALSE(result.interrupted);
  CHECK(result.step == 8);
  CHECK(result.steps == 8);
  REQUIRE(result.evaluation);
  CHECK(result.evaluation->pairs->accuracy.value == 1);
  CHECK(result.card.reward_mean.has_value());
  CHECK(result.json.at("evaluation").at("accuracy").at("value") == 1);
  CHECK(result.json.at("train").at("kept") == 8);
  CHECK_FALSE(merit::has_run(place.out));
  CHECK(merit::read_model_card(place.out)->kind == "preference");
  const auto events = place.events();
  CHECK(events.front().at("event") == "start");
  CHECK(events.front().at("parameters") == 257 * 8 + 8);
  CHECK(events.back().at("event") == "end");
  Index steps = 0;
  for (const merit::Json& event : events) steps += event.at("event") == "step" ? 1 : 0;
  CHECK(steps == 8);
  CHECK(listener.begun == std::vector<std::string>{"training", "measuring rewards", "evaluating"});
  CHECK(listener.remarks.empty());
}

TEST_CASE(
    "what is calibrated on is accounted for, and where nothing can be fitted the file and the cause are said") {
  Place place;
  place.calibrate = pairs(4, "a", "b");  // all right: no temperature is too small
  place.calibrate->files = "held.jsonl";
  place.calibrate->unread.add({"held.jsonl", 5}, "held.jsonl:5: bad");
  place.train.unread.add({"t.jsonl", 2}, "t.jsonl:2: bad");
  Listener listener;
  const RunResult result = place.run(RunStart::fresh, listener);
  CHECK(result.json.at("calibrate").at("kept") == 4);
  CHECK(result.json.at("calibrate").at("unread") == 1);
  CHECK(result.json.at("train").at("unread") == 1);
  CHECK(place.events().front().at("records").at("unread") == 1);
  REQUIRE(listener.remarks.size() == 1);
  CHECK(listener.remarks[0].starts_with(
      "there is no calibration: held.jsonl: every logit has the sign of its label"));
}

TEST_CASE("held-out records that were trained on are counted beside the figures") {
  const auto overlap = [](const std::string& train, const std::string& held_out) {
    return merit::overlap_of(merit_test::read_lines(merit::RecordKind::preference, train).examples,
                             merit_test::read_lines(merit::RecordKind::preference, held_out).examples);
  };
  const std::string a = "{\"prompt\": \"a \", \"chosen\": \"x\", \"rejected\": \"y\"}\n";
  const std::string b = "{\"prompt\": \"a \", \"chosen\": \"z\", \"rejected\": \"y\"}\n";
  const std::string c = "{\"prompt\": \"c \", \"chosen\": \"x\", \"rejected\": \"y\"}\n";
  const merit::Overlap found = overlap(a + a, a + b + c);
  CHECK(found.records == 3);
  CHECK(found.prompts == 2);
  CHECK(found.same == 1);
  CHECK(found.sentence() ==
        "2 of 3 held-out records have a prompt that was trained on, 1 of them is a record that was, too: the "
        "figures say less of what is new");
  CHECK(overlap(c, a + b).sentence().empty());
  Place place;  // whose held-out records are some of those trained on
  Listener listener;
  const RunResult result = place.run(RunStart::fresh, listener);
  CHECK(result.overlap.same == 3);
  CHECK(result.json.at("overlap").at("prompts") == 3);
}

TEST_CASE("a run that was stopped and goes on makes the same bytes, and each step's metrics once") {
  Place whole, cut;
  Listener quiet;
  whole.run(RunStart::fresh, quiet);

  Listener impatient(3);
  const RunResult left = cut.run(RunStart::fresh, impatient);
  CHECK(left.interrupted);
  CHECK(left.step == 3);
  CHECK_FALSE(left.evaluation);
  CHECK(merit::has_run(cut.out));
  Listener patient;
  const RunResult result = cut.run(RunStart::interrupted, patient);
  CHECK(patient.remarks == std::vector<std::string>{"going on after step 3 of 8"});
  CHECK(result.totals.tokens == 8 * 2 * 3);  // of both parts: a prompt and two answers, twice each
  CHECK(cut.weights() == whole.weights());
  std::vector<Index> steps;
  for (const merit::Json& event : cut.events()) {
    if (event.at("event") == "step") steps.push_back(event.at("step").get<Index>());
  }
  CHECK(steps == std::vector<Index>{1, 2, 3, 4, 5, 6, 7, 8});
}

TEST_CASE("with patience the best model is saved, and nothing is left beside it") {
  Place place;
  place.eval = pairs(3, "b", "a");  // what is learned makes these worse
  place.options.evaluate_every = 1;
  place.options.patience = 2;
  Listener listener;
  const RunResult result = place.run(RunStart::fresh, listener);
  CHECK(result.stopped_early);
  REQUIRE(result.evaluation);
  CHECK(result.evaluation->headline() == result.totals.best);
  CHECK(result.totals.best_step + 2 == result.step);
  CHECK(listener.lines.size() == result.step);
  CHECK(contains(listener.lines.front(), "step 1: held-out accuracy"));
  CHECK_FALSE(fs::exists(merit::best_directory(place.out)));
}

TEST_CASE("the best model is saved without stopping where that is asked for") {
  Place place;
  place.eval = pairs(3, "b", "a");
  place.options.evaluate_every = 1;
  place.options.keep_best = true;
  Listener listener;
  const RunResult result = place.run(RunStart::fresh, listener);
  CHECK_FALSE(result.stopped_early);
  CHECK(result.step == 8);
  REQUIRE(result.evaluation);
  CHECK(result.evaluation->headline() == result.totals.best);
  CHECK(result.json.at("best_step") == result.totals.best_step);
  CHECK_FALSE(fs::exists(merit::best_directory(place.out)));
}

TEST_CASE("evaluations before the first step and after each epoch") {
  Place place;
  place.options.evaluate_every_epoch = true;
  place.options.evaluate_at_start = true;
  Listener listener;
  place.run(RunStart::fresh, listener);
  REQUIRE(listener.lines.size() == 2);  // the last is the evaluation of the model saved
  CHECK(contains(listener.lines[0], "step 0: held-out accuracy"));
  CHECK(contains(listener.lines[1], "step 4: held-out accuracy"));
  std::vector<Index> steps;
  for (const merit::Json& event : place.events()) {
    if (event.at("event") == "evaluate") steps.push_back(event.at("step").get<Index>());
  }
  CHECK(steps == std::vector<Index>{0, 4, 8});
}

TEST_CASE("so many steps make a run whatever its epochs, and a resumed one is the same run") {
  Place place;
  place.options.training.max_steps = 3;
  Listener listener;
  CHECK(place.run(RunStart::fresh, listener).step == 3);

  Place longer, cut;
  longer.options.training.max_steps = cut.options.training.max_steps = 11;  // 2 epochs have 8
  Listener quiet, impatient(9), patient;
  CHECK(longer.run(RunStart::fresh, quiet).step == 11);
  CHECK(cut.run(RunStart::fresh, impatient).interrupted);
  CHECK(cut.run(RunStart::interrupted, patient).step == 11);
  CHECK(cut.weights() == longer.weights());
}

TEST_CASE("TensorBoard gets every step and evaluation, once more where a run went on") {
  Place place;
  place.options.tensorboard = place.temporary / "logs";
  Listener impatient(3), patient;
  place.run(RunStart::fresh, impatient);
  place.run(RunStart::interrupted, patient);
  std::string all;
  for (const auto& entry : fs::directory_iterator(place.options.tensorboard))
    all += merit::read_file(entry.path());
  const auto count = [&](const std::string& text) {
    Index found = 0;
    for (std::size_t at = 0; (at = all.find(text, at)) != all.npos; ++at) ++found;
    return found;
  };
  CHECK(count("train/loss") == 8);
  CHECK(count("train/learning_rate") == 8);
  CHECK(count("eval/accuracy") == 1);
  CHECK(count("eval/loss") == 1);
}

TEST_CASE("a run that has ended is evaluated and not trained") {
  Place place;
  Listener first, again;
  place.run(RunStart::fresh, first);
  const std::string weights = place.weights();
  const RunResult result = place.run(RunStart::finished, again);
  CHECK(again.remarks == std::vector<std::string>{"the run in " + place.out.string() +
                                                  " has ended; nothing is left to train"});
  CHECK(result.step == 0);
  CHECK(result.evaluation->pairs->accuracy.value == 1);
  CHECK(place.weights() == weights);
  CHECK(place.events().back().at("event") == "end");
  // What only a run writes that trains is not written now, which is said.
  place.options.tensorboard = place.temporary / "events";
  Listener told;
  place.run(RunStart::finished, told);
  REQUIRE(told.remarks.size() == 2);
  CHECK(told.remarks[1] == "nothing is written to " + (place.temporary / "events").string() +
                               ": a run tells of its steps as it makes them");
}

TEST_CASE("a learning rate that leaves no weights is named, and nothing is saved") {
  Place place;
  place.options.training.schedule.peak = 1e300;
  place.options.training.epochs = 1;
  place.options.training.batch_size = 8;
  Listener listener;
  try {
    place.run(RunStart::fresh, listener);
    FAIL("the weights were saved");
  } catch (const merit::DataError& error) {
    CHECK(
        std::string(error.what()) ==
        "step 1: the weights are not finite after it: the training diverged at the learning rate 1e+300, expected a "
        "lower one");
  }
  CHECK_FALSE(fs::exists(place.out / "merit.json"));
}

TEST_CASE("a run that has ended is not taken for one of other options or data") {
  const auto again = [](Place& place) {
    Listener listener;
    try {
      place.run(RunStart::finished, listener);
    } catch (const merit::ConfigError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  Place place;
  Listener first;
  place.run(RunStart::fresh, first);
  const std::string weights = place.weights();
  const std::string metrics = merit::read_file(place.metrics);

  place.options.training.micro_batch_tokens = 17;  // moves no gradient
  CHECK(again(place).empty());
  place.options.training.epochs = 3;
  CHECK(again(place) ==
        (place.out / "merit.json").string() +
            ": the run has ended, and it was another: run.epochs is 2, expected 3. To train on "
            "from its weights, give --from " +
            place.out.string() + " and another --out");
  place.options.training.epochs = 2;
  place.options.training.seed = 1;
  place.options.training.schedule.peak = 0.2;
  CHECK(contains(again(place), "run.learning_rate is 0.1, expected 0.2; run.seed is 0, expected 1."));
  place.options.training.seed = 0;
  place.options.training.schedule.peak = 0.1;
  place.options.training.optimizer = merit::Sgd{};
  CHECK(contains(again(place), "run.optimizer is \"adamw\", expected \"sgd\""));
  place.options.training.optimizer = merit::AdamW{};
  // What decides which model is saved, and what is fitted to it.
  place.options.keep_best = true;
  CHECK(contains(again(place), "run.keep_best is false, expected true"));
  place.options.keep_best = false;
  place.options.patience = 2;
  CHECK(contains(again(place), "run.patience is 0, expected 2"));
  place.options.patience = 0;
  place.options.calibration = "platt";
  CHECK(contains(again(place), "run.calibration is \"\", expected \"platt\""));
  place.options.calibration = "";
  place.options.reward_statistics = false;
  CHECK(contains(again(place), "run.reward_statistics is true, expected false"));
  place.options.reward_statistics = true;
  place.train = pairs(8, "a", "c");
  CHECK(contains(again(place), "run.fingerprint is "));
  place.train = pairs(9, "a", "b");
  CHECK(contains(again(place), "run.examples is 8, expected 9"));
  CHECK(place.weights() == weights);
  CHECK(merit::read_file(place.metrics) == metrics);
}

TEST_CASE("what a kill after the last save leaves is cleared when the run is asked for again") {
  Place place;
  Listener first, again;
  place.run(RunStart::fresh, first);
  const fs::path best = merit::best_directory(place.out);
  fs::copy(place.out, best, fs::copy_options::recursive);
  merit::Json card = merit::read_json(best / "merit.json");
  card["best_so_far"] = 3;
  merit::write_json(best / "merit.json", card);
  place.run(RunStart::finished, again);
  CHECK_FALSE(fs::exists(best));
  fs::create_directory(best);  // of others
  place.run(RunStart::finished, again);
  CHECK(fs::exists(best));
}

TEST_CASE("files of others are moved and not lost") {
  Place place;
  fs::create_directory(place.out);
  merit_test::put(place.out / "merit.json", "{}");
  merit_test::put(place.out / "diary.txt", "dear");
  Listener listener;
  place.run(RunStart::fresh, listener);
  CHECK(merit::read_file(place.out.string() + ".others/diary.txt") == "dear");
  REQUIRE(listener.remarks.size() == 1);
  CHECK(listener.remarks[0] == "moved " + (place.out / "diary.txt").string() + ", which would be lost, to " +
                                   place.out.string() + ".others/diary.txt");
}

TEST_CASE("a kept best model is known by its card") {
  Place place;
  Listener listener;
  place.run(RunStart::fresh, listener);
  CHECK_FALSE(merit::is_kept_best(place.out));
  CHECK_FALSE(merit::is_kept_best(place.temporary / "nowhere"));
}

}  // namespace training_run_test
