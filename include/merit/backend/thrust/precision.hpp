// What a ThrustBackend computes in. Statistics, scores, losses, sums inside an operation, and the weights that
// are trained are float in each; they differ in what flows between operations.
#pragma once

#include "merit/core/dtype.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// float everywhere.
struct Single {
  using Activation = float;
};

/// Activations, their gradients, and weights where a product reads them are rounded to bfloat16, to nearest,
/// ties to even (trained weights by chance where TrainOptions asks for it); what is trained stays in float.
struct BFloat16 {
  using Activation = Bf16;
};

}  // namespace MERIT_ABI
}  // namespace merit
