// What is computed in a session equals what whole sequences give, in every bit on the reference backend.
#include "merit/infer/session.hpp"

#include <doctest/doctest.h>

#include "infer/session_models.hpp"
#include "merit/backend/reference/reference_backend.hpp"
#include "sanitized.hpp"

namespace session_test {

using namespace merit_test;
using Double = ReferenceBackend<double>;
using Single = ReferenceBackend<float>;

// Eight times so many in all.
constexpr Index trees = MERIT_TEST_SANITIZED != 0 ? 100 : 1250;

/// Random trees, grown in random order.
template <class Backend, class Backbone>
void check_growth(const Backbone& backbone, Index memory_tokens = 0) {
  SmallModel<Backend, Backbone> model({.backbone = backbone});
  shake(model);
  Index wrong = 0, compared = 0;
  for (Index n = 0; n < trees; ++n) {
    Rng rng(n, 31);
    SessionOptions options;
    if (memory_tokens != 0) {
      Session measured(model);
      measured.extend({}, std::vector<Token>{1});
      options.memory_limit = memory_tokens * measured.counts().bytes;
    }
    Session session(model, options);
    grow_and_check(session, rng, 1 + rng.below(6), [&](double score, double whole) {
      wrong += score != whole;
      ++compared;
    });
    if (memory_tokens != 0) CHECK(session.counts().held <= memory_tokens);
  }
  CHECK(wrong == 0);
  CHECK(compared > 2 * trees);
}

TEST_CASE("random trees in sessions have the bits of whole sequences: Llama") {
  check_growth<Double>(tiny_llama());
  check_growth<Single>(tiny_llama());
}
TEST_CASE(
    "random trees in sessions have the bits of whole sequences: windows, soft caps, rotary positions of their own") {
  check_growth<Double>(small_gemma());
  check_growth<Single>(small_windowed());
}
TEST_CASE("random trees in sessions have the bits of whole sequences: GPT-2 and GPT-NeoX") {
  check_growth<Double>(tiny_gpt2());
  check_growth<Single>(tiny_gpt2());
  check_growth<Double>(small_neox());
  GptNeox serial = small_neox();
  serial.parallel_residual = false;
  check_growth<Single>(serial);
}
TEST_CASE("random trees in sessions have the bits of whole sequences where memory is short") {
  check_growth<Double>(tiny_llama(), 40);
}

}  // namespace session_test
