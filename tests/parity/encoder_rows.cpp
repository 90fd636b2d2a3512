// Hidden rows or class scores of a published encoder, for encoders.py beside it.
//   encoder_rows MODEL hidden|CLASSES
// Lines of JSON in, each an array of token ids; a line out for each: the hidden rows of all tokens, one after the other, or
// the scores of so many classes.
#include <cstdio>
#include <exception>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/forest/forest.hpp"
#include "merit/head/attribute_head.hpp"
#include "merit/io/json.hpp"
#include "merit/loss/regression_loss.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/reward_model.hpp"
#include "merit/run/any_backbone.hpp"

namespace {

using namespace merit;
using Model = RewardModel<AnyBackbone, AttributeHead, RegressionLoss<ScoreMeaning::per_completion>,
                          EigenBackend<float>>;

/// Without what stands behind the hidden rows.
AnyBackbone bare(BackboneConfig config) {
  std::visit(
      [](auto& one) {
        if constexpr (requires { one.pooling; }) {
          one.pooling = Pooling::token;
          one.pooler = false;
        } else {
          throw ConfigError("expected an encoder");
        }
      },
      config);
  return {config};
}

}  // namespace

int main(int count, char** arguments) try {
  if (count != 3) {
    std::fprintf(stderr, "usage: encoder_rows MODEL hidden|CLASSES < LINES\n");
    return 2;
  }
  const std::filesystem::path path = arguments[1];
  const bool hidden = std::string(arguments[2]) == "hidden";
  const BackboneConfig config = read_backbone_config(path);
  const AnyBackbone backbone = hidden ? bare(config) : AnyBackbone{config};
  const Index classes = hidden ? 1 : std::stoul(arguments[2]);
  Model model({.backbone = backbone,
               .head = {.merge_weights = std::vector<double>(classes, 1.0), .bias = !hidden},
               .initial = Initial::from_file,
               .scores_only = true});
  const LoadReport report =
      load_model_parameters(path, model, {.allow_missing_head = hidden, .allow_other_settings = true});
  for (const std::string& name : report.unexpected) std::cerr << "not read: " << name << "\n";

  std::string line;
  for (Index number = 1; std::getline(std::cin, line); ++number) {
    const std::string where = concat("line ", number);
    const auto tokens = detail::JsonReader<std::vector<Token>>::read(parse_json(line, where), where, "ids");
    const std::span<const Token> span(tokens);
    ForestBuilder builder(Sharing::no);
    builder.add_tree({&span, 1});
    for (std::uint32_t t = hidden ? 0 : static_cast<std::uint32_t>(tokens.size()) - 1; t < tokens.size(); ++t)
      builder.want_row(t);
    builder.finish();
    Json out = Json::array();
    if (hidden) {
      model.tape().reset();
      model.tape().set_recording(false);
      const auto rows = model.tape().value(model.backbone().forward(model.tape(), builder.view())).flat();
      for (const float value : rows) out.push_back(value);
    } else {
      for (const float value : model.score(builder.view())) out.push_back(value);
    }
    std::cout << out.dump() << "\n";
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << "encoder_rows: " << error.what() << "\n";
  return 1;
}
