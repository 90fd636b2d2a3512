// The models on BagOfTokens.
#include "merit/run/typed_model.hpp"

namespace merit::inline MERIT_ABI {

template std::unique_ptr<AnyModel> make_model(const BagOfTokens&, const ModelSettings&);

}  // namespace merit::inline MERIT_ABI
