// The models on Features.
#include "merit/run/typed_model.hpp"

namespace merit::inline MERIT_ABI {

template std::unique_ptr<AnyModel> make_model(const Features&, const ModelSettings&);

}  // namespace merit::inline MERIT_ABI
