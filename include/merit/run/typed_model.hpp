// A RewardModel of the compiled set as an AnyModel.
#pragma once

#include <span>
#include <variant>

#include "merit/run/any_model_on.hpp"

namespace merit {
inline namespace MERIT_ABI {

template <class Model>
class TypedModel final : public AnyModelOn<typename Model::BackendType> {
 public:
  using Backend = typename Model::BackendType;
  using Forest = AnyModel::Forest;

  explicit TypedModel(const typename Model::Config& config)
      : AnyModelOn<Backend>({{config.backbone}, config.head, config.loss, config.adapters}), model_(config) {}

  std::span<const float> score(const Forest& forest) override { return model_.score(forest); }
  std::span<const float> score(const Forest& forest, EarlierTokens<Backend>& earlier) override {
    return model_.score(forest, earlier);
  }
  void begin_step() override { model_.begin_step(); }
  void issue(const Forest& forest, const AnyTargets& targets, const AnyNormaliser& normaliser,
             Index number) override {
    model_.issue(forest, own(targets), own(normaliser), number);
  }
  double collect(Index number) override { return model_.collect(number); }
  void end_step() override { model_.end_step(); }
  std::span<const float> scores() const override { return model_.scores(); }
  double loss_of_scored(const AnyTargets& targets, const AnyNormaliser& normaliser) override {
    return model_.loss_of_scored(own(targets), own(normaliser));
  }
  Index outputs() const override { return model_.outputs(); }
  Index second_outputs() const override { return model_.second_outputs(); }
  Parameters<Backend>& parameters() override { return model_.parameters(); }
  const Parameters<Backend>& parameters() const override { return model_.parameters(); }

 private:
  typename AnyModelOn<Backend>::Working working() override {
    const auto layer = model_.tape().layer_bytes();
    return {model_.tape().bytes(), layer.inside, layer.result};
  }
  static const typename Model::Targets& own(const AnyTargets& any) {
    return std::get<typename Model::Targets>(any.held);
  }
  static typename Model::Normaliser own(const AnyNormaliser& any) {
    return static_cast<typename Model::Normaliser>(any);
  }

  Model model_;
};

}  // namespace MERIT_ABI
}  // namespace merit
