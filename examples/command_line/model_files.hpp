// What a model is, by the bytes of its files: the same wherever the folder lies, another one when a number in it is.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "merit/core/hash.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/run/saved_model.hpp"

namespace programs {

/// Size and hash of a file, all of which is read: eight bytes at a time, as weights are large.
inline std::string file_identity(const std::filesystem::path& path) {
  const merit::InputFile file(path);
  std::vector<char> block(std::size_t{1} << 20);
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (merit::Index offset = 0; offset < file.size(); offset += block.size()) {
    const merit::Index count = std::min<merit::Index>(block.size(), file.size() - offset);
    std::fill(block.begin() + static_cast<std::ptrdiff_t>(count), block.end(), '\0');
    file.read_at(offset, block.data(), count);
    for (merit::Index i = 0; i < count; i += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, block.data() + i, sizeof word);
      hash = (hash ^ word) * 0x100000001B3u;
      hash ^= hash >> 29;  // the product alone moves nothing downwards
    }
  }
  return merit::concat(file.size(), " bytes ", hash);
}

/// The files from which a model is opened, each with what it holds: of its folder, of its base and adapters, and of a
/// tokenizer that was named. Throws IoError.
inline merit::Json model_files(const merit::SavedModel& saved, const std::string& tokenizer) {
  namespace fs = std::filesystem;
  constexpr std::array<std::string_view, 10> read{".json", ".safetensors", ".bin",   ".pt",    ".pth",
                                                  ".txt",  ".gguf",        ".model", ".jinja", ".tiktoken"};
  merit::Json files = merit::Json::object();
  const auto add = [&](const std::string& of, const fs::path& place) {
    std::error_code error;
    if (!fs::is_directory(place, error)) {
      if (fs::is_regular_file(place, error)) files[of] = file_identity(place);
      return;
    }
    for (fs::directory_iterator entry(place, error), end; !error && entry != end; entry.increment(error)) {
      const std::string extension = entry->path().extension().string();
      const bool is_read = std::find(read.begin(), read.end(), extension) != read.end();
      if (!is_read || !entry->is_regular_file()) continue;
      files[of + "/" + entry->path().filename().string()] = file_identity(entry->path());
    }
    if (error) throw merit::IoError("cannot list " + place.string() + ": " + error.message());
  };
  add("model", saved.place);
  if (saved.base != saved.place && !saved.base.empty()) add("base", saved.base);
  for (const merit::AdapterPlace& adapter : saved.adapter_places) {
    if (adapter.folder != saved.place) add("adapter " + adapter.name, adapter.folder);
  }
  if (!tokenizer.empty()) add("tokenizer", tokenizer);
  // Those of tokenizer and template may lie in folders below.
  for (const merit::SavedFile& file : saved.files)
    files["text/" + file.name] = merit::concat(file.bytes.size(), " bytes ", merit::fnv1a(file.bytes));
  return files;
}

}  // namespace programs
