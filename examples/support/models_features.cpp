// The models on Features.
#include "typed_model.hpp"

namespace programs {

std::unique_ptr<AnyModel> make_model(const merit::Features& backbone, const ModelSettings& settings) {
  return make_typed_model(backbone, settings);
}

}  // namespace programs
