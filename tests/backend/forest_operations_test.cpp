// Attention and the mean over a path, against the rule of visibility written out as a dense mask here.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "backend/attention_operation.hpp"
#include "backend/backends.hpp"
#include "backend/threads.hpp"
#include "backend/witness.hpp"
#include "merit/backend/eigen/attention.hpp"
#include "merit/forest/forest.hpp"
#include "merit/testing/random_forest.hpp"

namespace forest_operations_test {

using namespace merit_test;

/// Differentiated by x (T, width).
struct PathMean {
  const Forest* forest;
  Index width;
  Index inputs() const { return forest->token_count() * width; }

  template <class B>
  Numbers forward(const Numbers& values) const {
    Machine<B> m;
    const typename B::Batch batch = B::prepare(m.handle, forest->view());
    const ForestView<typename B::Space>& view = batch;
    const Array<B> x(m, forest->token_count(), width, values);
    Array<B> out(m, forest->row_count(), width, 9.0);
    StatArray<B> scratch = working_space<B>(m, B::path_mean_scratch(m.handle, view, width));
    B::path_mean(m.handle, view, x.constant(), out.matrix(), scratch.vector());
    return out.values();
  }
  template <class B>
  Numbers backward(const Numbers&, const Numbers& dy, Write write, double before) const {
    Machine<B> m;
    const typename B::Batch batch = B::prepare(m.handle, forest->view());
    const ForestView<typename B::Space>& view = batch;
    const Array<B> dout(m, forest->row_count(), width, dy);
    Array<B> dx(m, forest->token_count(), width, before);
    StatArray<B> scratch = working_space<B>(m, B::path_mean_scratch(m.handle, view, width));
    B::path_mean_backward(m.handle, {.forest = view,
                                     .dout = dout.constant(),
                                     .write = write,
                                     .dx = dx.matrix(),
                                     .scratch = scratch.vector()});
    return dx.values();
  }
};

const AttentionShape shapes[] = {
    {1, 1, 1, 1.0}, {2, 2, 4, 0.5}, {4, 2, 3, 0.6}, {6, 1, 5, 0.4}, {3, 3, 8, 0.35}};

/// A shape that looks as far as it likes, at some of its tree or all, with or without a cap.
AttentionShape random_shape(Rng& rng) {
  AttentionShape shape = shapes[rng.below(std::size(shapes))];
  constexpr Index windows[] = {0, 1, 2, 5};
  shape.window = windows[rng.below(4)];
  shape.soft_cap = rng.below(2) == 0 ? 0.0 : 1.5;
  shape.sight = rng.below(3) == 0 ? Sight::tree : Sight::path;
  return shape;
}

/// Under Sight::tree each sequence is a tree.
ForestBuilder& builder_for(const AttentionShape& shape, ForestBuilder& sharing, ForestBuilder& apart) {
  return shape.sight == Sight::tree ? apart : sharing;
}

RandomForestShape small_shape(Rng& rng) {
  RandomForestShape shape;
  shape.depth = 1 + rng.below(4);
  shape.branching = 1 + rng.below(4);
  shape.run = 1 + rng.below(6);
  return shape;
}

TEST_CASE_TEMPLATE("attention over 200 random forests is the masked softmax, for all tokens and for some", B,
                   MERIT_TEST_BACKENDS) {
  Rng rng(30);
  ForestBuilder sharing, apart(Sharing::no);
  for (int round = 0; round < 200; ++round) {
    const AttentionShape shape = random_shape(rng);
    const Forest& forest = random_forest(rng, small_shape(rng)).build(builder_for(shape, sharing, apart));
    INFO("round ", round, ", ", forest.token_count(), " tokens, ", shape.heads, " heads, window ",
         shape.window, ", cap ", shape.soft_cap, ", whole trees ", shape.sight == Sight::tree);
    for (const Ids& queries : {Ids{}, forest.rows}) {
      const Attention attention{&forest, shape, queries};
      const Numbers x = held<B>(random_numbers(rng, attention.inputs()));
      const std::vector<Numbers> result = attention.run<B>(x);
      const std::vector<Numbers> expected = attention.dense(x);
      REQUIRE(relative_error(result[0], expected[0]) <= AttentionTolerance<B>::value);
      REQUIRE(relative_error(result[1], expected[1]) <= Tolerance<typename B::Stat>::value);
    }
  }
}

TEST_CASE_TEMPLATE("attention over long runs is the masked softmax", B, MERIT_TEST_BACKENDS) {
  Rng rng(31);
  RandomForestShape shape;
  shape.groups = 2;
  shape.run = 150;
  shape.vocabulary = 1000;
  ForestBuilder sharing, apart(Sharing::no);
  // Windows that end inside a tile of keys, leave whole tiles out, and go beyond the sequence.
  constexpr AttentionShape long_shapes[] = {
      {4, 2, 16, 0.25},
      {2, 1, 8, 0.25, Sight::path, 40},
      {2, 1, 8, 0.25, Sight::path, 300, 2.0},
      {2, 1, 8, 0.25, Sight::tree},
      {2, 1, 8, 0.25, Sight::tree, 33, 2.0},
  };
  for (const AttentionShape& of_round : long_shapes) {
    if (!of_round.is_plain()) shape.groups = shape.branching = 1;
    const Forest& forest = random_forest(rng, shape).build(builder_for(of_round, sharing, apart));
    for (const Ids& queries : {Ids{}, forest.rows}) {
      const Attention attention{&forest, of_round, queries};
      const Numbers x = held<B>(random_numbers(rng, attention.inputs()));
      CHECK(relative_error(attention.forward<B>(x), attention.dense(x)[0]) <= AttentionTolerance<B>::value);
      const Numbers dy = held<B>(random_numbers(rng, attention.q_size()));
      CHECK(relative_error(attention.backward<B>(x, dy, Write::assign, 1.0),
                           attention.backward<Arbiter>(x, dy, Write::assign, 1.0)) <=
            AttentionTolerance<B>::gradient);
    }
  }
}

TEST_CASE_TEMPLATE(
    "a long tree, taken in parts, has the gradient of the masked softmax on any number of threads", Base,
    MERIT_TEST_THREADED_BACKENDS) {
  // A tree of 1,200 tokens with two branches behind 700, and a short one; its queries are two parts.
  std::vector<std::vector<Token>> sequences(2, std::vector<Token>(700, 1));
  for (Index s = 0; s < 2; ++s) sequences[s].resize(950, static_cast<Token>(2 + s));
  const std::vector<std::span<const Token>> spans(sequences.begin(), sequences.end());
  const std::vector<Token> brief(30, 5);
  const std::span<const Token> brief_span(brief);
  ForestBuilder builder;
  builder.add_tree(spans);
  builder.add_tree({&brief_span, 1});
  const Forest forest = builder.finish();
  const std::vector<Token> single(1100, 1);
  const std::span<const Token> single_span(single);
  ForestBuilder apart(Sharing::no);
  apart.add_tree({&brief_span, 1});
  apart.add_tree({&single_span, 1});
  const Forest forest_apart = apart.finish();
  REQUIRE(detail::eigen::query_part(forest_apart.view(), 1, 1).begin == 30 + 770);
  REQUIRE(detail::eigen::query_part(forest.view(), 0, 1).begin == 840);
  REQUIRE(detail::eigen::query_part(forest.view(), 1, 1).begin == forest.token_count());
  Rng rng(43);
  constexpr AttentionShape along_paths{3, 1, 5, 0.4}, windowed{1, 1, 5, 0.4, Sight::path, 300, 3.0},
      whole_trees{1, 1, 5, 0.4, Sight::tree}, near{1, 1, 5, 0.4, Sight::tree, 300, 3.0};
  for (const auto& [shape, queries] : {std::pair{along_paths, Ids{}},
                                       {along_paths, Ids{3, 699, 839, 840, 1199, 1229}},
                                       {windowed, Ids{}},
                                       {whole_trees, Ids{3, 800, 1000}},
                                       {near, Ids{}}}) {
    const Attention attention{shape.sight == Sight::tree ? &forest_apart : &forest, shape, queries};
    const Numbers x = held<Base>(random_numbers(rng, attention.inputs()));
    const Numbers dy = held<Base>(random_numbers(rng, attention.q_size()));
    for (const Write write : {Write::assign, Write::add}) {
      const Numbers expected = attention.template backward<Arbiter>(x, dy, write, 0.5);
      const Numbers found = attention.template backward<Base>(x, dy, write, 0.5);
      CHECK(relative_error(found, expected) <= Tolerance<typename Base::Activation>::gradient);
      check_threads<Base>([&]<class B>() { return attention.template backward<B>(x, dy, write, 0.5); });
    }
  }
}

TEST_CASE_TEMPLATE("attention agrees with its witnesses", B, MERIT_TEST_BACKENDS) {
  Rng rng(32);
  ForestBuilder sharing, apart(Sharing::no);
  RandomForestShape size;
  size.groups = 2;
  size.branching = 2;
  size.run = 3;
  std::vector<AttentionShape> all(std::begin(shapes), std::end(shapes));
  all.push_back({4, 2, 3, 0.6, Sight::path, 3});
  all.push_back({4, 2, 3, 0.6, Sight::path, 0, 0.7});
  all.push_back({2, 2, 4, 0.5, Sight::tree});
  all.push_back({2, 1, 4, 0.5, Sight::tree, 2, 0.7});
  for (const AttentionShape& shape : all) {
    const Forest& forest = random_forest(rng, size).build(builder_for(shape, sharing, apart));
    for (const Ids& queries : {Ids{}, forest.rows}) {
      const Attention attention{&forest, shape, queries};
      check_witnesses<B>(attention, random_numbers(rng, attention.inputs()), rng);
    }
  }
}

TEST_CASE_TEMPLATE("heads wider than what is summed at once are right in every column", B,
                   MERIT_TEST_BACKENDS) {
  Rng rng(39);
  ForestBuilder builder;
  const Forest& forest = random_forest(rng, small_shape(rng)).build(builder);
  for (const Index width : {Index{64}, Index{70}, Index{129}}) {
    const Attention attention{&forest, {2, 1, width, 0.1}, forest.rows};
    const Numbers x = held<B>(random_numbers(rng, attention.inputs()));
    const std::vector<Numbers> result = attention.run<B>(x), expected = attention.dense(x);
    CHECK(relative_error(result[0], expected[0]) <= AttentionTolerance<B>::value);
    CHECK(relative_error(result[1], expected[1]) <= Tolerance<typename B::Stat>::value);
    const Numbers dy = held<B>(random_numbers(rng, attention.q_size()));
    CHECK(relative_error(attention.backward<B>(x, dy, Write::assign, 1.0),
                         attention.backward<Arbiter>(x, dy, Write::assign, 1.0)) <=
          AttentionTolerance<B>::gradient);
  }
}

TEST_CASE_TEMPLATE("attention stays finite and right for scores up to ten thousand", B, MERIT_TEST_BACKENDS) {
  using T = typename B::Stat;
  // A score of 1e4 has a rounding of 1e4 · epsilon, which is what its exponential is off by.
  const double tolerance = 32 * 1e4 * static_cast<double>(std::numeric_limits<T>::epsilon()) +
                           (narrow_activations<B> ? Tolerance<typename B::Activation>::value : 0);
  Rng rng(33);
  ForestBuilder builder;
  for (int round = 0; round < 20; ++round) {
    const Forest& forest = random_forest(rng, small_shape(rng)).build(builder);
    const Attention attention{&forest, {2, 1, 2, 1.0}, {}};
    Numbers x = random_numbers(rng, attention.inputs());
    for (Index i = 0; i < attention.q_size() + attention.kv_size(); ++i)
      x[i] = (x[i] < 0 ? -70 : 70) + x[i] / 4;  // q·k is about −1e4, 0 or 1e4
    x = held<B>(x);
    const std::vector<Numbers> result = attention.run<B>(x);
    const std::vector<Numbers> expected = attention.dense(x);
    CHECK(*std::max_element(expected[1].begin(), expected[1].end()) > 9e3);
    CHECK(relative_error(result[0], expected[0]) <= tolerance);
    CHECK(relative_error(result[1], expected[1]) <= Tolerance<T>::value);
    const Numbers gradient =
        attention.backward<B>(x, random_numbers(rng, attention.q_size()), Write::assign, 0.0);
    CHECK(std::all_of(gradient.begin(), gradient.end(), [](double g) { return std::isfinite(g); }));
  }
  // All scores far below zero: the largest is taken off before the exponentials.
  const std::vector<Token> tokens = {1, 2, 3};
  const std::span<const Token> sequence(tokens);
  builder.clear();
  builder.add_tree({&sequence, 1});
  const Attention attention{&builder.finish(), {1, 1, 1, 1.0}, {}};
  const Numbers x = {100, 100, 100, -100, -100, -100, 3, 6, 9};
  CHECK(relative_error(attention.forward<B>(x), Numbers{3, 4.5, 6}) <= tolerance);
  CHECK(relative_error(attention.run<B>(x)[1], Numbers{-1e4, -1e4 + std::log(2.0), -1e4 + std::log(3.0)}) <=
        Tolerance<T>::value);
}

TEST_CASE_TEMPLATE("a wanted token's attention has the bits it has among all tokens", B,
                   ReferenceBackend<float>, ReferenceBackend<double>) {
  Rng rng(34);
  ForestBuilder builder;
  const Forest& forest = random_forest(rng, {}).build(builder);
  const Attention all{&forest, {4, 2, 3, 0.6}, {}};
  const Attention some{&forest, {4, 2, 3, 0.6}, forest.rows};
  const Numbers x = random_numbers(rng, all.inputs());
  Numbers pruned;
  for (const std::uint32_t row : forest.rows) {
    const Numbers q = part(x, row * all.q_width(), all.q_width());
    pruned.insert(pruned.end(), q.begin(), q.end());
  }
  pruned = join({pruned, part(x, all.q_size(), 2 * all.kv_size())});
  const Numbers of_all = all.forward<B>(x);
  const Numbers of_some = some.forward<B>(pruned);
  for (Index r = 0; r < forest.row_count(); ++r)
    CHECK(part(of_some, r * all.q_width(), all.q_width()) ==
          part(of_all, forest.rows[r] * all.q_width(), all.q_width()));
}

TEST_CASE_TEMPLATE("attention and path means in a forest have the bits of the sequence alone", B,
                   ReferenceBackend<float>, ReferenceBackend<double>) {
  Rng rng(35);
  ForestBuilder builder, single;
  const AttentionShape shape{4, 2, 3, 0.6};
  for (int round = 0; round < 20; ++round) {
    const RandomForest random = random_forest(rng, small_shape(rng));
    const Forest& forest = random.build(builder);
    const Attention packed{&forest, shape, {}};
    const PathMean packed_mean{&forest, 5};
    const Numbers x = random_numbers(rng, packed.inputs());
    const Numbers features = random_numbers(rng, packed_mean.inputs());
    const Numbers out = packed.forward<B>(x);
    const Numbers means = packed_mean.forward<B>(features);
    for (const RandomForest::Row& row : random.rows) {
      const std::span<const Token> prefix(random.groups[row.group][row.sequence].data(), row.position + 1);
      single.clear();
      const Index group = single.add_tree({&prefix, 1});
      single.want_row(single.index(group, 0, row.position));
      const Attention alone{&single.finish(), shape, {}};
      Numbers q, k, v, f;
      const auto take = [](Numbers& to, const Numbers& from, Index begin, Index count) {
        to = join({to, part(from, begin, count)});
      };
      std::uint32_t token = 0;
      for (Index p = 0; p <= row.position; ++p) {
        token = builder.index(row.group, row.sequence, p);
        take(q, x, token * packed.q_width(), packed.q_width());
        take(k, x, packed.q_size() + token * packed.kv_width(), packed.kv_width());
        take(v, x, packed.q_size() + packed.kv_size() + token * packed.kv_width(), packed.kv_width());
        take(f, features, token * 5, 5);
      }
      const Numbers out_alone = alone.forward<B>(join({q, k, v}));
      REQUIRE(part(out_alone, row.position * packed.q_width(), packed.q_width()) ==
              part(out, token * packed.q_width(), packed.q_width()));
      REQUIRE(PathMean{&single.forest(), 5}.forward<B>(f) == part(means, builder.row_of(token) * 5, 5));
    }
  }
}

TEST_CASE_TEMPLATE("path means are the means over what a token sees", B, MERIT_TEST_BACKENDS) {
  Rng rng(36);
  ForestBuilder builder;
  for (int round = 0; round < 100; ++round) {
    const Forest& forest = random_forest(rng, small_shape(rng)).build(builder);
    const Index width = 1 + rng.below(9);
    const PathMean mean{&forest, width};
    const Numbers x = held<B>(random_numbers(rng, mean.inputs()));
    Numbers expected(forest.row_count() * width);
    for (Index r = 0; r < forest.row_count(); ++r) {
      double count = 0;
      for (Index t = 0; t < forest.token_count(); ++t) {
        if (!sees(forest, forest.rows[r], t)) continue;
        ++count;
        for (Index c = 0; c < width; ++c) expected[r * width + c] += x[t * width + c];
      }
      for (Index c = 0; c < width; ++c) expected[r * width + c] /= count;
    }
    REQUIRE(relative_error(mean.forward<B>(x), expected) <= Tolerance<typename B::Activation>::value);
  }
}

TEST_CASE_TEMPLATE("path means agree with their witnesses", B, MERIT_TEST_BACKENDS) {
  Rng rng(37);
  ForestBuilder builder;
  for (int round = 0; round < 5; ++round) {
    const Forest& forest = random_forest(rng, small_shape(rng)).build(builder);
    const PathMean mean{&forest, 1 + rng.below(4)};
    check_witnesses<B>(mean, random_numbers(rng, mean.inputs()), rng);
  }
}

TEST_CASE_TEMPLATE("a forest without wanted rows gives nothing and takes no gradient", B,
                   MERIT_TEST_BACKENDS) {
  const std::vector<Token> tokens = {1, 2, 3};
  const std::span<const Token> sequence(tokens);
  ForestBuilder builder;
  builder.add_tree({&sequence, 1});
  const PathMean mean{&builder.finish(), 2};
  CHECK(mean.forward<B>(Numbers(6, 1.0)).empty());
  CHECK(mean.backward<B>({}, {}, Write::assign, 5.0) == Numbers(6, 0.0));
  CHECK(mean.backward<B>({}, {}, Write::add, 5.0) == Numbers(6, 5.0));
}

/// Three trees of branches, the first with a run longer than a tile of keys.
const Forest& branching_forest(Rng& rng, ForestBuilder& builder) {
  RandomForest random;
  const auto run = [&](std::vector<Token> tokens, Index count) {
    for (Index i = 0; i < count; ++i) tokens.push_back(static_cast<Token>(rng.below(1000)));
    return tokens;
  };
  for (const Index trunk : {Index{300}, Index{40}, Index{5}}) {
    random.groups.emplace_back();
    const std::vector<Token> root = run({}, trunk);
    for (int branch = 0; branch < 3; ++branch) {
      const std::vector<Token> middle = run(root, 60);
      for (int leaf = 0; leaf < 3; ++leaf) random.groups.back().push_back(run(middle, 20));
    }
  }
  for (Index g = 0; g < random.groups.size(); ++g)
    for (Index s = 0; s < 9; ++s) random.rows.push_back({g, s, random.groups[g][s].size() - 1 - s});
  return random.build(builder);
}

TEST_CASE_TEMPLATE("attention and path means have the same bits with any number of threads", Base,
                   MERIT_TEST_THREADED_BACKENDS) {
  Rng rng(38);
  ForestBuilder builder;
  const Forest& forest = branching_forest(rng, builder);
  // Segments, and trees, times heads of keys are handed to threads whatever the size. Eigen's keys and values
  // are laid out by as many as their elements ask for; Thrust hands out everything, however little.
  constexpr bool by_size = std::is_same_v<typename Base::Space, HostSpace>;
  const AttentionShape shape{6, 3, by_size ? 144 : 12, 0.1};
  for (const Ids& queries : {Ids{}, forest.rows}) {
    const Attention attention{&forest, shape, queries};
    if (by_size) REQUIRE(detail::eigen::useful_threads(5, attention.kv_size()) == 5);
    const Numbers x = random_numbers(rng, attention.inputs());
    check_threads_of<Base>(attention, x, rng);
    check_threads<Base>([&]<class B>() { return attention.run<B>(x)[1]; });  // lse
  }
  const PathMean mean{&forest, divided_cols};
  REQUIRE(detail::eigen::useful_threads(5, mean.inputs()) == 5);
  check_threads_of<Base>(mean, random_numbers(rng, mean.inputs()), rng);
}

}  // namespace forest_operations_test
