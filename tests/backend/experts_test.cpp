// The choice of experts and their weights, and rows times their weights.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

#include "backend/backends.hpp"
#include "backend/threads.hpp"
#include "backend/witness.hpp"

namespace experts_test {

using namespace merit_test;

/// Differentiated by the logits (M, E).
struct Route {
  Index rows, experts, per_token;
  bool normalised;
  Index inputs() const { return rows * experts; }

  template <class B>
  Numbers forward(const Numbers& v) const {
    return run<B>(v).first;
  }
  /// The weights, and the experts.
  template <class B>
  std::pair<Numbers, Ids> run(const Numbers& v) const {
    Machine<B> m;
    const Array<B> logits(m, rows, experts, v);
    Array<B> weights(m, rows, per_token, 9.0);
    Copied<B, std::uint32_t> chosen(m, Ids(rows * per_token, 77u));
    B::route(m.handle, {.logits = logits.constant(),
                        .normalised = normalised,
                        .experts = chosen.mutable_view(),
                        .weights = weights.matrix()});
    return {weights.values(), chosen.values()};
  }
  template <class B>
  Numbers backward(const Numbers& v, const Numbers& dy, Write write, double before) const {
    Machine<B> m;
    const auto [kept, chosen] = run<B>(v);
    const Array<B> logits(m, rows, experts, v), weights(m, rows, per_token, kept),
        dweights(m, rows, per_token, dy);
    const Copied<B, std::uint32_t> which(m, chosen);
    Array<B> dlogits(m, rows, experts, before);
    B::route_backward(m.handle, {.logits = logits.constant(),
                                 .normalised = normalised,
                                 .experts = which.view(),
                                 .weights = weights.constant(),
                                 .dweights = dweights.constant(),
                                 .write = write,
                                 .dlogits = dlogits.matrix()});
    return dlogits.values();
  }
};

/// Differentiated by x (M, d), then the weights, of which one is not used.
struct ScaleRows {
  Index rows, width;
  Index inputs() const { return rows * width + rows + 1; }

  /// From the last to the first.
  Ids places() const {
    Ids ids;
    for (Index i = rows; i > 0; --i) ids.push_back(static_cast<std::uint32_t>(i));
    return ids;
  }
  template <class B>
  Numbers forward(const Numbers& v) const {
    Machine<B> m;
    const Array<B> x(m, rows, width, part(v, 0, rows * width)),
        weights(m, 1, rows + 1, part(v, rows * width, rows + 1));
    const Copied<B, std::uint32_t> at(m, places());
    Array<B> out(m, rows, width, 9.0);
    B::scale_rows(m.handle, x.constant(), at.view(), weights.constant().flat(), out.matrix());
    return out.values();
  }
  template <class B>
  Numbers backward(const Numbers& v, const Numbers& dy, Write write, double before) const {
    Machine<B> m;
    const Array<B> x(m, rows, width, part(v, 0, rows * width)),
        weights(m, 1, rows + 1, part(v, rows * width, rows + 1));
    const Array<B> dout(m, rows, width, dy);
    const Copied<B, std::uint32_t> at(m, places());
    Array<B> dx(m, rows, width, before), dweights(m, 1, rows + 1, write == Write::add ? before : 0.0);
    B::scale_rows_backward(m.handle, {.x = x.constant(),
                                      .places = at.view(),
                                      .weights = weights.constant().flat(),
                                      .dout = dout.constant(),
                                      .write = write,
                                      .dx = dx.matrix(),
                                      .dweights = dweights.matrix().flat()});
    return join({dx.values(), dweights.values()});
  }
};

TEST_CASE_TEMPLATE("the experts of a row are those of its largest logits, the largest first", B,
                   MERIT_TEST_BACKENDS) {
  const double tolerance = Tolerance<typename B::Activation>::value;
  const Numbers logits = {1, 3, 2, 3, /**/ -1, -5, -2, -9};
  const auto [shares, chosen] = Route{2, 4, 2, false}.run<B>(logits);
  CHECK(chosen == Ids{1, 3, 0, 2});  // of equal ones the first
  const double all = std::exp(1.0) + std::exp(2.0) + 2 * std::exp(3.0);
  const double other = std::exp(-1.0) + std::exp(-5.0) + std::exp(-2.0) + std::exp(-9.0);
  CHECK(relative_error(shares, Numbers{std::exp(3.0) / all, std::exp(3.0) / all, std::exp(-1.0) / other,
                                       std::exp(-2.0) / other}) <= tolerance);
  const auto [weights, same] = Route{2, 4, 2, true}.run<B>(logits);
  CHECK(same == chosen);
  CHECK(relative_error(weights, Numbers{0.5, 0.5, 1 / (1 + std::exp(-1.0)), 1 / (1 + std::exp(1.0))}) <=
        tolerance);
  CHECK(Route{1, 3, 3, true}.run<B>({2000, -2000, 0}).first == Numbers{1, 0, 0});
}

TEST_CASE_TEMPLATE("the choice of experts agrees with its witnesses", B, MERIT_TEST_BACKENDS) {
  Rng rng(61);
  for (const bool normalised : {false, true}) {
    for (const auto& [rows, experts, per_token] :
         {std::array<Index, 3>{1, 1, 1}, {5, 4, 2}, {3, 9, 9}, {7, 16, 3}}) {
      const Route route{rows, experts, per_token, normalised};
      check_witnesses<B>(route, random_numbers(rng, route.inputs(), 2.0), rng);
    }
  }
}

TEST_CASE_TEMPLATE("rows times their weights agree with their witnesses", B, MERIT_TEST_BACKENDS) {
  Rng rng(62);
  for (const auto& [rows, width] : {std::pair<Index, Index>{1, 1}, {4, 9}, {3, 33}}) {
    const ScaleRows scaled{rows, width};
    check_witnesses<B>(scaled, random_numbers(rng, scaled.inputs()), rng);
  }
}

TEST_CASE_TEMPLATE("experts have the same bits with any number of threads", Base,
                   MERIT_TEST_THREADED_BACKENDS) {
  Rng rng(63);
  const Route route{divided_rows, 16, 2, false};
  check_threads_of<Base>(route, random_numbers(rng, route.inputs()), rng);
  const ScaleRows scaled{divided_rows, divided_cols};
  check_threads_of<Base>(scaled, random_numbers(rng, scaled.inputs()), rng);
}

}  // namespace experts_test
