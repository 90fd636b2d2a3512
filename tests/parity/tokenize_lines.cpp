// Encodes JSON lines: a string a line in, {"ids": […], "offsets": [[begin, end], …]} in code points out. For
// encodings.py beside it. With --time N, encodes all lines N times and prints seconds instead.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "merit/io/json.hpp"
#include "merit/tokenizer/pretrained_tokenizer.hpp"

namespace {

void print(const std::string& text, const merit::PretrainedTokenizer& tokenizer) {
  std::vector<merit::TokenSpan> spans;
  tokenizer.encode(text, spans);
  std::vector<merit::Token> ids;
  tokenizer.encode(text, ids);
  merit::Json out = {{"ids", ids}, {"offsets", merit::Json::array()}};
  for (merit::Index i = 0; i < spans.size(); ++i) {
    if (ids.size() != spans.size() || ids[i] != spans[i].id) {
      throw merit::DataError("the ids with offsets differ from those without");
    }
  }
  for (const auto& span : merit::in_code_points(text, spans))
    out["offsets"].push_back({span.begin, span.end});
  out["text"] = tokenizer.decode({ids.data(), ids.size()});
  out["plain"] = tokenizer.decode({ids.data(), ids.size()}, true);
  std::cout << out.dump() << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc < 2) throw merit::UsageError("usage: tokenize_lines TOKENIZER.json [--time N] < lines");
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    const merit::PretrainedTokenizer tokenizer(merit::read_json(argv[1]), argv[1]);
    const std::chrono::duration<double> loading = Clock::now() - begin;
    const int rounds = argc == 4 && std::string_view(argv[2]) == "--time" ? std::atoi(argv[3]) : 0;
    std::vector<std::string> lines;
    for (std::string line; std::getline(std::cin, line);) {
      lines.push_back(merit::parse_json(line, "standard input").get<std::string>());
    }
    if (rounds == 0) {
      for (const auto& line : lines) print(line, tokenizer);
      return 0;
    }
    std::vector<double> seconds;
    merit::Index tokens = 0;
    for (int round = 0; round < rounds; ++round) {
      const auto start = Clock::now();
      std::vector<merit::Token> ids;
      for (const auto& line : lines) {
        ids.clear();
        tokenizer.encode(line, ids);
        tokens += ids.size();
      }
      seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
    std::cout << merit::Json{{"loading", loading.count()}, {"seconds", seconds}, {"tokens", tokens}}.dump()
              << '\n';
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
