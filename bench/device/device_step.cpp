// Our side of bench/peer/device_step.py: a training step of a reward model, timed, as one line of JSON with the same fields.
// On the device where it is built with merit::device, else on the host, to see that it runs.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "merit/files.hpp"
#ifdef MERIT_BENCH_DEVICE
#include "merit/backend/thrust/thrust_backend.hpp"
#endif

#include "../support/pairs.hpp"

namespace {

using namespace bench;

#ifdef MERIT_BENCH_DEVICE
using Backend = ThrustBackend<BFloat16, CudaSystem>;
#else
using Backend = EigenBackend<float>;
#endif

constexpr const char* usage =
    "usage: device_step MODEL TOKENS WORKLOAD STEPS PAIRS [PEAK]\n"
    "MODEL     gpt2-124m, qwen2-0.5b, tiny-gpt2, tiny-qwen2\n"
    "TOKENS    of a step, before sharing\n"
    "WORKLOAD  dense: sequences of 1024 tokens that share nothing; packed: pairs of real lengths, each side by itself;\n"
    "          shared: the same, what both sides begin with once\n"
    "PAIRS     the file of lengths, bench/device/pairs.txt\n"
    "PEAK      TFLOP/s of a large product, for the MFU\n";

/// The arithmetic of a step for all tokens before sharing: what the peer counts, whatever is saved.
struct Shape {
  double matrices = 0;  // elements of the layers' weights
  double width = 0;     // of the queries of all heads
  double layers = 0;
};

Gpt2 gpt2(bool tiny) {
  Gpt2 settings;
  if (tiny)
    settings.vocabulary_size = 100, settings.hidden_size = 32, settings.layers = 2, settings.heads = 4;
  return settings;
}
Llama qwen2(bool tiny) {
  Llama settings{.vocabulary_size = 151936,
                 .hidden_size = 896,
                 .intermediate_size = 4864,
                 .layers = 24,
                 .heads = 14,
                 .kv_heads = 2,
                 .norm_epsilon = 1e-6,
                 .rope_base = 1e6,
                 .max_positions = 32768,
                 .qkv_bias = true};
  if (tiny) {
    settings.vocabulary_size = 100;
    settings.hidden_size = 32;
    settings.intermediate_size = 64;
    settings.layers = 2;
    settings.heads = 4;
  }
  return settings;
}
Shape shape_of(const Gpt2& g) {
  const auto d = static_cast<double>(g.hidden_size), layers = static_cast<double>(g.layers);
  return {layers * (4 * d * d + 2 * d * static_cast<double>(g.inner_width())), d, layers};
}
Shape shape_of(const Llama& l) {
  const auto d = static_cast<double>(l.hidden_size), layers = static_cast<double>(l.layers);
  const auto q = static_cast<double>(l.heads * l.head_width()),
             kv = static_cast<double>(l.kv_heads * l.head_width());
  return {layers * (2 * d * q + 2 * d * kv + 3 * d * static_cast<double>(l.intermediate_size)), q, layers};
}

/// Pairs up to about so many tokens, of lengths as the peer takes them.
std::vector<PreferenceExample> make_pairs(std::string_view workload, Index tokens, const char* file,
                                          Index vocabulary, Index limit) {
  Rng rng(1);
  std::vector<PreferenceExample> pairs;
  if (workload == "dense") {
    const Index length = std::min<Index>(1024, std::max<Index>(1, tokens / 2));
    for (Index i = 0; i < tokens / length / 2; ++i)
      pairs.push_back(make_pair(rng, 0, length, length, vocabulary));
    return pairs;
  }
  std::ifstream in(file);
  if (!in) throw IoError(concat(file, ": cannot be read"));
  std::vector<std::array<Index, 3>> lengths;
  for (std::string text; std::getline(in, text);) {
    std::array<Index, 3> one{};
    if (text.starts_with('#')) continue;
    std::istringstream(text) >> one[0] >> one[1] >> one[2];
    lengths.push_back(one);
  }
  for (Index i = 0, total = 0;; ++i) {
    const auto [prompt, chosen, rejected] = lengths[i % lengths.size()];
    const Index both = 2 * prompt + chosen + rejected;
    if (!pairs.empty() && total + both > tokens) return pairs;
    const Index shared = std::min(prompt, limit - 1);
    pairs.push_back(make_pair(rng, shared, std::min(chosen, limit - shared),
                              std::min(rejected, limit - shared), vocabulary));
    total += both;
  }
}

template <class Backbone>
int run(const Backbone& settings, const std::vector<std::string_view>& words, double peak) {
  using Model = RewardModel<Backbone, ScalarHead, PairwiseLoss, Backend>;
  const Index tokens = std::strtoull(words[2].data(), nullptr, 10),
              steps = std::strtoull(words[4].data(), nullptr, 10);
  const std::vector<PreferenceExample> pairs =
      make_pairs(words[3], tokens, words[5].data(), settings.vocabulary_size, settings.position_limit());
  Model model({.backbone = settings, .seed = 1});
  constexpr Index warm_up = 3;
  TrainOptions options;
  options.epochs = warm_up + steps;
  options.batch_size = pairs.size();
  options.micro_batch_tokens = 2 * tokens;
  options.schedule = {.peak = 1e-5, .warmup = 0, .decay = Schedule::Decay::constant};
  options.sharing = words[3] == "shared" ? Sharing::yes : Sharing::no;
  Trainer trainer(model, pairs, options);
  std::vector<double> seconds;
  StepReport report;
  double first_loss = 0;
  while (!trainer.finished()) {
    report = trainer.step();
    if (report.step == 1) first_loss = report.loss;
    if (report.step > warm_up) seconds.push_back(report.seconds);
  }
  std::nth_element(seconds.begin(), seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2),
                   seconds.end());
  const double median = seconds[seconds.size() / 2];

  const Shape shape = shape_of(settings);
  double seen = 0;
  for (const PreferenceExample& pair : pairs) {
    for (const Sequence* side : {&pair.chosen, &pair.rejected}) {
      const auto n = static_cast<double>(side->tokens.size());
      seen += n * (n + 1) / 2;
    }
  }
  const auto before = static_cast<double>(report.tokens_before_sharing);
  const double work = 6 * shape.matrices * before + 12 * seen * shape.width * shape.layers;
  Json line;
  line["side"] = concat("merit ", Backend::name());
  line["model"] = words[1];
  line["workload"] = words[3];
  line["way"] = "as it is";
  line["attention"] = "over the forest";
  line["sequences"] = 2 * pairs.size();
  line["tokens"] = report.tokens_before_sharing;
  line["tokens_computed"] = report.tokens;
  line["ms"] = 1e3 * median;
  line["tokens_per_s"] = before / median;
  line["tflops"] = work / median / 1e12;
  line["mfu"] = peak > 0 ? Json(work / median / 1e12 / peak) : Json();
  line["first_loss"] = first_loss;
  std::cout << line.dump() << '\n';
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> words(argv, argv + argc);
  try {
    if (argc == 6 || argc == 7) {
      const double peak = argc == 7 ? std::strtod(argv[6], nullptr) : 0;
      const bool tiny = words[1].starts_with("tiny");
      if (words[1] == "gpt2-124m" || words[1] == "tiny-gpt2") return run(gpt2(tiny), words, peak);
      if (words[1] == "qwen2-0.5b" || words[1] == "tiny-qwen2") return run(qwen2(tiny), words, peak);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "device_step: %s\n", error.what());
    return 1;
  }
  std::fputs(usage, stderr);
  return 2;
}
