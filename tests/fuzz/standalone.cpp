// Runs a fuzz target without libFuzzer, for a short time: the seeds as they are, and changes of them drawn
// from a fixed seed. Usage: TARGET SECONDS FILE_OR_FOLDER...
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "merit/core/rng.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size);

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
  if (count < 3) {
    std::fprintf(stderr, "usage: %s SECONDS FILE_OR_FOLDER...\n", arguments[0]);
    return 2;
  }
  std::vector<Bytes> seeds;
  for (int i = 2; i < count; ++i) add_seeds(arguments[i], seeds);
  if (seeds.empty()) {
    std::fprintf(stderr, "%s: there are no seeds\n", arguments[0]);
    return 1;
  }
  for (const Bytes& seed : seeds) LLVMFuzzerTestOneInput(seed.data(), seed.size());
  merit::Rng rng(20261128);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(std::atof(arguments[1]));
  std::uint64_t runs = seeds.size();
  for (; std::chrono::steady_clock::now() < end; ++runs) {
    const Bytes input = changed(seeds, rng);
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%llu inputs from %zu seeds: each was read or refused\n", static_cast<unsigned long long>(runs),
              seeds.size());
  return 0;
}
