// How far bfloat16 is from float: in the scores and the gradient of some batches, and in the losses of 50 steps. Writes the
// start and the batches, from which bench/peer/device_precision.py does the same in PyTorch, and a line of JSON a model.
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "merit/backend/thrust/thrust_backend.hpp"
#include "merit/files.hpp"

#include "../support/pairs.hpp"

namespace {

using namespace bench;

#ifdef MERIT_BENCH_DEVICE
using System = CudaSystem;
#else
using System = OmpSystem;
#endif

constexpr const char* usage =
    "usage: precision_check FOLDER PAIRS [small]\n"
    "FOLDER  where gpt2/ and qwen2/ (the models at the start) and NAME.jsonl (a pair a line, in the order of training)\n"
    "        are written\n"
    "PAIRS   the file of lengths, bench/device/pairs.txt\n"
    "small   sizes for a host\n";

constexpr Index steps = 50;
constexpr Index compared = 8;  // batches whose scores and gradients are compared, at the start's weights

struct Sizes {
  Index hidden, heads, kv_heads, inner, layers, vocabulary;
  Index pairs;    // in a batch
  Index longest;  // tokens of a sequence
};
constexpr Sizes on_device{256, 4, 2, 704, 4, 1000, 16, 256};
constexpr Sizes on_host{128, 2, 1, 352, 2, 200, 4, 48};

struct Found {
  std::vector<double> scores, gradient, losses, norms;
};

TrainOptions options_of(const Sizes& sizes, double rate) {
  TrainOptions options;
  options.batch_size = sizes.pairs;
  options.micro_batch_tokens = 2 * sizes.pairs * sizes.longest;
  options.schedule = {.peak = rate, .warmup = 0, .decay = Schedule::Decay::constant};
  options.sharing = Sharing::no;
  return options;
}

template <class Precision, class Backbone>
using Model = RewardModel<Backbone, ScalarHead, PairwiseLoss, ThrustBackend<Precision, System>>;

template <class Precision, class Backbone>
Found found_by(const Backbone& backbone, const std::vector<PreferenceExample>& pairs, const Sizes& sizes) {
  Found found;
  Model<Precision, Backbone> model({.backbone = backbone, .seed = 1});
  using Backend = typename decltype(model)::BackendType;
  for (Index i = 0; i < compared; ++i) {
    const std::vector<PreferenceExample> batch(
        pairs.begin() + static_cast<std::ptrdiff_t>(i * sizes.pairs),
        pairs.begin() + static_cast<std::ptrdiff_t>((i + 1) * sizes.pairs));
    for (const PairScores& pair : score(model, batch)) {
      found.scores.push_back(pair.chosen);
      found.scores.push_back(pair.rejected);
    }
    Trainer trainer(model, batch, options_of(sizes, 1e-12));  // which moves no weight that matters
    trainer.step();
    const auto& parameters = std::as_const(model).parameters();
    std::vector<float> gradient(parameters.size());
    Backend::to_host(model.handle(), parameters.gradients().data, gradient.data(), gradient.size());
    Backend::wait(model.handle());
    found.gradient.insert(found.gradient.end(), gradient.begin(), gradient.end());
  }
  Model<Precision, Backbone> fresh({.backbone = backbone, .seed = 1});
  Trainer trainer(fresh, pairs, options_of(sizes, 1e-3));
  while (!trainer.finished()) {
    const StepReport report = trainer.step();
    found.losses.push_back(report.loss);
    found.norms.push_back(report.gradient_norm);
  }
  return found;
}

/// ‖a − b‖ / ‖b‖.
double relative_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double differences = 0, squares = 0;
  for (Index i = 0; i < b.size(); ++i) {
    differences += (a[i] - b[i]) * (a[i] - b[i]);
    squares += b[i] * b[i];
  }
  return std::sqrt(differences / squares);
}

template <class Backbone>
void check(const std::string& name, const Backbone& backbone, const Sizes& sizes, const std::string& lengths,
           const std::filesystem::path& folder) {
  Rng rng(1);
  const std::vector<std::array<Index, 3>> all = read_lengths(lengths);
  std::vector<PreferenceExample> pairs;
  for (Index i = 0; i < steps * sizes.pairs; ++i)
    pairs.push_back(make_pair(rng, all[i % all.size()], sizes.longest, sizes.vocabulary));
  std::filesystem::create_directories(folder);
  {
    Model<Single, Backbone> start({.backbone = backbone, .seed = 1});
    save_model(folder / name, start);
  }
  std::ofstream file(folder / concat(name, ".jsonl"));
  for (const Index i : epoch_order(pairs.size(), TrainOptions{}.seed, 0)) {
    Json line;
    line["chosen"] = pairs[i].chosen.tokens;
    line["rejected"] = pairs[i].rejected.tokens;
    file << line.dump() << '\n';
  }
  file.close();
  if (!file) throw IoError(concat((folder / name).string(), ".jsonl: cannot be written"));

  const Found single = found_by<Single>(backbone, pairs, sizes);
  const Found narrow = found_by<BFloat16>(backbone, pairs, sizes);
  Json line;
  line["check"] = concat("merit ", System::name);
  line["model"] = name;
  line["precision"] = "bf16";
  line["pairs"] = sizes.pairs;
  line["score_error"] = relative_difference(narrow.scores, single.scores);
  line["gradient_error"] = relative_difference(narrow.gradient, single.gradient);
  line["losses_float"] = single.losses;
  line["losses"] = narrow.losses;
  line["norms_float"] = single.norms;
  line["norms"] = narrow.norms;
  std::cout << line.dump() << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv, argv + argc);
  if (argc != 3 && !(argc == 4 && words[3] == "small")) {
    std::fputs(usage, stderr);
    return 2;
  }
  const Sizes& s = argc == 4 ? on_host : on_device;
  try {
    check("gpt2",
          Gpt2{.vocabulary_size = s.vocabulary,
               .hidden_size = s.hidden,
               .layers = s.layers,
               .heads = s.heads,
               .max_positions = s.longest},
          s, words[2], words[1]);
    check("qwen2",
          Llama{.vocabulary_size = s.vocabulary,
                .hidden_size = s.hidden,
                .intermediate_size = s.inner,
                .layers = s.layers,
                .heads = s.heads,
                .kv_heads = s.kv_heads,
                .norm_epsilon = 1e-6,
                .rope_base = 1e6,
                .max_positions = s.longest,
                .qkv_bias = true},
          s, words[2], words[1]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "precision_check: %s\n", error.what());
    return 1;
  }
}
