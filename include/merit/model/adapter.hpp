// Adapters in a model's parameters: their tensors beside those of its linear maps, what is trained with them, and the maps
// with an adapter merged into them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/hash.hpp"
#include "merit/model/lora.hpp"
#include "merit/tape/parameters.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// "model.layers.0.mlp.up_proj" of its tensor's name; empty: no weight.
inline std::string_view module_of(std::string_view tensor) {
  constexpr std::string_view ending = ".weight";
  return tensor.ends_with(ending) ? tensor.substr(0, tensor.size() - ending.size()) : std::string_view();
}

/// The module of a linear map as its files and PEFT call it: of one that files keep as rows of a larger matrix, that.
inline std::string_view module_of(const ParameterSpec& spec) {
  return module_of(spec.stored_in.present() ? std::string_view(spec.stored_in.tensor) : spec.name);
}
/// Whether a tensor is a linear map that can have an adapter: what routes tokens to experts is read by another operation.
inline bool takes_adapter(const ParameterSpec& spec) {
  return spec.hidden && !spec.name.ends_with(".mlp.gate.weight");
}

/// The tensor of a map in an adapter, as PEFT calls it: of the usual adapter without its name, as in its files.
inline std::string adapter_tensor(std::string_view module, std::string_view part,
                                  const std::string& adapter) {
  const std::string of = adapter == "default" ? "" : "." + adapter;
  return part == "lora_magnitude_vector" ? concat(module, ".", part, of)
                                         : concat(module, ".", part, of, ".weight");
}
/// Whether a parameter is a part of an adapter.
inline bool is_adapter_tensor(std::string_view name) {
  return name.find(".lora_") != name.npos;
}

/// How the parameters' tensors are joined: the first behind `first` that is not adjacent.
template <class B>
Index end_of_group(const Parameters<B>& parameters, Index first, Index end) {
  Index next = first + 1;
  while (next < end && parameters.spec(next).adjacent) ++next;
  return next;
}

/// Throws ConfigError where an adapter's targets are not there, naming what is.
template <class B>
void check_targets(const Parameters<B>& parameters, Index end, const Lora& lora) {
  std::set<std::string> maps;  // the last parts of their names
  std::vector<std::string_view> modules;
  for (Index i = 0; i < end; ++i) {
    if (!takes_adapter(parameters.spec(i))) continue;
    modules.push_back(module_of(parameters.spec(i)));
    maps.emplace(modules.back().substr(modules.back().rfind('.') + 1));
  }
  std::string list;
  for (const std::string& map : maps) list += (list.empty() ? "" : ", ") + map;
  if (maps.empty())
    throw ConfigError("lora: the model has no linear maps inside layers, to which adapters belong");
  const auto check = [&](const char* what, const std::string& name) {
    if (std::ranges::none_of(modules, [&](std::string_view module) { return ends_as(module, name); }))
      throw ConfigError(
          concat("lora: ", what, " \"", name, "\" is no linear map inside a layer, expected one of: ", list));
  };
  for (const std::string& target : lora.targets) check("the target", target);
  for (const auto& entry : lora.rank_pattern) check("rank_pattern:", entry.first);
  for (const auto& entry : lora.alpha_pattern) check("alpha_pattern:", entry.first);
}

/// Declares the tensors of adapter `number` for the maps among the first `end` tensors; their names are added to
/// `declared`. B starts at zero, so that a new adapter changes nothing, and A as wide as in PEFT. Maps that files keep as
/// one matrix (Phi-3's qkv_proj) are one map of PEFT's: they have one A, and each has its rows of B.
template <class B>
void attach_adapter(Parameters<B>& parameters, Index number, const Adapter& adapter, Index end,
                    std::set<std::string>& declared) {
  const Lora& lora = adapter.lora;
  validate(lora);
  check_targets(parameters, end, lora);
  for (Index first = 0; first < end; first = end_of_group(parameters, first, end)) {
    std::vector<std::uint32_t> maps;
    for (Index i = first; i < end_of_group(parameters, first, end); ++i) {
      const ParameterSpec& spec = parameters.spec(i);
      if (takes_adapter(spec) && lora.is_target(module_of(spec)))
        maps.push_back(static_cast<std::uint32_t>(i));
    }
    const auto declare = [&](std::string_view module, const char* part, std::vector<Index> shape, Init init,
                             bool adjacent, const StoredRows& stored = {}) {
      ParameterSpec spec;
      spec.name = adapter_tensor(module, part, adapter.name);
      spec.shape = std::move(shape);
      spec.stored_in = stored;
      spec.init = init;
      spec.adjacent = adjacent;
      spec.decay = spec.shape.size() == 2;
      declared.insert(spec.name);
      return parameters.declare(std::move(spec));
    };
    std::vector<LowRankPath> paths;
    std::string before;  // the module of the last one
    for (const std::uint32_t map : maps) {
      // Copied: what is declared below may move the specs.
      const ParameterSpec spec = parameters.spec(map);
      const std::string module(module_of(spec));
      const Index in = spec.shape[spec.in_out ? 0 : 1];
      const bool same = !paths.empty() && module == before;
      LowRankPath path;
      // One below the other, so that one product reads them all.
      path.a = same ? paths.back().a
                    : declare(module, "lora_A", {lora.rank_of(module), in},
                              Init::normal(1 / std::sqrt(3.0 * static_cast<double>(in))), !paths.empty());
      path.scale = lora.scale_of(module);
      path.dropout = lora.dropout;
      path.stream = fnv1a(spec.stored_in.present() ? spec.stored_in.tensor : spec.name);
      paths.push_back(path);
      before = module;
    }
    for (Index i = 0; i < maps.size(); ++i) {
      const ParameterSpec spec = parameters.spec(maps[i]);
      const Index out = spec.shape[spec.in_out ? 1 : 0], rank = parameters.spec(paths[i].a).shape[0];
      const std::string module(module_of(spec));
      const bool is_part = spec.stored_in.present() && spec.stored_in.rows != out;
      const std::string_view own = is_part ? module_of(spec.name) : module;
      const auto rows_in = [&](const char* ending) {
        StoredRows rows = is_part ? spec.stored_in : StoredRows{};
        if (is_part) rows.tensor = concat(module, ending);
        return rows;
      };
      paths[i].b = declare(own, "lora_B", {out, rank}, Init::zeros(), false, rows_in(".lora_B.weight"));
      if (lora.dora)
        paths[i].magnitude = declare(own, "lora_magnitude_vector", {out}, Init::ones(), false,
                                     rows_in(".lora_magnitude_vector"));
      parameters.attach(number, maps[i], paths[i]);
    }
  }
}

/// Whether a tensor of the base is trained with an adapter, by its settings.
template <class B>
bool is_trained_with(const Parameters<B>& parameters, const ParameterSpec& spec, const Lora& lora) {
  const std::string module = spec.name.substr(0, spec.name.rfind('.'));
  if (std::ranges::any_of(lora.also_trained, [&](const std::string& name) { return ends_as(module, name); }))
    return true;
  if (!spec.name.ends_with(".bias") || lora.bias == LoraBias::none) return false;
  if (lora.bias == LoraBias::all) return true;
  const Index weight = parameters.find(concat(module, ".weight"));
  return weight != parameters.tensor_count() && takes_adapter(parameters.spec(weight)) &&
         lora.is_target(module_of(parameters.spec(weight)));
}

/// Throws ConfigError where of adjacent tensors, which are trained together, some are to be trained.
template <class B>
void check_adjacent(const Parameters<B>& parameters) {
  for (Index i = 1; i < parameters.tensor_count(); ++i) {
    const ParameterSpec& one = parameters.spec(i - 1);
    const ParameterSpec& next = parameters.spec(i);
    if (!next.adjacent || one.trainable == next.trainable) continue;
    throw ConfigError(
        concat("lora: of ", one.name, " and ", next.name,
               ", which the model computes as one, the settings train one alone, expected both or none: "
               "name both maps as targets, or let bias be none or all"));
  }
}

/// Throws ConfigError where a name in the settings of an adapter that is trained changes nothing: a rank or an alpha of maps
/// that are no targets, or a module to be trained whole that is none.
template <class B>
void check_names(const Parameters<B>& parameters, const Lora& lora) {
  const auto any = [&](const auto& holds) {
    for (Index i = 0; i < parameters.tensor_count(); ++i)
      if (holds(parameters.spec(i))) return true;
    return false;
  };
  const auto check_pattern = [&](const char* what, const std::string& name) {
    const bool used = any([&](const ParameterSpec& spec) {
      return takes_adapter(spec) && ends_as(module_of(spec), name) && lora.is_target(module_of(spec));
    });
    if (!used)
      throw ConfigError(concat("lora: ", what, " names \"", name, "\", which is none of the targets"));
  };
  for (const auto& entry : lora.rank_pattern) check_pattern("rank_pattern", entry.first);
  for (const auto& entry : lora.alpha_pattern) check_pattern("alpha_pattern", entry.first);
  for (const std::string& name : lora.also_trained) {
    const bool there = any([&](const ParameterSpec& spec) {
      return ends_as(std::string_view(spec.name).substr(0, spec.name.rfind('.')), name);
    });
    if (!there)
      throw ConfigError(
          concat("lora: \"", name, "\", which is to be trained too, is no module of the model"));
  }
}

/// Declares the adapters of a model whose backbone has the first `backbone_tensors` tensors and its head the others. A model
/// that is trained has one adapter at most; then it, the head, and what its settings name are trained, and nothing else.
/// The first adapter is in use.
template <class B>
void attach_adapters(Parameters<B>& parameters, std::span<const Adapter> adapters, Index backbone_tensors,
                     bool scores_only) {
  if (adapters.empty()) return;
  if (adapters.size() > 1 && !scores_only)
    throw ConfigError("lora: several adapters are given to a model that is trained, expected one");
  std::set<std::string> trained;
  const Index end = parameters.tensor_count();
  for (Index i = backbone_tensors; i < end; ++i) trained.insert(parameters.spec(i).name);
  for (Index n = 0; n < adapters.size(); ++n) {
    for (Index before = 0; before < n; ++before) {
      if (adapters[before].name == adapters[n].name)
        throw ConfigError(concat("lora: two adapters are called \"", adapters[n].name, "\""));
    }
    attach_adapter(parameters, n, adapters[n], backbone_tensors, trained);
  }
  parameters.use_adapter(0);
  if (scores_only) return;
  check_names(parameters, adapters[0].lora);
  parameters.freeze([&](const ParameterSpec& spec) {
    return trained.contains(spec.name) || is_trained_with(parameters, spec, adapters[0].lora);
  });
  check_adjacent(parameters);
}

/// W and scale · B·A of a map, row by row of the outputs, in double.
template <class B>
struct MapOnHost {
  Index out, in;
  bool in_out;
  std::vector<double> weight, delta;  // (out, in)

  MapOnHost(const Parameters<B>& parameters, std::uint32_t map, const LowRankPath& path)
      : out(parameters.spec(path.b).shape[0]),
        in(parameters.spec(path.a).shape[1]),
        in_out(parameters.spec(map).in_out) {
    const auto values = [&](std::uint32_t tensor) {
      std::vector<typename B::Stat> host(parameters.element_count(tensor));
      parameters.get(tensor, host.data());
      return host;
    };
    const auto w = values(map), a = values(path.a), b = values(path.b);
    const Index rank = parameters.spec(path.a).shape[0];
    weight.resize(out * in);
    delta.resize(out * in);
    for (Index o = 0; o < out; ++o) {
      for (Index k = 0; k < in; ++k)
        weight[o * in + k] = static_cast<double>(w[in_out ? k * out + o : o * in + k]);
      for (Index r = 0; r < rank; ++r) {
        const double scaled = path.scale * static_cast<double>(b[o * rank + r]);
        for (Index k = 0; k < in; ++k) delta[o * in + k] += scaled * static_cast<double>(a[r * in + k]);
      }
    }
  }
  /// The length of row o of W + scale · B·A.
  double norm(Index o) const {
    double square = 0;
    for (Index k = 0; k < in; ++k) {
      const double value = weight[o * in + k] + delta[o * in + k];
      square += value * value;
    }
    return std::sqrt(square);
  }
  void put_back(Parameters<B>& parameters, std::uint32_t map) const {
    using T = typename B::Stat;
    parameters.set_by(map, [&](VectorView<T> place) {
      for (Index o = 0; o < out; ++o)
        for (Index k = 0; k < in; ++k)
          place[in_out ? k * out + o : o * in + k] = static_cast<T>(weight[o * in + k]);
    });
  }
};

/// The magnitudes of an adapter that has none yet become the lengths of its maps' rows, as DoRA starts.
template <class B>
void start_magnitudes(Parameters<B>& parameters, Index adapter, const std::set<Index>& without) {
  using T = typename B::Stat;
  for (const auto& [map, path] : parameters.paths(adapter)) {
    if (!path.has_magnitude() || !without.contains(path.magnitude)) continue;
    const MapOnHost<B> host(parameters, map, path);
    std::vector<T> lengths(host.out);
    for (Index o = 0; o < host.out; ++o) lengths[o] = static_cast<T>(host.norm(o));
    parameters.set(path.magnitude, lengths.data());
  }
}
/// The same of a model whose parameters were all drawn.
template <class B>
void start_magnitudes(Parameters<B>& parameters) {
  std::set<Index> all;
  for (Index i = 0; i < parameters.tensor_count(); ++i) all.insert(i);
  for (Index n = 0; n < parameters.adapter_count(); ++n) start_magnitudes(parameters, n, all);
}

}  // namespace detail

/// Writes W + scale · B·A, with DoRA its rows at their magnitudes, in the place of each W that has a path in the adapter in
/// use, which is then merged and no longer in use: scores stay, and cost what the base's do. Weights held as a file
/// stores them become numbers of the parameters' type. Throws UsageError where no adapter is in use.
template <class B>
void merge_adapter(Parameters<B>& parameters) {
  const Index adapter = parameters.adapter_in_use();
  if (adapter == LowRankMaps::no_adapter)
    throw UsageError("merge: no adapter is in use, expected one to merge");
  for (const auto& [map, path] : parameters.paths(adapter)) {
    detail::MapOnHost<B> host(parameters, map, path);
    std::vector<typename B::Stat> magnitudes(host.out);
    if (path.has_magnitude()) parameters.get(path.magnitude, magnitudes.data());
    path.norms = {};
    for (Index o = 0; o < host.out; ++o) {
      path.norms.norms.push_back(host.norm(o));
      const double gain =
          path.has_magnitude() ? static_cast<double>(magnitudes[o]) / path.norms.norms[o] : 1.0;
      for (Index k = 0; k < host.in; ++k) {
        double& w = host.weight[o * host.in + k];
        w = gain * (w + host.delta[o * host.in + k]);
      }
    }
    host.put_back(parameters, map);
  }
  parameters.set_merged(adapter);
}

/// Takes the merged adapter out of the weights again, which are then what they were but for rounding, and in use. Throws
/// UsageError where none is merged, or a magnitude of 0 has left nothing of a row.
template <class B>
void unmerge_adapter(Parameters<B>& parameters) {
  const Index adapter = parameters.merged_adapter();
  if (adapter == LowRankMaps::no_adapter) throw UsageError("unmerge: no adapter is merged");
  const auto magnitudes_of = [&](const LowRankPath& path) {
    std::vector<typename B::Stat> values(path.has_magnitude() ? parameters.element_count(path.magnitude) : 0);
    if (path.has_magnitude()) parameters.get(path.magnitude, values.data());
    return values;
  };
  for (const auto& [map, path] : parameters.paths(adapter)) {
    for (const auto value : magnitudes_of(path)) {
      if (value == 0)
        throw UsageError(
            concat("unmerge: a magnitude of ", parameters.spec(map).name,
                   " is 0, so that nothing is left of its row: expected the base to be loaded again"));
    }
  }
  for (const auto& [map, path] : parameters.paths(adapter)) {
    detail::MapOnHost<B> host(parameters, map, path);
    const auto magnitudes = magnitudes_of(path);
    for (Index o = 0; o < host.out; ++o) {
      const double gain = magnitudes.empty() ? 1.0 : static_cast<double>(magnitudes[o]) / path.norms.norms[o];
      for (Index k = 0; k < host.in; ++k) {
        double& w = host.weight[o * host.in + k];
        w = w / gain - host.delta[o * host.in + k];
      }
    }
    host.put_back(parameters, map);
    path.norms = {};
  }
  parameters.set_merged(LowRankMaps::no_adapter);
  parameters.use_adapter(adapter);
}

}  // namespace MERIT_ABI
}  // namespace merit
