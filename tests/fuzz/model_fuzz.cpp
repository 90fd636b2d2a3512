// Any bytes as a config.json from which a model is built, as one that waits for a file's weights and, where it is
// small, as one that is drawn and scores: it works, or is refused with a merit::Error, before memory is taken.
//   clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -I include tests/fuzz/model_fuzz.cpp
//   ./a.out -max_len=4096 -malloc_limit_mb=256 CORPUS tests/fuzz/seeds/model
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "merit/backend/reference/reference_backend.hpp"
#include "merit/core/error.hpp"
#include "merit/forest/forest.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/model/reward_model.hpp"

using namespace merit;

namespace {

template <class Backbone>
void build_and_score(const Backbone& backbone) {
  using Model = RewardModel<Backbone, ScalarHead, PairwiseLoss, ReferenceBackend<double>>;
  Model waiting({.backbone = backbone, .initial = Initial::from_file});
  Index elements = 0;
  for (Index i = 0; i < waiting.parameters().tensor_count(); ++i)
    elements += waiting.parameters().element_count(i);
  if (elements > 4096 || reads_features<Backbone>) return;
  Model small({.backbone = backbone});
  ForestBuilder builder;
  const std::vector<Token> tokens(2, 0);
  const std::span<const Token> sequences[] = {tokens};
  builder.want_row(builder.index(builder.add_tree(sequences), 0, 1));
  builder.finish();
  small.score(builder.view());  // a number or none: extreme settings overflow
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  try {
    const std::string text(reinterpret_cast<const char*>(bytes), size);
    const BackboneConfig config = read_backbone_config(parse_json(text, "fuzz"), "fuzz");
    std::visit([](const auto& backbone) { build_and_score(backbone); }, config);
  } catch (const Error&) {
  }
  return 0;
}
