// Runs one of the fuzz targets without libFuzzer, for a short time: the seeds as they are, and changes of
// them drawn from a fixed seed. Usage: fuzz_short TARGET SECONDS FILE_OR_FOLDER...
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "merit/core/rng.hpp"

// All targets are compiled together: what they read shares most of its code.
#define LLVMFuzzerTestOneInput gguf_fuzz
#include "gguf_fuzz.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput safetensors_fuzz
#include "safetensors_fuzz.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput torch_fuzz
#include "torch_fuzz.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput tokenizer_fuzz
#include "tokenizer_fuzz.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput vocabulary_fuzz
#include "vocabulary_fuzz.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput template_fuzz
#include "template_fuzz.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput records_fuzz
#include "records_fuzz.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput model_fuzz
#include "model_fuzz.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput card_fuzz
#include "card_fuzz.cpp"
#undef LLVMFuzzerTestOneInput

namespace {

using Bytes = std::vector<std::uint8_t>;

void add_seeds(const std::filesystem::path& path, std::vector<Bytes>& seeds) {
  constexpr std::size_t longest = std::size_t{1} << 15;
  if (std::filesystem::is_directory(path)) {
    std::vector<std::filesystem::path> entries;
    for (const auto& entry : std::filesystem::directory_iterator(path)) entries.push_back(entry.path());
    std::sort(entries.begin(), entries.end());
    for (const auto& entry : entries) add_seeds(entry, seeds);
    return;
  }
  std::ifstream in(path, std::ios::binary);
  Bytes bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!bytes.empty() && bytes.size() <= longest) seeds.push_back(std::move(bytes));
}

/// One to four changes: bytes replaced, doubled or taken away, a piece of another seed put in, the end cut
/// off.
Bytes changed(const std::vector<Bytes>& seeds, merit::Rng& rng) {
  Bytes bytes = seeds[rng.below(seeds.size())];
  const auto place = [&] { return static_cast<std::ptrdiff_t>(rng.below(bytes.size() + 1)); };
  for (std::uint64_t i = rng.below(4) + 1; i-- > 0 && !bytes.empty();) {
    const auto at =
        bytes.begin() + std::min<std::ptrdiff_t>(place(), static_cast<std::ptrdiff_t>(bytes.size()) - 1);
    switch (rng.below(5)) {
      case 0: *at = static_cast<std::uint8_t>(rng.next()); break;
      case 1: *at = static_cast<std::uint8_t>(*at ^ (1u << rng.below(8))); break;
      case 2:
        bytes.erase(
            at, at + std::min<std::ptrdiff_t>(bytes.end() - at, static_cast<std::ptrdiff_t>(rng.below(32))));
        break;
      case 3: {
        const Bytes& other = seeds[rng.below(seeds.size())];
        const auto begin = other.begin() + static_cast<std::ptrdiff_t>(rng.below(other.size()));
        const auto end =
            begin + std::min<std::ptrdiff_t>(other.end() - begin, static_cast<std::ptrdiff_t>(rng.below(64)));
        bytes.insert(at, begin, end);
        break;
      }
      default: bytes.erase(at, bytes.end());
    }
  }
  return bytes;
}

}  // namespace

int main(int count, char** arguments) {
  const std::map<std::string, int (*)(const std::uint8_t*, std::size_t)> targets = {
      {"gguf", gguf_fuzz},
      {"safetensors", safetensors_fuzz},
      {"torch", torch_fuzz},
      {"tokenizer", tokenizer_fuzz},
      {"vocabulary", vocabulary_fuzz},
      {"template", template_fuzz},
      {"records", records_fuzz},
      {"model", model_fuzz},
      {"card", card_fuzz}};
  const auto target = count < 4 ? targets.end() : targets.find(arguments[1]);
  if (target == targets.end()) {
    std::fprintf(stderr, "usage: %s TARGET SECONDS FILE_OR_FOLDER...\n", arguments[0]);
    return 2;
  }
  std::vector<Bytes> seeds;
  for (int i = 3; i < count; ++i) add_seeds(arguments[i], seeds);
  if (seeds.empty()) {
    std::fprintf(stderr, "%s: there are no seeds\n", arguments[0]);
    return 1;
  }
  for (const Bytes& seed : seeds) target->second(seed.data(), seed.size());
  merit::Rng rng(20261128);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(std::atof(arguments[2]));
  std::uint64_t runs = seeds.size();
  for (; std::chrono::steady_clock::now() < end; ++runs) {
    const Bytes input = changed(seeds, rng);
    target->second(input.data(), input.size());
  }
  std::printf("%llu inputs from %zu seeds: each was read or refused\n", static_cast<unsigned long long>(runs),
              seeds.size());
  return 0;
}
