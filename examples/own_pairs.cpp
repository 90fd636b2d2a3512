#include <cstdio>

#include "merit/merit.hpp"
#include "merit/tokens/tokenize.hpp"

int main() {
  const std::vector<merit::PreferenceRecord> mine = {
      {.prompt = "Is water wet? ", .chosen = "Yes, it is.", .rejected = "No."},
      {.prompt = "Is fire cold? ", .chosen = "No, it burns.", .rejected = "Yes."},
  };
  const auto pairs = merit::tokenize(mine, merit::ByteTokenizer{});
  merit::BradleyTerryModel<> model({.backbone = {.vocabulary_size = 257, .hidden_size = 64, .layers = 2}});
  merit::Trainer(model, pairs, {.epochs = 20, .schedule = {.peak = 1e-3}}).run();
  for (const merit::PairScores& pair : merit::score(model, pairs))
    std::printf("%7.3f against %7.3f\n", pair.chosen, pair.rejected);
}
