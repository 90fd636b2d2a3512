// Any bytes as JSON lines of records of every kind, and as a config.json with a head to be recognised.
//   clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -I include tests/fuzz/records_fuzz.cpp
//   ./a.out -max_len=4096 CORPUS
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/model/published_head.hpp"
#include "merit/records/jsonl.hpp"
#include "merit/tokenizer/byte_tokenizer.hpp"
#include "merit/tokens/tokenize.hpp"

using namespace merit;

namespace {

template <class Record>
void read_all(const std::string& text) {
  std::istringstream in(text);
  RecordReader<Record> reader(in, "fuzz");
  DataCounts counts;
  while (true) {
    try {
      const auto record = reader.next();
      if (!record) return;
      tokenize(*record, ByteTokenizer(), {.max_tokens = 64, .truncation = Truncation::keep_completion},
               counts);
    } catch (const Error&) {
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(bytes), size);
  read_all<PreferenceRecord>(text);
  read_all<RankingRecord>(text);
  read_all<RatingsRecord>(text);
  read_all<OutcomeRecord>(text);
  read_all<StepsRecord>(text);
  read_all<RolloutRecord>(text);
  read_all<JudgeRecord>(text);
  read_all<CompletionRecord>(text);
  try {
    const Json config = parse_json(text, "fuzz");
    try {
      read_backbone_config(config, "fuzz");
    } catch (const Error&) {
    }
    const std::vector<PublishedTensor> tensors{{"score.weight", {1, 16}}, {"model.norm.weight", {16}}};
    recognise_head(config, tensors, "fuzz");
  } catch (const Error&) {
  }
  return 0;
}
