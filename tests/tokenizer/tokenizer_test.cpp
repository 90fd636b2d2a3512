// The tokenizers: ids written out by hand, round trips, names.
#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/hash.hpp"
#include "merit/tokenizer/any_tokenizer.hpp"
#include "merit/tokenizer/byte_tokenizer.hpp"
#include "merit/tokenizer/tokenizer.hpp"
#include "merit/tokenizer/word_tokenizer.hpp"

namespace tokenizer_test {

using merit::Index;
using merit::Token;

template <merit::tokenizer Tokenizer>
std::vector<Token> encode(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<Token> tokens;
  tokenizer.encode(text, tokens);
  return tokens;
}

std::string message_of(std::string_view name) {
  try {
    merit::make_tokenizer(name);
  } catch (const merit::ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST_CASE("bytes are their own ids, and encoding appends") {
  const merit::ByteTokenizer bytes;
  std::vector<Token> tokens{7};
  bytes.encode("Hé\n", tokens);
  CHECK(tokens == std::vector<Token>{7, 72, 0xC3, 0xA9, 10});
  CHECK(bytes.eos() == 256);
  CHECK(bytes.vocabulary_size() == 257);
}

TEST_CASE("every byte string comes back from its byte tokens") {
  const merit::ByteTokenizer bytes;
  std::string all;
  for (int b = 0; b < 256; ++b) all.push_back(static_cast<char>(b));
  std::vector<Token> tokens = encode(bytes, all);
  CHECK(tokens.size() == 256);
  tokens.push_back(bytes.eos());
  CHECK(bytes.decode(tokens) == all);
}

TEST_CASE("a token outside the byte vocabulary is an error that names it") {
  const std::vector<Token> tokens{257};
  CHECK_THROWS_WITH_AS(merit::ByteTokenizer{}.decode(tokens),
                       "found token 257, expected a byte token of 0 to 256", merit::DataError);
}

TEST_CASE("the hash is FNV-1a with its published values") {
  CHECK(merit::fnv1a("") == 0xCBF29CE484222325u);
  CHECK(merit::fnv1a("a") == 0xAF63DC4C8601EC8Cu);
  CHECK(merit::fnv1a("foobar") == 0x85944171F73967E8u);
  CHECK(merit::fnv1a("\xFF") == 0xAF64724C8602EB6Eu);  // bytes count as unsigned
}

TEST_CASE("words are lowered runs, punctuation stands alone, white space separates") {
  const merit::WordHashTokenizer words(65536);
  const std::vector<std::string_view> expected{"don't", "stop", ",", "2nd", "caf\xC3\xA9",
                                               "!",     "!",    "(", "ok"};
  std::vector<Token> ids;
  for (const auto word : expected) ids.push_back(static_cast<Token>(merit::fnv1a(word) % 65536));
  CHECK(encode(words, "Don't\tSTOP, 2nd caf\xC3\xA9!! (ok\x01") == ids);
  CHECK(encode(words, " \n\r\t").empty());
  CHECK(encode(words, "").empty());
  CHECK(encode(words, "AZ[") == encode(words, "az ["));
}

TEST_CASE("a text is cut where its words end, so that both parts give the tokens of the whole") {
  const merit::WordHashTokenizer words(65536);
  const std::string text = "Don't stop,  caf\xC3\xA9 (7 of 9)\n now";
  for (Index count = 0; count <= text.size(); ++count) {
    const Index place = words.settled(text.substr(0, count));
    CHECK(place <= count);
    std::vector<Token> parts = encode(words, text.substr(0, place));
    words.encode(text.substr(place), parts);
    CHECK(parts == encode(words, text));
  }
  CHECK(words.settled("Don't stop, ca") == 12);
  CHECK(words.settled("stop, ") == 6);
  CHECK(merit::ByteTokenizer{}.settled("stop, ca") == 8);
  CHECK(merit::make_tokenizer("words:9").settled("stop, ca") == 6);
  CHECK(merit::AnyTokenizer(merit::TokenizerArchetype{}).settled("stop") == 0);
}

TEST_CASE("hashed ids stay under the end of sequence whatever the number of buckets") {
  const merit::WordHashTokenizer three(3);
  CHECK(three.eos() == 3);
  CHECK(three.vocabulary_size() == 4);
  for (const Token token : encode(three, "a few words, hashed into three ids")) CHECK(token < 3);
  CHECK_THROWS_AS(merit::WordHashTokenizer(0), merit::ConfigError);
  CHECK_THROWS_AS(merit::WordHashTokenizer(4294967295u), merit::ConfigError);
  CHECK(merit::WordHashTokenizer(4294967294u).eos() == 4294967294u);
}

TEST_CASE("a tokenizer built from a tokenizer's name encodes as it does") {
  const std::string_view text = "The same Text, twice.";
  CHECK(merit::AnyTokenizer{}.name() == "bytes");
  for (const std::string_view name : {"bytes", "words:1", "words:512", "words:65536"}) {
    const merit::AnyTokenizer built = merit::make_tokenizer(name);
    CHECK(built.name() == name);
    CHECK(built.vocabulary_size() == built.eos() + 1);
    CHECK(encode(merit::make_tokenizer(built.name()), text) == encode(built, text));
  }
  CHECK(encode(merit::make_tokenizer("bytes"), text) == encode(merit::ByteTokenizer{}, text));
  CHECK(encode(merit::make_tokenizer("words:512"), text) == encode(merit::WordHashTokenizer(512), text));
}

TEST_CASE("records of ids have a vocabulary and no text") {
  const merit::AnyTokenizer ids = merit::make_tokenizer("ids:151936");
  CHECK(ids.name() == "ids:151936");
  CHECK(ids.vocabulary_size() == 151936);
  CHECK_THROWS_WITH_AS(encode(ids, "text"), "found text, expected token ids: the tokenizer is \"ids:151936\"",
                       merit::DataError);
  CHECK_THROWS_AS(merit::make_tokenizer("ids:0"), merit::ConfigError);
  CHECK_THROWS_AS(merit::make_tokenizer("ids:"), merit::ConfigError);
}

TEST_CASE("an unknown tokenizer is an error that lists the known ones") {
  for (const std::string_view name : {"", "byte", "bytes:", "Words:5", "gpt2"}) {
    const std::string message = message_of(name);
    CHECK_MESSAGE(message.find("expected one of: bytes, words:N") != std::string::npos, message);
  }
  for (const std::string_view name :
       {"words:", "words:-1", "words:12x", "words: 5", "words:99999999999999999999"}) {
    const std::string message = message_of(name);
    CHECK_MESSAGE(message.find("expected a number as in words:65536") != std::string::npos, message);
  }
  CHECK(message_of("words:0").find("expected 1 to") != std::string::npos);
}

TEST_CASE("templates may ask of a tokenizer what the archetype has") {
  CHECK(encode(merit::TokenizerArchetype{}, "anything").empty());
  struct NoName {
    void encode(std::string_view, std::vector<Token>&) const {}
    Token eos() const { return 0; }
    merit::Index vocabulary_size() const { return 1; }
  };
  CHECK_FALSE(merit::tokenizer<NoName>);
}

}  // namespace tokenizer_test
