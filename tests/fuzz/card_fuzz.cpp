// Any bytes as the merit.json of a folder, as the programs read it: it is refused with a merit::Error, or every score
// that a model can give stays a finite number, and keeps its order, however the card says it is to be read.
//   clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -I include tests/fuzz/card_fuzz.cpp
//   ./a.out -max_len=4096 CORPUS tests/fuzz/seeds/card
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "merit/core/error.hpp"
#include "merit/model/model_card.hpp"
#include "merit/model/policy_set.hpp"
#include "merit/run/reading.hpp"
#include "merit/run/saved_model.hpp"

using namespace merit;

namespace {

void check_scores(const Reading& reading) {
  double before = -INFINITY;
  for (const double score : {-3e38, -1e4, -1.0, 0.0, 1e-30, 1.0, 1e4, 3e38}) {
    const double shown = shown_score(score, reading);
    if (!std::isfinite(shown) || shown < before) std::abort();
    before = shown;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  try {
    const std::string text(reinterpret_cast<const char*>(bytes), size);
    const ModelCard card = model_card_from(parse_json(text, "merit.json"), "merit.json");
    if (!(model_card_from(to_json(card), "again") == card)) std::abort();  // what is written reads back
    const AnyHead head = head_from(card.head, "merit.json: head");
    for (const bool normalised : {false, true}) check_scores(reading_of(card, meaning_of(head), normalised));
  } catch (const Error&) {
  }
  return 0;
}
