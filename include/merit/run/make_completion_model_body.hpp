// The models whose heads score whole completions.
#pragma once

#include <memory>
#include <type_traits>

#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/run/make_typed_model.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

template <class Head>
using ScoresCompletions = std::bool_constant<Head::meaning == ScoreMeaning::per_completion>;

MERIT_INLINE std::unique_ptr<AnyModel> make_completion_model(const BackboneConfig& backbone,
                                                             const ModelSettings& settings) {
  return make_typed_model<ScoresCompletions, EigenBackend<float>>(backbone, settings);
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
