// The operations of the Eigen backend as pointers to functions: what stands between a program that links
// merit::compiled and the kernels in it, of which there are some for each instruction set.
#pragma once

#include "merit/backend/instruction_set.hpp"
#include "merit/backend/operations.hpp"
#include "merit/fwd.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::eigen {

/// The functions of Kernels<T>, under the same names. Whoever adds one there adds it here.
template <class T>
struct KernelTable {
  using Backend = EigenBackend<T>;
  using Matrix = MatrixView<T>;
  using ConstMatrix = MatrixView<const T>;
  using Vector = VectorView<T>;
  using ConstVector = VectorView<const T>;
  using Indices = VectorView<const std::uint32_t>;
  using Forest = ForestView<HostSpace>;
  template <class... Arguments>
  using Operation = void (*)(typename Backend::Handle&, Arguments...);
  using Scratch = Index (*)(typename Backend::Handle&, const Forest&, const AttentionShape&);

  Index (*threads)(int wanted);
  Index (*working_space)(Index threads);
  Operation<Vector, T> fill;
  Operation<ConstMatrix, Write, Matrix> copy;
  Operation<const LinearArguments<Backend>&> linear;
  Operation<ConstMatrix, ConstMatrix, Write, Matrix> weight_gradient;
  Operation<ConstMatrix, Write, Vector> column_sum;
  Operation<const RmsNormArguments<Backend>&> rms_norm;
  Operation<const RmsNormBackwardArguments<Backend>&> rms_norm_backward;
  Operation<const LayerNormArguments<Backend>&> layer_norm;
  Operation<const LayerNormBackwardArguments<Backend>&> layer_norm_backward;
  Operation<const RotaryArguments<Backend>&> rotary;
  Operation<const WeightView<>&, Indices, Write, Matrix> gather_rows;
  Operation<ConstMatrix, Indices, Matrix> scatter_add_rows;
  Scratch attention_scratch;
  Operation<const AttentionArguments<Backend>&> attention;
  Scratch attention_backward_scratch;
  Operation<const AttentionBackwardArguments<Backend>&> attention_backward;
  Index (*relative_attention_scratch)(typename Backend::Handle&, const Forest&, Index);
  Operation<const RelativeAttentionArguments<Backend>&> relative_attention;
  Operation<const RelativeAttentionBackwardArguments<Backend>&> relative_attention_backward;
  Operation<ActivationFunction, ConstMatrix, Matrix> glu;
  Operation<const GluBackwardArguments<Backend>&> glu_backward;
  Operation<ActivationFunction, ConstMatrix, Matrix> activate;
  Operation<const ActivateBackwardArguments<Backend>&> activate_backward;
  Operation<const RouteArguments<Backend>&> route;
  Operation<const RouteBackwardArguments<Backend>&> route_backward;
  Operation<ConstMatrix, Indices, ConstVector, Matrix> scale_rows;
  Operation<const ScaleRowsBackwardArguments<Backend>&> scale_rows_backward;
  Operation<const ScaleArguments<Backend>&> scale;
  Operation<const Forest&, ConstMatrix, Matrix, Vector> path_mean;
  Operation<const PathMeanBackwardArguments<Backend>&> path_mean_backward;
  Operation<const NextTokenLossArguments<Backend>&> next_token_loss;
  double (*sum_of_squares)(typename Backend::Handle&, ConstVector);
  Operation<const AdamWArguments<Backend>&> adamw;
  Operation<const MomentumArguments<Backend>&> momentum;
  Operation<const AdafactorArguments<Backend>&> adafactor;
  Operation<const ProductArguments<Backend>&> product;
};

/// What is compiled for one instruction set; null is what is not.
struct KernelTables {
  InstructionSet instruction_set = InstructionSet::baseline;
  const KernelTable<float>* of_float = nullptr;
  const KernelTable<double>* of_double = nullptr;
};

/// Those that the program uses, chosen when first asked for (choose_kernels.hpp). Throws ConfigError for a
/// MERIT_INSTRUCTION_SET that cannot be. Defined in merit::compiled alone.
const KernelTables& kernel_tables();

}  // namespace detail::eigen
}  // namespace MERIT_ABI
}  // namespace merit
