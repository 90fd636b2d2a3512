// Log-probabilities of tokens under a published language model, for language_models.py beside it.
//   token_log_probs MODEL [WORDS]
// MODEL is a directory or a GGUF file. Lines of JSON in, each an array of token ids; a line out for each,
// {"log_probs": […], "greedy": […]}: of every token but the first, given those before it, and the WORDS (0)
// tokens that follow when the likeliest is taken each time.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <span>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/forest/forest.hpp"
#include "merit/head/language_model_head.hpp"
#include "merit/io/json.hpp"
#include "merit/loss/language_model_loss.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/reward_model.hpp"

namespace {

using namespace merit;
template <class Backbone>
using ModelOf = RewardModel<Backbone, LanguageModelHead, LanguageModelLoss, EigenBackend<float>>;

/// The logits of the token after each token, (tokens, vocabulary), valid until the next call.
template <class Model>
std::span<const float> logits_of(Model& model, const std::vector<Token>& tokens) {
  ForestBuilder builder;
  const std::span<const Token> span(tokens);
  builder.add_tree({&span, 1});
  for (std::uint32_t t = 0; t < builder.token_count(); ++t) builder.want_row(t);
  builder.finish();
  return model.score(builder.view());
}

double log_probability(std::span<const float> logits, Token token) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return static_cast<double>(logits[token]) - top - std::log(sum);
}

template <class Backbone>
void run(const std::filesystem::path& path, Backbone backbone, Index words) {
  const auto begin = std::chrono::steady_clock::now();
  if constexpr (requires { backbone.unembedding; }) backbone.unembedding = true;
  ModelOf<Backbone> model({.backbone = backbone, .initial = Initial::from_file});
  const LoadReport report = load_model_parameters(path, model);
  for (const std::string& name : report.unexpected) std::cerr << "not read: " << name << "\n";
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  std::cerr << "loaded in " << seconds.count() << " s\n";

  const Index vocabulary = backbone.vocabulary_size;
  std::string line;
  for (Index number = 1; std::getline(std::cin, line); ++number) {
    const std::string where = concat("line ", number);
    auto tokens = detail::JsonReader<std::vector<Token>>::read(parse_json(line, where), where, "ids");
    Json out = {{"log_probs", Json::array()}, {"greedy", Json::array()}};
    std::span<const float> logits = logits_of(model, tokens);
    for (Index t = 1; t < tokens.size(); ++t) {
      out["log_probs"].push_back(
          log_probability(logits.subspan((t - 1) * vocabulary, vocabulary), tokens[t]));
    }
    for (Index word = 0; word < words; ++word) {
      const auto last = logits.subspan((tokens.size() - 1) * vocabulary, vocabulary);
      tokens.push_back(static_cast<Token>(std::max_element(last.begin(), last.end()) - last.begin()));
      out["greedy"].push_back(tokens.back());
      if (word + 1 < words) logits = logits_of(model, tokens);
    }
    std::cout << out.dump() << "\n";
  }
}

}  // namespace

int main(int count, char** arguments) try {
  if (count < 2) {
    std::fprintf(stderr, "usage: token_log_probs MODEL [WORDS] < LINES\n");
    return 2;
  }
  const std::filesystem::path path = arguments[1];
  const Index words = count > 2 ? std::stoul(arguments[2]) : 0;
  std::visit(
      [&]<class Backbone>(const Backbone& backbone) {
        if constexpr (std::is_same_v<Backbone, Llama> || std::is_same_v<Backbone, Gpt2> ||
                      std::is_same_v<Backbone, GptNeox>) {
          run(path, backbone, words);
        } else {
          throw ConfigError("expected a language model");
        }
      },
      read_backbone_config(path));
  return 0;
} catch (const std::exception& error) {
  std::cerr << "token_log_probs: " << error.what() << "\n";
  return 1;
}
