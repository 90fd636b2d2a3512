// Our side of the comparison with another library (see README.md): writes a model and its pairs for both
// sides to read, and times our training step on them.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "../support/arithmetic.hpp"
#include "../support/pairs.hpp"
#include "merit/files.hpp"

namespace {

using namespace bench;
using Model = RewardModel<Llama, ScalarHead, PairwiseLoss, EigenBackend<float>>;
using Pairs = std::vector<PreferenceExample>;

constexpr const char* usage =
    "usage: peer_step prepare FOLDER WORKLOAD WIDTH LAYERS PAIRS   writes FOLDER/model and FOLDER/work.json\n"
    "       peer_step run FOLDER SHARING STEPS                     times STEPS steps, after 2 that are not\n"
    "WORKLOAD  varied: a prompt and two answers of varied lengths; equal: 400 tokens a side, nothing shared\n"
    "SHARING   shared or apart: whether the prompt is computed once or twice\n";

constexpr double learning_rate = 1e-4;
constexpr double max_gradient_norm = 1;

Index parse_count(const char* text) {
  char* end = nullptr;
  const unsigned long long value = std::strtoull(text, &end, 10);
  if (*text == '\0' || *end != '\0' || value == 0) {
    throw ConfigError(concat("'", text, "' is not a whole number above 0"));
  }
  return static_cast<Index>(value);
}

Pairs make_workload(std::string_view workload, Index count, Index vocabulary) {
  Pairs pairs;
  Rng rng(1);
  for (Index i = 0; i < count; ++i) {
    if (workload == "equal") {
      pairs.push_back(make_pair(rng, 0, 400, 400, vocabulary));
    } else if (workload == "varied") {
      const Index prompt = random_length(rng, 60, 400);
      const Index chosen = random_length(rng, 25, 250);
      pairs.push_back(make_pair(rng, prompt, chosen, random_length(rng, 25, 250), vocabulary));
    } else {
      throw ConfigError(concat("there is no workload '", workload, "', expected varied or equal"));
    }
  }
  return pairs;
}

int prepare(const std::filesystem::path& folder, std::string_view workload, Index width, Index layers,
            Index pairs) {
  Llama llama;
  llama.vocabulary_size = 1024;
  llama.hidden_size = width;
  llama.intermediate_size = (width * 8 / 3 + 15) / 16 * 16;
  llama.layers = layers;
  Model model({.backbone = llama, .seed = 1});
  std::filesystem::create_directories(folder);
  save_model(folder / "model", model);

  const AdamW adamw;
  Json work;
  work["workload"] = workload;
  work["padding"] = padding;
  work["learning_rate"] = learning_rate;
  work["max_gradient_norm"] = max_gradient_norm;
  work["betas"] = {adamw.beta1, adamw.beta2};
  work["epsilon"] = adamw.epsilon;
  work["weight_decay"] = adamw.weight_decay;
  work["pairs"] = Json::array();
  for (const PreferenceExample& pair : make_workload(workload, pairs, llama.vocabulary_size)) {
    work["pairs"].push_back({pair.chosen.tokens, pair.rejected.tokens});
  }
  std::ofstream(folder / "work.json") << work.dump() << '\n';
  return 0;
}

int run(const std::filesystem::path& folder, std::string_view sharing_name, Index steps) {
  const bool shared = sharing_name == "shared";
  if (!shared && sharing_name != "apart") {
    throw ConfigError(concat("'", sharing_name, "' is neither shared nor apart"));
  }
  std::ifstream file(folder / "work.json");
  if (!file) throw IoError(concat((folder / "work.json").string(), ": cannot be read"));
  const Json work = Json::parse(file);
  Pairs pairs;
  for (const Json& sides : work.at("pairs")) {
    PreferenceExample pair;
    pair.chosen.tokens = sides.at(0).get<std::vector<Token>>();
    pair.rejected.tokens = sides.at(1).get<std::vector<Token>>();
    pairs.push_back(pair);
  }
  const Llama llama = std::get<Llama>(read_backbone_config(folder / "model" / "config.json"));
  Model model({.backbone = llama});
  load_model_parameters(folder / "model", model);

  constexpr Index warm_up = 2;
  TrainOptions options;
  options.epochs = warm_up + steps;
  options.batch_size = pairs.size();
  options.max_gradient_norm = work.at("max_gradient_norm").get<double>();
  options.schedule = {
      .peak = work.at("learning_rate").get<double>(), .warmup = 0, .decay = Schedule::Decay::constant};
  options.sharing = shared ? Sharing::yes : Sharing::no;
  Trainer trainer(model, pairs, options);
  std::vector<double> seconds;
  std::vector<double> losses;
  StepReport report;
  while (!trainer.finished()) {
    report = trainer.step();
    losses.push_back(report.loss);
    if (report.step > warm_up) seconds.push_back(report.seconds);
  }

  Json result;
  result["workload"] = work.at("workload");
  result["side"] = concat("merit, ", sharing_name);
  result["threads"] = model.handle().threads();
  result["records"] = pairs.size();
  result["record_tokens"] = report.tokens_before_sharing;
  result["tokens"] = report.tokens;
  result["operations"] = count_work(llama, Batch(pairs, options.sharing).builder.view()).step;
  result["seconds"] = seconds;
  result["losses"] = losses;
  std::cout << result.dump() << '\n';
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> words(argv, argv + argc);
  try {
    if (argc == 7 && words[1] == "prepare") {
      return prepare(argv[2], words[3], parse_count(argv[4]), parse_count(argv[5]), parse_count(argv[6]));
    }
    if (argc == 5 && words[1] == "run") return run(argv[2], words[3], parse_count(argv[4]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "peer_step: %s\n", error.what());
    return 1;
  }
  std::fputs(usage, stderr);
  return 2;
}
