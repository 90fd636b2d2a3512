// The tape as a memory plan: who assigns, who adds, what is shared, what is recomputed, what is kept.
#include "merit/tape/tape.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "merit/backend/reference/reference_backend.hpp"
#include "merit/nn/activation.hpp"
#include "merit/nn/linear.hpp"
#include "merit/nn/norm.hpp"
#include "merit/nn/select_rows.hpp"

namespace tape_test {

using namespace merit;
using B = ReferenceBackend<double>;

/// A small residual network, x + down(gelu(up(norm(x)))) twice, that a test can take apart.
struct Net {
  B backend;
  B::Handle handle{backend};
  Parameters<B> parameters{handle};
  Tape<B> tape{handle, parameters};
  std::vector<std::uint32_t> ids{0, 2, 1, 2};
  std::uint32_t table, norm, up, down;

  explicit Net(bool train_table = true) {
    table = parameters.declare({"table", {3, 4}, Init::normal(1), true, false, train_table});
    norm = parameters.declare({"norm", {4}, Init::ones(), false});
    up = parameters.declare({"up", {6, 4}, Init::normal(0.5)});
    down = parameters.declare({"down", {4, 6}, Init::normal(0.5)});
    parameters.allocate(Rng(1));
  }
  Var block(Tape<B>& t, Var x) {
    const Var y = rms_norm(t, x, parameters.slice(norm), 1e-6);
    return linear(t, activate(t, linear(t, y, parameters.slice(up)), ActivationFunction::gelu_tanh),
                  parameters.slice(down), {}, x);
  }
  /// The sum of squares of the output, and its gradient if asked.
  double run(bool checkpointed, bool backward = true) {
    tape.reset();
    tape.set_recording(backward);
    parameters.begin_gradients();
    Var x = embedding(tape, ids, parameters.slice(table));
    for (int i = 0; i < 2; ++i) {
      const auto function = [this](Tape<B>& t, Var in) { return block(t, in); };
      x = checkpointed ? tape.checkpoint(function, x, tape.rows(x), tape.cols(x)) : function(tape, x);
    }
    double total = 0;
    for (const double value : tape.value(x).flat()) total += value * value;
    if (backward) {
      const auto target = tape.gradient_target(x);
      CHECK(target.write == Write::assign);
      for (Index i = 0; i < 16; ++i) target.view.data[i] = 2 * tape.value(x).data[i];
      tape.backward();
    }
    parameters.end_gradients();
    return total;
  }
  std::vector<double> gradients() const {
    const auto view = parameters.gradients();
    return {view.begin(), view.end()};
  }
};

TEST_CASE("gradients through residual blocks agree with central differences") {
  Net net;
  net.run(false);
  const auto gradient = net.gradients();
  const auto values = net.parameters.values();
  for (Index i = 0; i < net.parameters.tensor_count(); ++i) {
    for (Index k = 0; k < net.parameters.element_count(i); ++k) {
      double& value = values[net.parameters.offset(i) + k];
      const double at = value;
      value = at + 1e-5;
      const double up = net.run(false, false);
      value = at - 1e-5;
      const double down = net.run(false, false);
      value = at;
      CHECK((up - down) / 2e-5 == doctest::Approx(gradient[net.parameters.offset(i) + k]).epsilon(1e-6));
    }
  }
}

TEST_CASE("recomputed layers give the same bits and keep fewer nodes") {
  Net plain;
  Net checkpointed;
  CHECK(plain.run(false) == checkpointed.run(true));
  CHECK(plain.gradients() == checkpointed.gradients());
  CHECK(checkpointed.tape.node_count() < plain.tape.node_count());
}

TEST_CASE("a step after reset repeats itself bit for bit and holds no more memory") {
  Net net;
  net.run(false);
  const auto first = net.gradients();
  net.run(false);
  const Index held = net.tape.bytes();
  for (int i = 0; i < 3; ++i) net.run(false);
  CHECK(net.gradients() == first);
  CHECK(net.tape.bytes() == held);
}

TEST_CASE("an arena keeps what its largest step needed, however its blocks followed each other") {
  B::Handle handle{B{}};
  Arena<B> arena(handle);
  const Index unit = Index{1} << 16;
  arena.allocate<std::byte>(unit);
  const auto mark = arena.mark();
  arena.allocate<std::byte>(2 * unit);  // a block of its own
  arena.rewind(mark);
  arena.allocate<std::byte>(3 * unit);  // behind the second block, which is too small for it
  CHECK(arena.capacity() > 4 * unit);
  arena.reset();
  CHECK(arena.capacity() == 4 * unit);
  arena.allocate<std::byte>(4 * unit);
  CHECK(arena.capacity() == 4 * unit);
  arena.reset();
  arena.allocate<std::byte>(unit);
  arena.reset();
  CHECK(arena.capacity() == 4 * unit);
  arena.trim();
  CHECK(arena.capacity() == 0);
}

TEST_CASE("frozen tensors have no gradient and what feeds only them records nothing") {
  Net net(false);
  net.run(false);
  const auto gradient = net.gradients();
  CHECK_THROWS_AS(net.parameters.offset(net.table), UsageError);
  CHECK(net.parameters.size() == aligned_count<double>(net.parameters.trainable_elements()));
  Net all;
  all.run(false);
  CHECK(net.tape.node_count() + 1 == all.tape.node_count());  // all but the embedding
  const Index up = net.parameters.offset(net.up), up_of_all = all.parameters.offset(all.up);
  for (Index k = 0; k < 24; ++k) CHECK(gradient[up + k] == all.gradients()[up_of_all + k]);
}

TEST_CASE("scoring records no nodes") {
  Net net;
  net.run(false, false);
  CHECK(net.tape.node_count() == 0);
}

TEST_CASE("a parameter's gradient is assigned by its first writer and added to by the next") {
  Net net;
  net.parameters.begin_gradients();
  const auto slice = net.parameters.slice(net.up);
  CHECK(net.parameters.gradient_target(slice).write == Write::assign);
  CHECK(net.parameters.gradient_target(slice).write == Write::add);
  net.parameters.begin_gradients();
  CHECK(net.parameters.gradient_target(slice).write == Write::assign);
}

TEST_CASE("some columns of a parameter are added to zeros, whatever was there before") {
  Net net;
  const auto slice = net.parameters.slice(net.up);
  for (double& value : net.parameters.gradients()) value = 99;
  net.parameters.begin_gradients();
  const auto target = net.parameters.gradient_target(slice.columns(1, 2));
  CHECK(target.write == Write::add);
  CHECK(target.view.cols == 2);
  CHECK(target.view.stride == 4);
  CHECK(target.view(5, 1) == 0.0);
}

TEST_CASE("adjacent tensors are one matrix, others are not") {
  B::Handle handle{B{}};
  Parameters<B> parameters(handle);
  const auto q = parameters.declare({"q", {3, 5}, Init::ones()});
  parameters.declare({"k", {2, 5}, Init::zeros(), true, true});
  const auto far = parameters.declare({"far", {1, 5}, Init::zeros()});
  parameters.allocate(Rng(0));
  const auto both = parameters.slice(q, 2);
  CHECK(both.rows == 5);
  CHECK(both.cols == 5);
  CHECK(parameters.value(both).rows == 5);
  CHECK(static_cast<const double*>(parameters.value(both).data)[2 * 5 + 4] == 1.0);
  CHECK(static_cast<const double*>(parameters.value(both).data)[3 * 5] == 0.0);
  CHECK_THROWS_AS(parameters.slice(q, 3), UsageError);
  CHECK(parameters.offset(far) % (alignment / sizeof(double)) == 0);
  CHECK_THROWS_AS(parameters.declare({"late", {1}, Init::zeros()}), UsageError);
}

TEST_CASE("decayed tensors come first and a tensor's start depends on its own name alone") {
  B::Handle handle{B{}};
  Parameters<B> alone(handle);
  const auto w = alone.declare({"w", {2, 3}, Init::normal(1)});
  alone.allocate(Rng(9));
  Parameters<B> among(handle);
  among.declare({"bias", {3}, Init::ones(), false});
  among.declare({"other", {4, 4}, Init::normal(1)});
  const auto w2 = among.declare({"w", {2, 3}, Init::normal(1)});
  among.allocate(Rng(9));
  for (Index i = 0; i < 6; ++i) {
    CHECK(alone.values()[alone.offset(w) + i] == among.values()[among.offset(w2) + i]);
  }
  CHECK(among.offset(0) >= among.decayed());
  CHECK(among.offset(w2) < among.decayed());
  CHECK(among.values()[among.offset(1)] != alone.values()[alone.offset(w)]);
}

TEST_CASE("shapes that do not fit are named") {
  Net net;
  const Var x = embedding(net.tape, net.ids, net.parameters.slice(net.table));
  CHECK_THROWS_WITH_AS(linear(net.tape, x, net.parameters.slice(net.down)),
                       "linear: the input's width is 4, expected 6", UsageError);
}

TEST_CASE("a residual that is read after its sum, or lent twice, is refused") {
  Net net;
  net.parameters.begin_gradients();
  const Var x = embedding(net.tape, net.ids, net.parameters.slice(net.table));
  const Var inner =
      activate(net.tape, linear(net.tape, x, net.parameters.slice(net.up)), ActivationFunction::gelu_tanh);
  const Var sum = linear(net.tape, inner, net.parameters.slice(net.down), {}, x);
  CHECK_THROWS_WITH_AS(linear(net.tape, inner, net.parameters.slice(net.down), {}, x),
                       "a variable is the residual of two sums: add to the first sum's result", UsageError);
  const Var late = activate(net.tape, x, ActivationFunction::gelu_tanh);  // reads the residual again
  for (const Var v : {sum, late}) {
    const auto target = net.tape.gradient_target(v);
    for (Index i = 0; i < 16; ++i) target.view.data[i] = 1;
  }
  CHECK_THROWS_WITH_AS(net.tape.backward(),
                       "a residual was read again after it was added to: read the sum instead", UsageError);
}

/// Memory in blocks of `most` bytes at most.
struct Stingy : ReferenceBackend<float> {
  static inline Index most = 0;

  template <class Element>
  static Element* allocate(Handle& handle, Index n) {
    if (n * sizeof(Element) > most) throw std::bad_alloc();
    return ReferenceBackend<float>::allocate<Element>(handle, n);
  }
};

TEST_CASE("an arena asks for no more than it needs where there is no more") {
  Stingy::Handle handle{Stingy{}};
  Arena<Stingy> arena(handle);
  Stingy::most = 1 << 20;
  arena.allocate<std::byte>(1 << 20);
  CHECK(arena.capacity() == 1 << 20);
  Stingy::most = 200000;  // half of what it holds would be more
  arena.allocate<std::byte>(150016);
  CHECK(arena.capacity() == (1 << 20) + 150016);
  CHECK_THROWS_AS(arena.allocate<std::byte>(200064), std::bad_alloc);
}

}  // namespace tape_test
