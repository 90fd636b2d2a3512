// Any bytes as a tokenizer.json, and then any text for it: read or refused with a merit::Error, and never
// without end.
//   clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -I include tests/fuzz/tokenizer_fuzz.cpp
//   -lpcre2-8 -lutf8proc
//   ./a.out -max_len=16384 CORPUS tests/golden/tokenizers
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/json.hpp"
#include "merit/tokenizer/pretrained_tokenizer.hpp"

using namespace merit;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  // What stands behind the last line feed is the text; it may be no UTF-8.
  const auto cut = input.rfind('\n');
  const std::string_view text =
      cut == input.npos ? std::string_view("Hello, wörld 12") : input.substr(cut + 1);
  try {
    const PretrainedTokenizer tokenizer(parse_json(input.substr(0, cut), "fuzz"), "fuzz");
    std::vector<TokenSpan> spans;
    tokenizer.encode(text, spans);
    std::vector<Token> ids;
    tokenizer.encode(text, ids);
    if (ids.size() != spans.size()) std::abort();
    for (Index i = 0; i < ids.size(); ++i) {
      if (ids[i] != spans[i].id || ids[i] >= tokenizer.vocabulary_size()) std::abort();
      if (spans[i].begin > spans[i].end || spans[i].end > text.size()) std::abort();
    }
    tokenizer.decode(VectorView<const Token>(ids.data(), ids.size()));
  } catch (const Error&) {
  }
  return 0;
}
