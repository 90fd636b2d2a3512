// The models whose heads score tokens, steps or states.
#pragma once

#include <memory>
#include <type_traits>

#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/run/make_typed_model.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

template <class Head>
using ScoresRows = std::bool_constant<Head::meaning != ScoreMeaning::per_completion>;

MERIT_INLINE std::unique_ptr<AnyModel> make_row_model(const BackboneConfig& backbone,
                                                      const ModelSettings& settings) {
  return make_typed_model<ScoresRows, EigenBackend<float>>(backbone, settings);
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
