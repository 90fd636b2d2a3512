// The models of some heads of the compiled set, each with every loss that it is compiled with.
#pragma once

#include <memory>
#include <variant>

#include "merit/model/reward_model.hpp"
#include "merit/run/make_model.hpp"
#include "merit/run/typed_model.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

template <class Backend>
Backend backend_of(const ModelSettings& settings) {
  Backend backend{.threads = settings.threads};
  if constexpr (requires { backend.device; }) {
    backend.device = settings.device;
    backend.product_plans = settings.product_plans;
  }
  return backend;
}

/// The model of these settings; null where they are of another head, or of a loss that is not compiled with it.
/// `Wanted<Head>` says whether a head is one of them.
template <template <class> class Wanted, class Backend>
std::unique_ptr<AnyModel> make_typed_model(const BackboneConfig& backbone, const ModelSettings& settings) {
  std::unique_ptr<AnyModel> made;
  for_each_type<AnyHead>([&]<class Head>(const Head&) {
    if constexpr (Wanted<Head>::value) {
      for_each_type<AnyLoss>([&]<class Loss>(const Loss&) {
        if constexpr (is_compiled<Head, Loss>) {
          const Head* head = std::get_if<Head>(&settings.head);
          const Loss* loss = std::get_if<Loss>(&settings.loss);
          if (head == nullptr || loss == nullptr) return;
          using Model = RewardModel<AnyBackbone, Head, Loss, Backend>;
          made = std::make_unique<TypedModel<Model>>(
              typename Model::Config{.backbone = {backbone},
                                     .head = *head,
                                     .loss = *loss,
                                     .backend = backend_of<Backend>(settings),
                                     .seed = settings.seed,
                                     .initial = settings.initial,
                                     .scores_only = settings.scores_only,
                                     .adapters = settings.adapters});
        }
      });
    }
  });
  return made;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
