// What the tests of writing and reading back share: values of fields, each set alone.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "../io/temporary.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/checkpoint.hpp"
#include "merit/model/reward_model.hpp"

namespace merit_test {

using namespace merit;

template <class Backbone, class Backend = ReferenceBackend<double>>
using ModelOf = RewardModel<Backbone, ScalarHead, PairwiseLoss, Backend>;

inline constexpr double infinity = std::numeric_limits<double>::infinity();
inline constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// One value of one field.
template <class T>
struct FieldValue {
  std::string name;
  std::function<void(T&)> set;
};

/// The configuration in a checkpoint of a model with it.
template <class Backbone>
Backbone read_back(const Backbone& backbone) {
  const TemporaryDirectory directory;
  ModelOf<Backbone> model({.backbone = backbone});
  save_model(directory / "m", model);
  const BackboneConfig read = read_backbone_config(directory / "m");
  REQUIRE(std::holds_alternative<Backbone>(read));
  CHECK_NOTHROW(load_model_parameters(directory / "m", model));
  return std::get<Backbone>(read);
}

/// Each value alone, set in `plain`, reads back as it is.
template <class Backbone>
void check_kept(const Backbone& plain, const std::vector<FieldValue<Backbone>>& values) {
  CHECK((read_back(plain) == plain));
  for (const FieldValue<Backbone>& value : values) {
    CAPTURE(value.name);
    Backbone changed = plain;
    value.set(changed);
    CHECK(!(changed == plain));
    CHECK((read_back(changed) == changed));
  }
}

/// Each value is refused when the model is made.
template <class Backbone>
void check_refused(const Backbone& plain, const std::vector<FieldValue<Backbone>>& values) {
  for (const FieldValue<Backbone>& value : values) {
    CAPTURE(value.name);
    Backbone changed = plain;
    value.set(changed);
    CHECK_THROWS_AS(ModelOf<Backbone>({.backbone = changed}), ConfigError);
  }
}

inline const Llama written_llama{.vocabulary_size = 7,
                                 .hidden_size = 8,
                                 .intermediate_size = 6,
                                 .layers = 2,
                                 .heads = 2,
                                 .kv_heads = 1,
                                 .max_positions = 16};

}  // namespace merit_test
