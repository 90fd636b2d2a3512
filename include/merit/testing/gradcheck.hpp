// Gradients against central differences: for a whole model, for a loss alone, and for any function of
// parameters on a tape. Every check first poisons what a gradient is written to with infinity, so that code
// which adds where it must assign is found out, too (the poison is an idea of dlib's test_layer).
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>
#include <string>
#include <type_traits>
#include <vector>

#include "merit/core/rng.hpp"
#include "merit/core/view.hpp"
#include "merit/loss/evaluate_loss.hpp"
#include "merit/tape/tape.hpp"

namespace merit {
inline namespace MERIT_ABI {

struct GradientCheckOptions {
  double step = 1e-5;      // of the differences, times the number's magnitude where that is above 1
  Index samples = 0;       // numbers of each tensor to try, drawn from `seed`; 0: every one
  std::uint64_t seed = 0;  // of the sample, and of the weights of check_operation
};

/// What a check found. `error` is the largest |gradient − difference| of any number, over the largest
/// magnitude in its tensor (or over a thousandth of the largest in all tensors, where that is more: a tensor
/// may have a gradient of nothing but rounding). It is infinite where a gradient is not finite or was not
/// assigned, where a frozen tensor has one, and where a second run gives other bits. About 1e-8 is usual.
struct GradientReport {
  double error = 0;
  std::string parameter;  // the tensor of the largest error
  Index element = 0;      // and which of its numbers
  double gradient = 0;
  double difference = 0;  // what central differences say
  std::string problem;    // in words, where the error is infinite
  Index checked = 0;      // numbers tried

  friend std::ostream& operator<<(std::ostream& out, const GradientReport& report) {
    out << "error " << report.error << " of " << report.checked << " numbers, worst in '" << report.parameter
        << "' [" << report.element << "]: gradient " << report.gradient << ", difference "
        << report.difference;
    return report.problem.empty() ? out : out << "; " << report.problem;
  }
};

namespace detail {

/// The numbers tried in one tensor.
struct CheckedTensor {
  std::string name;
  std::vector<Index> elements;
  std::vector<double> gradients;
  std::vector<double> differences;
};

inline GradientReport judge_gradients(const std::vector<CheckedTensor>& tensors) {
  const auto largest = [](const CheckedTensor& tensor) {
    double most = 0;
    for (const double value : tensor.gradients) most = std::max(most, std::abs(value));
    for (const double value : tensor.differences) most = std::max(most, std::abs(value));
    return most;
  };
  double overall = 0;
  for (const CheckedTensor& tensor : tensors) overall = std::max(overall, largest(tensor));
  GradientReport report;
  for (const CheckedTensor& tensor : tensors) {
    const double scale = std::max(largest(tensor), 1e-3 * overall);
    for (Index i = 0; i < tensor.elements.size(); ++i) {
      ++report.checked;
      const double apart = std::abs(tensor.gradients[i] - tensor.differences[i]);
      const double error = apart == 0 ? 0 : apart / scale;
      // Written so that a difference that is not a number counts as the worst.
      if (!report.parameter.empty() && error <= report.error) continue;
      report.error = std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
      report.parameter = tensor.name;
      report.element = tensor.elements[i];
      report.gradient = tensor.gradients[i];
      report.difference = tensor.differences[i];
      if (std::isnan(error)) {
        report.problem = "the value at a neighbouring point is not finite";
        return report;
      }
    }
  }
  return report;
}

/// Which elements of a tensor to try, ascending.
inline std::vector<Index> elements_to_check(Index count, const GradientCheckOptions& options,
                                            std::uint64_t tensor) {
  std::vector<Index> elements;
  if (options.samples == 0 || options.samples >= count) {
    for (Index i = 0; i < count; ++i) elements.push_back(i);
    return elements;
  }
  Rng rng(options.seed, tensor);
  for (Index i = 0; i < options.samples; ++i) elements.push_back(rng.below(count));
  std::sort(elements.begin(), elements.end());
  elements.erase(std::unique(elements.begin(), elements.end()), elements.end());
  return elements;
}

/// The gradient that `step()` leaves in `parameters`, against differences of `value()`.
template <class B, class Step, class Value>
GradientReport check_parameters(Parameters<B>& parameters, Step step, Value value,
                                const GradientCheckOptions& options) {
  using T = typename B::Stat;
  static_assert(std::is_same_v<T, double>,
                "merit: central differences need double. Use a backend of double, as "
                "ReferenceBackend<double>.");
  typename B::Handle& handle = parameters.handle();
  const auto fetch = [&] {
    std::vector<T> gradients(parameters.size());
    B::to_host(handle, std::as_const(parameters).gradients().data, gradients.data(), gradients.size());
    B::wait(handle);
    return gradients;
  };
  const auto problem = [&](Index tensor, Index element, double found, const char* text) {
    GradientReport report;
    report.error = std::numeric_limits<double>::infinity();
    report.parameter = parameters.spec(tensor).name;
    report.element = element;
    report.gradient = found;
    report.problem = text;
    return report;
  };

  // The gaps between tensors stay zero, as the norm of the whole block relies on.
  const std::vector<Index> trained = parameters.trained();
  for (const Index i : trained) {
    B::fill(handle, parameters.gradients().subview(parameters.offset(i), parameters.element_count(i)),
            std::numeric_limits<T>::infinity());
  }
  step();
  const std::vector<T> gradients = fetch();
  step();
  const std::vector<T> again = fetch();
  for (const Index i : trained) {
    for (Index e = 0; e < parameters.element_count(i); ++e) {
      const double found = gradients[parameters.offset(i) + e];
      if (!std::isfinite(found)) {
        return problem(i, e, found, "the gradient is not finite: it was added to and not assigned, or is so");
      }
      if (found != again[parameters.offset(i) + e]) {
        return problem(i, e, found, "a second step gives another gradient");
      }
    }
  }

  std::vector<CheckedTensor> tensors;
  for (const Index i : trained) {
    CheckedTensor tensor;
    tensor.name = parameters.spec(i).name;
    tensor.elements = elements_to_check(parameters.element_count(i), options, i);
    for (const Index element : tensor.elements) {
      T* const place = parameters.values().data + parameters.offset(i) + element;
      T at = 0;
      B::to_host(handle, static_cast<const T*>(place), &at, 1);
      B::wait(handle);
      const auto put = [&](const T& x) {
        parameters.values();  // says that they change
        B::from_host(handle, &x, place, 1);
        B::wait(handle);
      };
      const auto value_at = [&](T x) {
        put(x);
        return value();
      };
      const T up = at + options.step * std::max(1.0, std::abs(at));
      const T down = at - options.step * std::max(1.0, std::abs(at));
      const double difference = (value_at(up) - value_at(down)) / (up - down);
      put(at);
      tensor.gradients.push_back(gradients[parameters.offset(i) + element]);
      tensor.differences.push_back(difference);
    }
    tensors.push_back(std::move(tensor));
  }
  return judge_gradients(tensors);
}

}  // namespace detail

/// The gradient of a model's loss by each of its parameters. `Model` is a RewardModel whose backend computes
/// in double. The parameters are as before afterwards; gradients are those of the last step.
///
///   const auto report = check_gradients(model, builder.view(), targets);
///   if (!(report.error < 1e-6)) std::cerr << report << '\n';
template <class Model>
GradientReport check_gradients(Model& model, const typename Model::Forest& forest,
                               const typename Model::Targets& targets,
                               const GradientCheckOptions& options = {}) {
  const auto normaliser = model.loss().normaliser(targets);
  const auto step = [&] {
    model.begin_step();
    model.accumulate(forest, targets, normaliser);
    model.end_step();
  };
  return detail::check_parameters(
      model.parameters(), step, [&] { return model.loss_value(forest, targets); }, options);
}

/// The backward of operations: `build(tape)` computes a variable from parameters, and the gradient of the sum
/// of its elements, each times a random weight, is checked by every parameter. To check an operation by one
/// of its inputs, let the input be the rows of a parameter: `embedding(tape, ids, slice)` with ids 0, 1, 2, …
template <class B, class Build>
GradientReport check_operation(Tape<B>& tape, Build build, const GradientCheckOptions& options = {}) {
  using T = typename B::Stat;
  typename B::Handle& handle = tape.handle();
  std::vector<T> host;
  std::vector<T> weights;
  const auto run = [&](bool recording) {
    tape.reset();
    tape.set_recording(recording);
    const Var out = build(tape);
    host.resize(tape.rows(out) * tape.cols(out));
    B::to_host(handle, static_cast<const T*>(tape.value(out).data), host.data(), host.size());
    B::wait(handle);
    Rng rng(options.seed, 0xC0FFEE);
    weights.resize(host.size());
    double sum = 0;
    for (Index i = 0; i < host.size(); ++i) {
      weights[i] = static_cast<T>(rng.normal());
      sum += static_cast<double>(weights[i] * host[i]);
    }
    if (recording && tape.needs_gradient(out)) {
      B::from_host(handle, std::as_const(weights).data(), tape.gradient_target(out).view.data,
                   weights.size());
      tape.backward();
    }
    return sum;
  };
  const auto step = [&] {
    tape.parameters().begin_gradients();
    run(true);
    tape.parameters().end_gradients();
  };
  return detail::check_parameters(
      tape.parameters(), step, [&] { return run(false); }, options);
}

/// The gradient of a loss by each score. `scores` (R, k) row by row. The loss is taken as a whole step.
template <class Loss>
GradientReport check_loss_gradient(const Loss& loss, std::vector<double> scores, Index width,
                                   const typename Loss::Targets& targets,
                                   const GradientCheckOptions& options = {}) {
  const Index rows = scores.size() / width;
  const auto normaliser = loss.normaliser(targets);
  std::vector<double> gradient(scores.size());
  std::vector<double> scratch(scratch_size(loss, targets));
  const auto value = [&] {
    std::fill(gradient.begin(), gradient.end(), std::numeric_limits<double>::infinity());
    return evaluate_loss(
        loss, targets, normaliser,
        LossArrays<double>{{scores.data(), rows, width}, {gradient.data(), rows, width}, scratch});
  };
  value();
  detail::CheckedTensor tensor;
  tensor.name = "scores";
  tensor.elements = detail::elements_to_check(scores.size(), options, 0);
  const std::vector<double> found = gradient;
  for (const Index element : tensor.elements) {
    if (!std::isfinite(found[element])) {
      GradientReport report;
      report.error = std::numeric_limits<double>::infinity();
      report.parameter = tensor.name;
      report.element = element;
      report.gradient = found[element];
      report.problem = "the gradient is not finite: it was added to and not assigned, or is so";
      return report;
    }
    const double at = scores[element];
    const double up = at + options.step * std::max(1.0, std::abs(at));
    const double down = at - options.step * std::max(1.0, std::abs(at));
    scores[element] = up;
    const double above = value();
    scores[element] = down;
    const double below = value();
    scores[element] = at;
    tensor.gradients.push_back(found[element]);
    tensor.differences.push_back((above - below) / (up - down));
  }
  return detail::judge_gradients({tensor});
}

}  // namespace MERIT_ABI
}  // namespace merit
