// The models on Llama.
#include <memory>

#include "any_model.hpp"
#include "merit/run/typed_model.hpp"

namespace programs {

std::unique_ptr<AnyModel> model_on(const merit::Llama& backbone, const merit::ModelSettings& settings) {
  return merit::make_model_on(backbone, settings);
}

}  // namespace programs
