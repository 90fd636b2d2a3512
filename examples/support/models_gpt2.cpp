// The models on Gpt2.
#include "typed_model.hpp"

namespace programs {

std::unique_ptr<AnyModel> make_model(const merit::Gpt2& backbone, const ModelSettings& settings) {
  return make_typed_model(backbone, settings);
}

}  // namespace programs
