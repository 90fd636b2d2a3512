// The library's models of the compiled set, as the programs name them. Each backbone's models are compiled
// once, in models_….cpp, and shared by the programs.
#pragma once

#include "merit/run/any_model.hpp"
#include "merit/run/typed_model.hpp"

namespace merit::inline MERIT_ABI {

extern template std::unique_ptr<AnyModel> make_model(const Llama&, const ModelSettings&);
extern template std::unique_ptr<AnyModel> make_model(const Gpt2&, const ModelSettings&);
extern template std::unique_ptr<AnyModel> make_model(const BagOfTokens&, const ModelSettings&);
extern template std::unique_ptr<AnyModel> make_model(const Features&, const ModelSettings&);

}  // namespace merit::inline MERIT_ABI

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
using merit::make_model;
using merit::meaning_of;
using merit::name_of;
using merit::size_of;

}  // namespace programs
