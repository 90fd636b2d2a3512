// The bodies of gguf_config.hpp.
#pragma once

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/file.hpp"
#include "merit/io/gguf.hpp"
#include "merit/io/json.hpp"
#include "merit/model/gguf_config.hpp"
#include "merit/model/gguf_families.hpp"
#include "merit/model/gguf_fields.hpp"
#include "merit/model/gguf_layouts.hpp"
#include "merit/model/weight_files.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE std::optional<std::filesystem::path> find_gguf(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored)) {
    return has_gguf_name(path) ? std::optional(path) : std::nullopt;
  }
  if (holds_safetensors(path) || holds_torch_file(path)) return std::nullopt;
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    if (has_gguf_name(entry->path())) found.push_back(entry->path());
  }
  if (found.empty()) return std::nullopt;
  if (found.size() > 1) {
    std::sort(found.begin(), found.end());
    std::string names;
    for (const fs::path& file : found) {
      names += (names.empty() ? "" : ", ") + detail::quote(file.filename().string());
    }
    throw DataError(concat(path.string(), ": holds ", found.size(), " GGUF files (", names,
                           "), expected one: name the file itself"));
  }
  return found.front();
}

MERIT_INLINE Json gguf_config_json(const GgufHead& file) {
  const detail::GgufFields fields(file);
  const std::string& kind = fields.architecture();
  if (detail::find_gguf_layout(kind) == nullptr) {
    std::string known;
    for (const detail::GgufLayout& layout : detail::gguf_layouts)
      known += concat(known.empty() ? "" : ", ", layout.architecture);
    throw ConfigError(concat(file.path().string(), ": metadata \"general.architecture\": expected one of ",
                             known, ", found ", detail::quote(kind)));
  }
  if (const auto parts = file.optional<Index>("split.count"); parts && *parts > 1) {
    throw ConfigError(concat(file.path().string(), ": one of ", *parts,
                             " files of a split model, expected a whole one: join them first"));
  }
  detail::check_gguf_fields(fields);
  const bool encoder = kind == "bert" || kind == "modern-bert";
  if (fields.optional<bool>("attention.causal").value_or(!encoder) == encoder)
    fields.refuse("attention.causal", encoder ? "false" : "true");
  if (kind == "gpt2") return detail::gguf_gpt2_json(fields);
  if (kind == "gptneox") return detail::gguf_neox_json(fields);
  if (kind == "bert") return detail::gguf_bert_json(fields);
  if (kind == "modern-bert") return detail::gguf_modern_bert_json(fields);
  return detail::gguf_llama_json(fields);
}

}  // namespace MERIT_ABI
}  // namespace merit
