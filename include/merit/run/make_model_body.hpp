// Which of the compiled models it is.
#pragma once

#include <memory>

#include "merit/core/error.hpp"
#include "merit/run/backend_choice.hpp"
#include "merit/run/make_model.hpp"
#include "merit/run/model_set.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE std::unique_ptr<AnyModel> make_model(const BackboneConfig& backbone,
                                                  const ModelSettings& settings) {
  check_carried(backbone, settings.head);
  const bool completions = meaning_of(settings.head) == ScoreMeaning::per_completion;
  std::unique_ptr<AnyModel> model;
  switch (backend_named(name_of(settings.backend))) {
    case BackendChoice::eigen:
      model = completions ? detail::make_completion_model(backbone, settings)
                          : detail::make_row_model(backbone, settings);
      break;
    case BackendChoice::thrust:
#ifdef MERIT_RUN_THRUST
      model = detail::make_thrust_model(backbone, settings);
#endif
      break;
    case BackendChoice::thrust_omp:
#ifdef MERIT_RUN_THRUST_OMP
      model = detail::make_thrust_omp_model(backbone, settings);
#endif
      break;
  }
  if (model) return model;
  throw ConfigError("the head " + name_of(settings.head) + " and the loss " + name_of(settings.loss) +
                    " do not go together in this program");
}

}  // namespace MERIT_ABI
}  // namespace merit
