// More than there is.
#include <doctest/doctest.h>

#include <string_view>

#include "merit/backbone/llama.hpp"
#include "merit/backend/eigen/eigen_backend.hpp"
#include "merit/core/error.hpp"
#include "merit/core/free_memory.hpp"
#include "merit/head/linear_head.hpp"
#include "merit/loss/pairwise_loss.hpp"
#include "merit/model/reward_model.hpp"

namespace memory_test {

using namespace merit;

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != text.npos;
}

TEST_CASE("what needs more memory than there is says how much before anything is drawn") {
  try {
    RewardModel<Llama> model({.backbone = {.vocabulary_size = Index{1} << 44, .hidden_size = 16}});
    FAIL("a model of 2^50 bytes was made");
  } catch (const ConfigError& error) {
    CHECK(has(error.what(), "bytes for them at once, more than there is memory"));
  }
  // As much as a system promises, and more than it has.
  const Index rows = free_memory().value_or(Index{1} << 44) / 64 + (Index{1} << 27);
  try {
    RewardModel<Llama> model({.backbone = {.vocabulary_size = rows, .hidden_size = 16}});
    FAIL("a model of more than the memory was made");
  } catch (const ConfigError& error) {
    CHECK(has(error.what(), "bytes for them at once, more than there is memory"));
    CHECK(has(error.what(), "a model of "));
  }
}

}  // namespace memory_test
