// Saves a small model in a folder, opens it and scores with it, of which this unit has declarations alone.
#include <exception>
#include <iostream>

#include "merit/open.hpp"
#include "merit/run/make_model.hpp"

#ifndef MERIT_COMPILED_RUN
#error "merit::compiled_run must define MERIT_COMPILED_RUN"
#endif

int main(int count, char** words) try {
  if (count != 2) throw merit::ConfigError("expected the folder to save a model in");
  merit::SavedModel about;
  about.backbone = merit::BagOfTokens{.vocabulary_size = 257, .width = 8};
  about.head = merit::ScalarHead{};
  about.tokenizer = merit::make_tokenizer("bytes");
  const auto model = merit::make_model(about.backbone, {about.head, merit::some_loss(about.head)});
  model->save(words[1], merit::card_of(about), {});

  const auto ranked = merit::open(words[1]).rank("A prompt", std::vector<std::string>{"one", "two"});
  std::cout << "ranked " << ranked.size() << " answers\n";
} catch (const std::exception& error) {
  std::cout << error.what() << '\n';
}
