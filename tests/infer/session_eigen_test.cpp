// Sessions on the host's fast backend, with threads, and in memory that nobody above a backend reads.
#include <doctest/doctest.h>

#include <cmath>

#include "backend/opaque_backend.hpp"
#include "infer/session_models.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"

namespace session_eigen_test {

using namespace merit_test;
using Host = EigenBackend<float>;
using Opaque = OpaqueBackend<float>;

template <class Backend, class Backbone>
void check_growth(const Backbone& backbone, Index trees, const Backend& backend = {}) {
  SmallModel<Backend, Backbone> model({.backbone = backbone, .backend = backend});
  double largest = 0;
  for (Index n = 0; n < trees; ++n) {
    Rng rng(n, 31);
    Session session(model);
    grow_and_check(session, rng, 1 + rng.below(8), [&](double score, double whole) {
      largest = std::max(largest, std::abs(score - whole) / (1 + std::abs(whole)));
    });
  }
  CHECK(largest < 1e-5);
}

TEST_CASE("random trees in sessions have the scores of whole sequences, with one thread and with three") {
  for (const int threads : {1, 3}) {
    check_growth<Host>(tiny_llama(), 40, {.threads = threads});
    check_growth<Host>(small_gemma(), 40, {.threads = threads});
    check_growth<Host>(tiny_gpt2(), 40, {.threads = threads});
    check_growth<Host>(small_neox(), 40, {.threads = threads});
  }
}

TEST_CASE("long paths take many tiles of keys") {
  Llama llama = tiny_llama();
  llama.max_positions = 1000;
  llama.windows = {0, 200, 0};
  SmallModel<Host, Llama> model({.backbone = llama});
  Rng rng(8);
  const auto tokens = [&](Index count) {
    std::vector<Token> list(count);
    for (Token& token : list) token = static_cast<Token>(rng.below(16));
    return list;
  };
  Session session(model, {.stored = {}});
  std::vector<Token> path;
  SessionNode node;
  std::vector<std::vector<Token>> paths;
  std::vector<double> scores;
  for (const Index count : {300u, 1u, 90u, 256u, 40u}) {
    const auto kept = tokens(count), other = tokens(count);
    const auto nodes = session.extend({{node, other}, {node, kept}});
    for (const auto& [one, place] : {std::pair{&other, 0u}, std::pair{&kept, 1u}}) {
      paths.push_back(path);
      paths.back().insert(paths.back().end(), one->begin(), one->end());
      scores.push_back(static_cast<double>(session.scores()[place]));
    }
    session.release(nodes[0]);
    node = nodes[1];
    path = paths.back();
  }
  const std::vector<double> whole = whole_scores(model, paths);
  for (Index i = 0; i < paths.size(); ++i) CHECK(scores[i] == doctest::Approx(whole[i]).epsilon(1e-4));
}

TEST_CASE("a session leaves memory to the backend") {
  check_growth<Opaque>(tiny_llama(), 20);
  SmallModel<Opaque, Llama> model({.backbone = tiny_llama()});
  CHECK_THROWS_AS(Session(model, SessionOptions{.stored = Dtype::bf16}), ConfigError);
}

}  // namespace session_eigen_test
