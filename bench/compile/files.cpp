// budget: 30 s, 2000 MB
// One model that is trained from a file of records and saved: what reading and writing files adds to
// tests/compile_budget/one_model.cpp.
#include <filesystem>
#include <vector>

#include "merit/files.hpp"

void train(const std::filesystem::path& records, const std::filesystem::path& directory) {
  const merit::ByteTokenizer tokenizer;
  merit::DataCounts counts;
  std::vector<merit::PreferenceExample> examples;
  merit::PreferenceReader reader(records);
  while (const auto record = reader.next()) {
    if (auto example = merit::tokenize(*record, tokenizer, {}, counts)) examples.push_back(*example);
  }
  merit::RewardModel<> model;
  merit::Trainer trainer(model, examples, {});
  trainer.run();
  merit::save_model(directory, model);
}
