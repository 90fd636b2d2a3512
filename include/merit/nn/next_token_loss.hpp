// The loss of a language model through its unembedding, in chunks of rows: logits of every row and token at
// once would be by far the largest thing in a step.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "merit/nn/check.hpp"
#include "merit/tape/tape.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Which tokens follow which hidden rows, by row, on the host. The storage is kept from step to step.
template <class Stat>
struct NextTokens {
  std::vector<std::uint32_t> rows;      // ascending, each with at least one target
  std::vector<std::uint32_t> begin{0};  // row r has the targets [begin[r], begin[r + 1])
  std::vector<Token> tokens;
  std::vector<Stat> weights;
  std::vector<Stat> losses;  // of the rows, by next_token_loss()
};

/// Elements of the logits of one chunk: enough rows for a product to be fast, 32 MiB in float.
inline constexpr Index next_token_chunk = Index{1} << 23;

/// Σ over the rows' targets of weight · −log softmax(hidden(row) · unembeddingᵀ)[token], computed a chunk of
/// rows at a time. hidden (R, d), unembedding (V, d). With `gradient` it is carried at once to the gradients
/// of hidden and unembedding: no node is recorded: call it before Tape::backward(). With a soft cap above 0 a
/// logit z is soft_cap · tanh(z / soft_cap). Throws UsageError for a token of V or above.
template <class B>
double next_token_loss(Tape<B>& tape, Var hidden, const ParameterSlice& unembedding,
                       NextTokens<typename B::Stat>& targets, bool gradient, double soft_cap = 0) {
  using Types = typename Tape<B>::Types;
  using Stat = typename B::Stat;
  detail::check_extent("next_token_loss", "the hidden rows' width", tape.cols(hidden), unembedding.cols);
  const Index count = targets.rows.size(), vocabulary = unembedding.rows, width = unembedding.cols;
  for (const Token token : targets.tokens) {
    if (token >= vocabulary) {
      throw UsageError(
          concat("next_token_loss: token ", token, " is outside the vocabulary of ", vocabulary));
    }
  }
  if (count == 0) return 0;
  auto& h = tape.handle();
  Parameters<B>& parameters = tape.parameters();
  const auto brought = [&]<class Element>(const std::vector<Element>& from) {
    const VectorView<Element, typename B::Space> to = tape.template room<Element>(from.size());
    B::from_host(h, from.data(), to.data, to.size);
    return to;
  };
  targets.losses.resize(count);
  tape.working([&] {
    const Index chunk = std::min(count, std::max<Index>(1, next_token_chunk / vocabulary));
    const typename Types::Indices rows = brought(targets.rows), begin = brought(targets.begin),
                                  tokens = brought(targets.tokens);
    const typename Types::ConstStatVector weights = brought(targets.weights);
    const typename Types::StatVector losses = tape.template room<Stat>(count);
    using Activation = typename B::Activation;
    Activation* const x_data = tape.template room<Activation>(chunk * width).data;
    Activation* const logits_data = tape.template room<Activation>(chunk * vocabulary).data;
    Activation* const dx_data = tape.template room<Activation>(gradient ? chunk * width : 1).data;
    Activation* const capped_data =
        tape.template room<Activation>(soft_cap != 0 ? chunk * vocabulary : 1).data;
    for (Index first = 0; first < count; first += chunk) {
      const Index size = std::min(chunk, count - first);
      const typename Types::Matrix x{x_data, size, width}, logits{logits_data, size, vocabulary},
          dx{dx_data, size, width};
      const typename Types::Indices of_chunk = rows.subview(first, size);
      B::gather_rows(h, typename Types::ConstMatrix(tape.value(hidden)), of_chunk, Write::assign, x);
      B::linear(
          h, {.x = x, .weight = parameters.value(unembedding), .transpose = Transpose::yes, .out = logits});
      const typename Types::Matrix capped{soft_cap != 0 ? capped_data : logits_data, size, vocabulary};
      if (soft_cap != 0) {  // logits keeps z / cap, the point where tanh has its slope
        B::scale(h, {.x = logits, .factor = 1 / soft_cap, .out = logits});
        B::activate(h, ActivationFunction::tanh, logits, capped);
        B::scale(h, {.x = capped, .factor = soft_cap, .out = capped});
      }
      B::next_token_loss(h, {.logits = capped,
                             .begin = begin.subview(first, size + 1),
                             .tokens = tokens,
                             .weights = weights,
                             .losses = losses.subview(first, size)});
      if (!gradient) continue;
      if (soft_cap != 0) {  // cap and 1 / cap cancel
        B::activate_backward(h, {.kind = ActivationFunction::tanh,
                                 .dy = capped,
                                 .x = logits,
                                 .write = Write::assign,
                                 .dx = logits});
      }
      if (tape.needs_gradient(hidden)) {
        B::linear(h, {.x = logits, .weight = parameters.value(unembedding), .out = dx});
        B::scatter_add_rows(h, dx, of_chunk, tape.gradient_to_add(hidden));
      }
      if (parameters.trainable(unembedding)) {
        const auto target = parameters.gradient_target(unembedding);
        B::weight_gradient(h, logits, x, target.write, target.view);
      }
    }
    B::to_host(h, static_cast<const Stat*>(losses.data), targets.losses.data(), count);
    B::wait(h);
  });
  double total = 0;
  for (const Stat loss : targets.losses) total += static_cast<double>(loss);
  return total;
}

}  // namespace MERIT_ABI
}  // namespace merit
