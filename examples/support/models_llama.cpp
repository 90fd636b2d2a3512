// The models on Llama.
#include "typed_model.hpp"

namespace programs {

std::unique_ptr<AnyModel> make_model(const merit::Llama& backbone, const ModelSettings& settings) {
  return make_typed_model(backbone, settings);
}

}  // namespace programs
