// Puts answers to a prompt in order, with a model that merit_train or save_model() left in a folder.
#include <cstdio>
#include <exception>

#include "merit/files.hpp"

using Model =
    merit::RewardModel<merit::Llama, merit::ScalarHead, merit::PairwiseLoss, merit::EigenBackend<float>>;

int main(int count, char** words) try {
  if (count < 4) throw merit::ConfigError("expected a folder, a prompt, and answers to put in order");
  const std::filesystem::path folder = words[1];
  const merit::BackboneConfig backbone = merit::read_backbone_config(folder);
  if (!std::holds_alternative<merit::Llama>(backbone)) throw merit::ConfigError("expected a Llama");
  Model model({.backbone = std::get<merit::Llama>(backbone)});
  merit::load_model_parameters(folder, model);
  const auto card = merit::read_model_card(folder);  // how text becomes tokens
  if (!card) throw merit::DataError(folder.string() + ": there is no merit.json");

  const merit::AnyTokenizer tokenizer = merit::make_tokenizer(card->tokenizer);
  merit::TokenizeOptions options{.without_prompt = card->without_prompt, .append_eos = card->append_eos};
  if (card->max_tokens != 0) options.max_tokens = card->max_tokens;
  if (!card->truncation.empty()) options.truncation = merit::truncation_from_name(card->truncation);
  merit::DataCounts counts;
  std::vector<merit::Sequence> answers;
  for (int i = 3; i < count; ++i) {
    const merit::CompletionRecord record{.prompt = words[2], .completion = words[i]};
    merit::TokenizedCompletion answer = merit::tokenize(record, tokenizer, options, counts);
    if (answer.fate != merit::CompletionFate::kept)
      throw merit::DataError(merit::detail::concat("answer ", i - 2, " is empty or too long for the model"));
    answers.push_back(std::move(answer.sequence));
  }
  for (const auto [index, score] : merit::rerank(model, answers))
    std::printf("%8.4f  %s\n", score, words[3 + index]);
} catch (const std::exception& error) {
  std::fprintf(stderr, "rank: %s\n", error.what());
  return 1;
}
