// Any bytes as a vocabulary of each other format; the first byte says which.
//   clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -I include tests/fuzz/vocabulary_fuzz.cpp
//   -lpcre2-8 -lutf8proc
//   ./a.out -max_len=8192 CORPUS
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/text/bpe_files.hpp"
#include "merit/text/llama2c_vocabulary.hpp"
#include "merit/text/sentencepiece_description.hpp"
#include "merit/text/tiktoken_file.hpp"
#include "merit/text/wordpiece_file.hpp"
#include "merit/tokenizer/pretrained_tokenizer.hpp"

using namespace merit;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  try {
    Json description;
    switch (bytes[0] % 4) {
      case 0: description = describe_sentencepiece(parse_sentencepiece(input, "fuzz"), "fuzz"); break;
      case 1: description = describe_tiktoken(input, "fuzz"); break;
      case 2: description = describe_llama2c_vocabulary(input, "fuzz"); break;
      default: description = describe_wordpiece_file(input, "fuzz");
    }
    const PretrainedTokenizer tokenizer(description, "fuzz");
    std::vector<Token> ids;
    tokenizer.encode("Hello, w\xC3\xB6rld 12 \xFF", ids);
    tokenizer.decode(VectorView<const Token>(ids.data(), ids.size()));
  } catch (const Error&) {
  }
  return 0;
}
