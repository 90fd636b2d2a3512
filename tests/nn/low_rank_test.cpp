// The second paths of linear maps: values against what they mean, gradients against central differences, for one tensor,
// adjacent ones, columns of one stored (in, out), with magnitudes and with dropout.
#include <algorithm>
#include <cmath>

#include "merit/nn/linear.hpp"
#include "operations.hpp"

namespace low_rank_test {

using namespace merit;
using namespace merit_test;

/// A map or adjacent ones of `in` inputs, some with paths of ranks `ranks` (0: none).
struct Adapted {
  Workbench bench;
  Index in;
  Layout layout;
  std::vector<Index> outs, ranks;
  std::uint32_t x = 0, weight = 0, bias = 0, residual = 0;
  std::vector<LowRankPath> paths;
  Index out = 0;

  Adapted(std::vector<Index> widths, std::vector<Index> rank_list, bool magnitudes, double dropout = 0,
          Layout stored = Layout::out_in, bool trains_norm = true, bool shared = false)
      : in(5), layout(stored), outs(std::move(widths)), ranks(std::move(rank_list)) {
    for (const Index width : outs) out += width;
    x = bench.declare("x", {rows, in});
    residual = bench.declare("residual", {rows, out});
    bias = bench.declare("bias", {out});
    for (Index i = 0; i < outs.size(); ++i) {
      const bool straight = layout == Layout::out_in;
      const auto tensor = bench.parameters.declare({concat("w", i),
                                                    {straight ? outs[i] : in, straight ? in : outs[i]},
                                                    Init::normal(1),
                                                    true,
                                                    i != 0,
                                                    false});
      if (i == 0) weight = tensor;
    }
    paths.resize(outs.size());
    bool first = true;
    for (Index i = 0; i < outs.size(); ++i) {
      if (ranks[i] == 0) continue;
      if (shared && i != 0) {  // one A for all, as of maps that files keep as one
        paths[i].a = paths[0].a;
        continue;
      }
      paths[i].a = bench.parameters.declare(
          {concat("a", i), {ranks[i], in}, Init::normal(1), true, !first, trains_norm});
      first = false;
    }
    for (Index i = 0; i < outs.size(); ++i) {
      if (ranks[i] == 0) continue;
      paths[i].b = bench.declare(concat("b", i).c_str(), {outs[i], ranks[i]}, trains_norm);
      if (magnitudes) paths[i].magnitude = bench.declare(concat("m", i).c_str(), {outs[i]});
      paths[i].scale = 0.7 + static_cast<double>(shared ? 0 : i);
      paths[i].dropout = dropout;
      paths[i].stream = 40 + (shared ? 0 : i);
      bench.parameters.attach(0, weight + static_cast<std::uint32_t>(i), paths[i]);
    }
    bench.parameters.use_adapter(0);
    bench.allocate();
  }

  Var run(TestTape& t) {
    if (!keys.empty()) t.set_dropout_keys({{keys.data(), keys.size()}, {}});
    return linear(t, bench.input(t, x),
                  bench.parameters.slice(weight, static_cast<std::uint32_t>(outs.size())), bench.slice(bias),
                  bench.input(t, residual), layout);
  }
  std::vector<double> values(std::uint32_t tensor) const {
    std::vector<double> result(bench.parameters.element_count(tensor));
    bench.parameters.get(tensor, result.data());
    return result;
  }
  /// By W + scale · B·A, an element at a time.
  std::vector<double> expected() const {
    const std::vector<double> xs = values(x), rest = values(residual), biases = values(bias);
    std::vector<double> result = rest;
    for (Index i = 0, begin = 0; i < outs.size(); begin += outs[i++]) {
      std::vector<double> w = values(weight + static_cast<std::uint32_t>(i));
      for (Index o = 0; o < outs[i]; ++o) {
        std::vector<double> row(in);
        for (Index k = 0; k < in; ++k) row[k] = w[layout == Layout::out_in ? o * in + k : k * outs[i] + o];
        double gain = 1;
        if (ranks[i] != 0) {
          const std::vector<double> a = values(paths[i].a), b = values(paths[i].b);
          double square = 0;
          for (Index k = 0; k < in; ++k) {
            for (Index r = 0; r < ranks[i]; ++r)
              row[k] += paths[i].scale * b[o * ranks[i] + r] * a[r * in + k];
            square += row[k] * row[k];
          }
          if (paths[i].has_magnitude()) gain = values(paths[i].magnitude)[o] / std::sqrt(square);
        }
        for (Index n = 0; n < rows; ++n) {
          double sum = 0;
          for (Index k = 0; k < in; ++k) sum += xs[n * in + k] * row[k];
          result[n * out + begin + o] += gain * sum + biases[begin + o];
        }
      }
    }
    return result;
  }

  static constexpr Index rows = 3;
  std::vector<std::uint64_t> keys;  // of the rows of x, where something is dropped
};

void check_values(Adapted& adapted) {
  const std::vector<double> found = adapted.bench.get(adapted.run(adapted.bench.tape));
  const std::vector<double> expected = adapted.expected();
  REQUIRE(found.size() == expected.size());
  for (Index i = 0; i < found.size(); ++i)
    CHECK(std::abs(found[i] - expected[i]) <= 1e-12 * (1 + std::abs(expected[i])));
}

struct Case {
  std::vector<Index> outs, ranks;
  Layout layout = Layout::out_in;
  bool shared = false;
};
const std::vector<Case> cases = {{{4}, {2}},
                                 {{4}, {2}, Layout::in_out},
                                 {{4, 2, 3}, {2, 2, 2}},
                                 {{4, 2, 3}, {2, 0, 1}},
                                 {{2, 3}, {0, 2}},
                                 {{4, 2, 3}, {2, 2, 2}, Layout::out_in, true}};

TEST_CASE("a map with a second path gives x·(W + scale·B·A)ᵀ, adjacent ones each its own") {
  for (const Case& one : cases) {
    for (const bool magnitudes : {false, true}) {
      CAPTURE(one.outs.size());
      CAPTURE(magnitudes);
      Adapted adapted(one.outs, one.ranks, magnitudes, 0, one.layout, true, one.shared);
      check_values(adapted);
      // And again once A has moved, and with it the norms.
      for (const LowRankPath& path : adapted.paths) {
        if (path.a == LowRankPath::none) continue;
        std::vector<double> moved = adapted.values(path.a);
        for (double& value : moved) value = 2 - value;
        adapted.bench.set(path.a, moved);
      }
      check_values(adapted);
    }
  }
}

TEST_CASE("gradients of second paths agree with central differences, with dropout too") {
  for (const Case& one : cases) {
    for (const double dropout : {0.0, 0.4}) {
      CAPTURE(one.outs.size());
      CAPTURE(dropout);
      Adapted adapted(one.outs, one.ranks, false, dropout, one.layout, true, one.shared);
      if (dropout > 0) adapted.keys = {11, 12, 13};
      check_gradient(adapted.bench, [&](TestTape& t) { return adapted.run(t); });
    }
  }
}

TEST_CASE("gradients by magnitudes, bias, residual and x agree with central differences") {
  for (const Case& one : cases) {
    for (const double dropout : {0.0, 0.4}) {
      // A and B, of which the norms are made, are frozen: the norms count as constants.
      Adapted adapted(one.outs, one.ranks, true, dropout, one.layout, false, one.shared);
      if (dropout > 0) adapted.keys = {11, 12, 13};
      check_gradient(adapted.bench, [&](TestTape& t) { return adapted.run(t); });
    }
  }
}

TEST_CASE("gradients by A and B under magnitudes are those of a map whose rows are scaled by constants") {
  for (const Case& one : cases) {
    Adapted adapted(one.outs, one.ranks, true, 0, one.layout);
    const auto gradients = [&](std::uint32_t tensor) {
      const auto all = std::as_const(adapted.bench.parameters).gradients();
      const Index begin = adapted.bench.parameters.offset(tensor);
      return std::vector<double>(all.data + begin,
                                 all.data + begin + adapted.bench.parameters.element_count(tensor));
    };
    // <dy, f> moves by A and B as its derivative says, where the magnitudes move with the norms: m/norm then stays.
    const auto run = [&] {
      adapted.bench.tape.reset();
      const Var y = adapted.run(adapted.bench.tape);
      return std::pair(y, adapted.bench.get(y));
    };
    adapted.bench.parameters.begin_gradients();
    const auto [y, before] = run();
    const auto target = adapted.bench.tape.gradient_target(y).view.flat();
    for (Index i = 0; i < target.size; ++i) target[i] = std::sin(static_cast<double>(i) + 1);
    adapted.bench.tape.backward();
    adapted.bench.parameters.end_gradients();
    const auto loss = [](const std::vector<double>& values) {
      double sum = 0;
      for (Index i = 0; i < values.size(); ++i) sum += std::sin(static_cast<double>(i) + 1) * values[i];
      return sum;
    };
    std::vector<std::vector<double>> gains;  // m / norm at the start
    const auto norms = [&](Index i) {
      const LowRankPath* path =
          adapted.bench.parameters.path_of(adapted.weight + static_cast<std::uint32_t>(i));
      return path->norms.norms;
    };
    for (Index i = 0; i < one.outs.size(); ++i) {
      std::vector<double> gain;
      if (one.ranks[i] != 0) {
        gain = adapted.values(adapted.paths[i].magnitude);
        for (Index o = 0; o < gain.size(); ++o) gain[o] /= norms(i)[o];
      }
      gains.push_back(gain);
    }
    for (Index i = 0; i < one.outs.size(); ++i) {
      if (one.ranks[i] == 0) continue;
      for (const std::uint32_t tensor : {adapted.paths[i].a, adapted.paths[i].b}) {
        const std::vector<double> start = adapted.values(tensor);
        const std::vector<double> magnitude = adapted.values(adapted.paths[i].magnitude);
        for (Index e = 0; e < start.size(); ++e) {
          double sides[2];
          for (const int side : {0, 1}) {
            std::vector<double> moved = start;
            moved[e] += side == 0 ? 1e-5 : -1e-5;
            adapted.bench.set(tensor, moved);
            run();  // for the norms
            std::vector<double> held = gains[i];
            for (Index o = 0; o < held.size(); ++o) held[o] *= norms(i)[o];
            adapted.bench.set(adapted.paths[i].magnitude, held);
            sides[side] = loss(run().second);
          }
          adapted.bench.set(tensor, start);
          adapted.bench.set(adapted.paths[i].magnitude, magnitude);
          CHECK(std::abs(gradients(tensor)[e] - (sides[0] - sides[1]) / 2e-5) <= 1e-7);
        }
      }
    }
  }
}

TEST_CASE("columns of one matrix stored (in, out) have the rows of B that are theirs, and its gradients") {
  for (const bool magnitudes : {false, true}) {
    Adapted adapted({7}, {2}, magnitudes, 0, Layout::in_out, !magnitudes);
    Workbench& bench = adapted.bench;
    const auto cut = [&](TestTape& t, Index begin, Index width) {
      return linear(t, bench.input(t, adapted.x), bench.slice(adapted.weight).columns(begin, width),
                    bench.slice(adapted.bias).columns(begin, width), {}, Layout::in_out);
    };
    const std::vector<double> whole =
        bench.get(linear(bench.tape, bench.input(adapted.x), bench.slice(adapted.weight),
                         bench.slice(adapted.bias), {}, Layout::in_out));
    const std::vector<double> right = bench.get(cut(bench.tape, 3, 4));
    for (Index n = 0; n < Adapted::rows; ++n)
      for (Index o = 0; o < 4; ++o) CHECK(right[n * 4 + o] == near(whole[n * 7 + 3 + o]));
    bench.tape.reset();
    check_gradient(bench, [&](TestTape& t) { return cut(t, 0, 3); });
    bench.tape.reset();
    check_gradient(bench, [&](TestTape& t) { return cut(t, 3, 4); });
  }
}

TEST_CASE("a path is trained where nothing else needs a gradient") {
  Workbench frozen;
  const auto x = frozen.declare("x", {3, 5}, false);
  const auto w = frozen.declare("w", {4, 5}, false);
  LowRankPath path;
  path.a = frozen.declare("a", {2, 5});
  path.b = frozen.declare("b", {4, 2});
  frozen.parameters.attach(0, w, path);
  frozen.parameters.use_adapter(0);
  frozen.allocate();
  check_gradient(frozen, [&](TestTape& t) { return linear(t, frozen.input(t, x), frozen.slice(w)); });
}

TEST_CASE("a frozen map gets no gradient, and without an adapter in use it is itself") {
  Adapted adapted({4}, {2}, false);
  Workbench& bench = adapted.bench;
  CHECK_FALSE(bench.parameters.trainable(bench.slice(adapted.weight)));
  const std::vector<double> with = bench.get(adapted.run(bench.tape));
  bench.parameters.use_adapter(LowRankMaps::no_adapter);
  const std::vector<double> without = bench.get(adapted.run(bench.tape));
  CHECK(with != without);
  adapted.paths[0].scale = 0;
  bench.parameters.attach(0, adapted.weight, adapted.paths[0]);
  bench.parameters.use_adapter(0);
  CHECK(bench.get(adapted.run(bench.tape)) == without);
  CHECK_THROWS_WITH_AS(bench.parameters.use_adapter(1), "there is no adapter 1 of 1", UsageError);
}

TEST_CASE("dropout drops elements of x for A alone, by the rows' keys, and is off without them") {
  Adapted adapted({4}, {2}, false, 0.5);
  Workbench& bench = adapted.bench;
  check_values(adapted);  // off
  const std::vector<double> off = bench.get(adapted.run(bench.tape));
  adapted.keys = {1, 2, 1};
  std::vector<double> equal_rows = adapted.values(adapted.x);
  std::copy_n(equal_rows.begin(), adapted.in,
              equal_rows.begin() + 2 * static_cast<std::ptrdiff_t>(adapted.in));
  bench.set(adapted.x, equal_rows);
  bench.set(adapted.residual, std::vector<double>(Adapted::rows * adapted.out));
  const std::vector<double> on = bench.get(adapted.run(bench.tape));
  CHECK(on != off);
  CHECK(std::equal(on.begin(), on.begin() + 4, on.begin() + 8));  // rows of one key and the same numbers
  // The mean over many keys is what it is without dropout.
  std::vector<double> mean(on.size());
  constexpr Index many = 20000;
  for (Index n = 0; n < many; ++n) {
    bench.tape.reset();
    adapted.keys = {mixed(3 * n), mixed(3 * n + 1), mixed(3 * n + 2)};
    const std::vector<double> drawn = bench.get(adapted.run(bench.tape));
    for (Index i = 0; i < mean.size(); ++i) mean[i] += drawn[i] / static_cast<double>(many);
  }
  bench.tape.reset();
  const std::vector<double> expected = adapted.expected();
  for (Index i = 0; i < mean.size(); ++i) CHECK(std::abs(mean[i] - expected[i]) <= 0.1);
  adapted.keys = {1, 2};
  CHECK_THROWS_WITH_AS(
      adapted.run(bench.tape),
      "dropout: a map with an adapter reads 3 rows, expected the 2 tokens of the forest or its 0 rows",
      UsageError);
}

TEST_CASE("a part of the rows of a map with an adapter is refused") {
  Adapted adapted({4}, {2}, false);
  Workbench& bench = adapted.bench;
  CHECK_THROWS_WITH_AS(linear(bench.tape, bench.input(adapted.x), bench.slice(adapted.weight).row(1)),
                       "linear: parameter 'w0' has an adapter, expected all of its rows and not a part",
                       UsageError);
}

}  // namespace low_rank_test
