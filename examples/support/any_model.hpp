// The library's models of the compiled set, as the programs name them. Each backbone's models are compiled
// once, in models_….cpp, and shared by the programs.
#pragma once

#include <memory>
#include <variant>

#include "merit/model/hf_config.hpp"
#include "merit/run/any_model.hpp"

namespace programs {

using merit::AnyHead;
using merit::AnyLoss;
using merit::AnyModel;
using merit::AnyRun;
using merit::Examples;
using merit::Family;
using merit::Index;
using merit::ScoredSet;
using merit::ScoreMeaning;
using merit::VerifierHead;
using merit::VerifierLoss;

using merit::head_from;
using merit::head_named;
using merit::loss_named;
using merit::meaning_of;
using merit::name_of;
using merit::size_of;

/// A model with fresh parameters. Throws ConfigError for what is not in the compiled set.
std::unique_ptr<AnyModel> model_on(const merit::Llama& backbone, const merit::ModelSettings& settings);
std::unique_ptr<AnyModel> model_on(const merit::Gpt2& backbone, const merit::ModelSettings& settings);
std::unique_ptr<AnyModel> model_on(const merit::BagOfTokens& backbone, const merit::ModelSettings& settings);
std::unique_ptr<AnyModel> model_on(const merit::Features& backbone, const merit::ModelSettings& settings);
inline std::unique_ptr<AnyModel> make_model(const merit::BackboneConfig& backbone,
                                            const merit::ModelSettings& settings) {
  return std::visit([&](const auto& one) { return model_on(one, settings); }, backbone);
}

}  // namespace programs
