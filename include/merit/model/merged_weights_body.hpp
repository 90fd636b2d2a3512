// The bodies of MergedWeights, of adapter_files.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/tensor_info.hpp"
#include "merit/model/adapter_files.hpp"
#include "merit/model/tensor_prefixes.hpp"

namespace merit {
inline namespace MERIT_ABI {

MERIT_INLINE MergedWeights::MergedWeights(const std::filesystem::path& folder,
                                          const std::filesystem::path& base, bool in_out)
    : lora_(read_lora(folder)), adapter_(folder, nullptr), base_(detail::open_base(folder, base)) {
  const auto refuse = [&](const std::string& name, const std::string& why) {
    throw DataError(concat(path().string(), ": tensor ", detail::quote(name), ": ", why));
  };
  for (const std::string& name : adapter_.own_names()) {
    if (!detail::is_adapter_tensor(name)) {
      const std::string in_base = name_in_base(name);
      const std::vector<Index>& own = adapter_.find(name)->shape;
      if (!in_base.empty()) {  // rows may be more or less: of labels, or of new tokens
        const std::vector<Index>& there = base_->find(in_base)->shape;
        if (own.size() != there.size() || (own.size() > 1 && own.back() != there.back()))
          refuse(name, concat("has shape ", detail::shape_text(own), ", which does not fit the base's ",
                              detail::quote(in_base), ", ", detail::shape_text(there)));
      }
      replaced_.emplace(in_base.empty() ? name : in_base, name);
      continue;
    }
    const auto part = name.find(".lora_");
    Map map;
    map.module = name.substr(0, part);
    if (!lora_.is_target(map.module))
      refuse(name, "its map is none that target_modules of adapter_config.json names");
    if (!name.substr(part).starts_with(".lora_A.")) {
      if (adapter_.find(map.module + ".lora_A.weight") == nullptr)
        refuse(name, "there is no lora_A beside it");
      continue;
    }
    const std::string in_base = name_in_base(map.module + ".weight");
    if (in_base.empty())
      refuse(name, concat("its map is not among the tensors of the base, ", base_->path().string()));
    map.info = *base_->find(in_base);
    map.in_out = in_out && in_base.find(".c_") != in_base.npos;
    const TensorInfo* const a = adapter_.find(name);
    const TensorInfo* const b = adapter_.find(map.module + ".lora_B.weight");
    if (b == nullptr) refuse(name, "there is no lora_B beside it");
    const std::vector<Index>& w = map.info.shape;
    if (a->shape.size() != 2 || b->shape.size() != 2 || w.size() != 2 || b->shape[1] != a->shape[0] ||
        w[map.in_out ? 0 : 1] != a->shape[1] || w[map.in_out ? 1 : 0] != b->shape[0]) {
      refuse(name,
             concat("has shape ", detail::shape_text(a->shape), ", and lora_B ", detail::shape_text(b->shape),
                    ", which do not fit the base's ", detail::quote(in_base), ", ", detail::shape_text(w)));
    }
    if (const Index rank = lora_.rank_of(map.module); a->shape[0] != rank)
      refuse(name,
             concat("has ", a->shape[0], " rows, expected the rank that adapter_config.json gives, ", rank));
    const TensorInfo* const magnitude = adapter_.find(map.module + ".lora_magnitude_vector");
    if (lora_.dora && (magnitude == nullptr || magnitude->shape != std::vector<Index>{b->shape[0]}))
      refuse(name,
             concat("expected ", b->shape[0], " magnitudes of DoRA beside it",
                    magnitude == nullptr ? "" : concat(", found ", detail::shape_text(magnitude->shape))));
    if (!lora_.dora && magnitude != nullptr)
      refuse(name, "has magnitudes of DoRA beside it, expected use_dora in adapter_config.json to be true");
    if (map.info.dtype && is_quantized(*map.info.dtype)) {
      map.info.dtype = Dtype::f32;
      map.info.dtype_name = "F32";
      map.info.end = map.info.begin + stored_bytes(Dtype::f32, map.info.elements);
    }
    maps_.emplace(in_base, std::move(map));
  }
}

MERIT_INLINE std::string MergedWeights::name_in_base(const std::string& name) const {
  if (base_->find(name) != nullptr) return name;
  const auto dot = name.find('.');
  if (dot != name.npos && base_->find(name.substr(dot + 1)) != nullptr) return name.substr(dot + 1);
  for (const std::string_view prefix : detail::backbone_prefixes) {
    if (std::string other = concat(prefix, name); base_->find(other) != nullptr) return other;
  }
  return {};
}

MERIT_INLINE std::vector<std::string> MergedWeights::names() const {
  std::vector<std::string> result = base_->names();
  std::erase_if(result, [this](const std::string& name) { return adapter_.hides(name); });
  for (const auto& [name, own] : replaced_) result.push_back(name);
  std::ranges::sort(result);
  result.erase(std::unique(result.begin(), result.end()), result.end());
  return result;
}

MERIT_INLINE const TensorInfo* MergedWeights::find(std::string_view name) const {
  if (const auto own = replaced_.find(name); own != replaced_.end()) return adapter_.find(own->second);
  if (const auto map = maps_.find(name); map != maps_.end()) return &map->second.info;
  return adapter_.hides(name) ? nullptr : base_->find(name);
}

MERIT_INLINE std::optional<StoredTensor> MergedWeights::stored(std::string_view name) const {
  if (replaced_.contains(name) || maps_.contains(name)) return std::nullopt;
  return base_->stored(name);
}

template <class T>
void MergedWeights::read_merged(std::string_view name, VectorView<T> out) const {
  if (const auto own = replaced_.find(name); own != replaced_.end()) return adapter_.read(own->second, out);
  base_->read(name, out);
  const auto found = maps_.find(name);
  if (found == maps_.end()) return;
  const Map& map = found->second;
  const auto values = [&](const std::string& tensor) {
    std::vector<double> numbers(adapter_.find(tensor)->elements);
    adapter_.read(tensor, VectorView<double>(numbers));
    return numbers;
  };
  const std::vector<double> a = values(map.module + ".lora_A.weight"),
                            b = values(map.module + ".lora_B.weight");
  const std::vector<double> magnitudes =
      lora_.dora ? values(map.module + ".lora_magnitude_vector") : std::vector<double>();
  const Index rows = map.info.shape[map.in_out ? 1 : 0], columns = map.info.shape[map.in_out ? 0 : 1];
  const Index rank = a.size() / columns;
  const double scale = lora_.scale_of(map.module);
  std::vector<double> row(columns);
  for (Index o = 0; o < rows; ++o) {
    const auto place = [&](Index k) -> T& { return out.data[map.in_out ? k * rows + o : o * columns + k]; };
    for (Index k = 0; k < columns; ++k) row[k] = static_cast<double>(place(k));
    for (Index r = 0; r < rank; ++r) {
      const double scaled = scale * b[o * rank + r];
      for (Index k = 0; k < columns; ++k) row[k] += scaled * a[r * columns + k];
    }
    double gain = 1;
    if (lora_.dora) {
      double square = 0;
      for (const double value : row) square += value * value;
      gain = magnitudes[o] / std::sqrt(square);
    }
    for (Index k = 0; k < columns; ++k) place(k) = static_cast<T>(gain * row[k]);
  }
}

MERIT_INLINE void MergedWeights::read(std::string_view name, VectorView<float> out) const {
  read_merged(name, out);
}
MERIT_INLINE void MergedWeights::read(std::string_view name, VectorView<double> out) const {
  read_merged(name, out);
}

}  // namespace MERIT_ABI
}  // namespace merit
