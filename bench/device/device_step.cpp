// Our side of bench/peer/device_step.py: training steps of a reward model, timed, a line of JSON a workload with the same
// fields. On the device where it is built with merit::device, else on the host, to see that it runs.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "merit/files.hpp"
#ifdef MERIT_BENCH_DEVICE
#include <cuda_runtime_api.h>

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
    "usage: device_step MODEL TOKENS,... WORKLOAD,... STEPS PAIRS [PEAK]\n"
    "MODEL     gpt2-124m, qwen2-0.5b, tiny-gpt2, tiny-qwen2; its weights are drawn once for all that follows\n"
    "TOKENS    of a step, before sharing\n"
    "WORKLOAD  dense: sequences of 1024 tokens that share nothing; packed: pairs of real lengths, each side by itself;\n"
    "          shared: the same, what both sides begin with once\n"
    "STEPS     whose median is taken, after three that warm up\n"
    "PAIRS     the file of lengths, bench/device/pairs.txt\n"
    "PEAK      TFLOP/s of a large product, for the MFU; 0: unknown\n";

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
std::vector<PreferenceExample> make_pairs(std::string_view workload, Index tokens, const std::string& file,
                                          Index vocabulary, Index limit) {
  Rng rng(1);
  std::vector<PreferenceExample> pairs;
  if (workload == "dense") {
    const Index length = std::min<Index>(1024, std::max<Index>(1, tokens / 2));
    for (Index i = 0; i < tokens / length / 2; ++i)
      pairs.push_back(make_pair(rng, 0, length, length, vocabulary));
    return pairs;
  }
  const std::vector<std::array<Index, 3>> lengths = read_lengths(file);
  for (Index i = 0, total = 0;; ++i) {
    const auto& [prompt, chosen, rejected] = lengths[i % lengths.size()];
    const Index both = 2 * prompt + chosen + rejected;
    if (!pairs.empty() && total + both > tokens) return pairs;
    pairs.push_back(make_pair(rng, lengths[i % lengths.size()], limit, vocabulary));
    total += both;
  }
}

/// Of the device's memory in use, in 10^9 bytes; nothing where the host computes.
Json memory_in_use() {
#ifdef MERIT_BENCH_DEVICE
  std::size_t free = 0, total = 0;
  if (cudaMemGetInfo(&free, &total) == cudaSuccess) return static_cast<double>(total - free) / 1e9;
#endif
  return {};
}

struct Options {
  Index steps = 0;
  std::string pairs;
  double peak = 0;  // TFLOP/s
};

template <class Model>
Json measure(Model& model, std::string_view workload, Index tokens, const Options& options) {
  constexpr Index warm_up = 3;
  const auto& backbone = model.config().backbone;
  const std::vector<PreferenceExample> pairs =
      make_pairs(workload, tokens, options.pairs, backbone.vocabulary_size, backbone.position_limit());
  TrainOptions training;
  training.epochs = warm_up + options.steps;
  training.batch_size = pairs.size();
  training.micro_batch_tokens = 2 * tokens;
  // All the work of an update by so little that the next workload starts from the same weights.
  training.schedule = {.peak = 1e-12, .warmup = 0, .decay = Schedule::Decay::constant};
  training.sharing = workload == "shared" ? Sharing::yes : Sharing::no;
  Trainer trainer(model, pairs, training);
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

  const Shape shape = shape_of(backbone);
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
  line["workload"] = workload;
  line["way"] = "as it is";
  line["attention"] = "over the forest";
  line["asked"] = tokens;
  line["sequences"] = 2 * pairs.size();
  line["tokens"] = report.tokens_before_sharing;
  line["tokens_computed"] = report.tokens;
  line["ms"] = 1e3 * median;
  line["tokens_per_s"] = before / median;
  line["tflops"] = work / median / 1e12;
  line["mfu"] = options.peak > 0 ? Json(work / median / 1e12 / options.peak) : Json();
  line["memory_gb"] = memory_in_use();
  line["first_loss"] = first_loss;
  return line;
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t comma = text.find(',');
    parts.push_back(text.substr(0, comma));
    if (comma == text.npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

Index whole_number(std::string_view text) {
  Index value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value == 0)
    throw ConfigError(concat("found \"", text, "\", expected a whole number above 0"));
  return value;
}

template <class Backbone>
int run(const Backbone& backbone, std::span<const std::string_view> words) {
  const Options options{.steps = whole_number(words[4]),
                        .pairs = std::string(words[5]),
                        .peak = words.size() > 6 ? std::strtod(words[6].data(), nullptr) : 0};
  std::vector<Index> counts;
  for (const std::string_view count : split(words[2])) counts.push_back(whole_number(count));
  const std::vector<std::string_view> workloads = split(words[3]);
  for (const std::string_view workload : workloads) {
    if (workload != "dense" && workload != "packed" && workload != "shared")
      throw ConfigError(concat("found workload \"", workload, "\", expected dense, packed or shared"));
  }
  RewardModel<Backbone, ScalarHead, PairwiseLoss, Backend> model({.backbone = backbone, .seed = 1});
  for (const Index tokens : counts) {
    for (const std::string_view workload : workloads) {
      Json line = measure(model, workload, tokens, options);
      model.trim();  // so that the memory of the next is its own
      line["model"] = words[1];
      std::cout << line.dump() << std::endl;
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> words(argv, argv + argc);
  try {
    if (argc == 6 || argc == 7) {
      const bool tiny = words[1].starts_with("tiny");
      if (words[1] == "gpt2-124m" || words[1] == "tiny-gpt2") return run(gpt2(tiny), words);
      if (words[1] == "qwen2-0.5b" || words[1] == "tiny-qwen2") return run(qwen2(tiny), words);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "device_step: %s\n", error.what());
    return 1;
  }
  std::fputs(usage, stderr);
  return 2;
}
