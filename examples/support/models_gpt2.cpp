// The models on Gpt2.
#include "merit/run/typed_model.hpp"

namespace merit::inline MERIT_ABI {

template std::unique_ptr<AnyModel> make_model(const Gpt2&, const ModelSettings&);

}  // namespace merit::inline MERIT_ABI
