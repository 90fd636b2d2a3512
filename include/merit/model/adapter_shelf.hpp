// Several adapters of one base, one of which is in use: each with its maps, which lie side by side among the parameters, and
// with the tensors of the base that it replaces, of which heads are one, which are put in their place when it is chosen.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/io/weight_source.hpp"
#include "merit/model/adapter.hpp"
#include "merit/model/adapter_files.hpp"
#include "merit/model/gguf_weights.hpp"
#include "merit/model/load_options.hpp"
#include "merit/model/stored_rows.hpp"
#include "merit/tape/parameters.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// An adapter's name, and where it lies.
struct AdapterPlace {
  std::string name;
  std::filesystem::path folder;
};

template <class B>
class AdapterShelf {
 public:
  using T = typename B::Stat;

  /// Reads adapters into a model that was made with as many, and was loaded from the first of them and their base. Throws
  /// DataError about a tensor that is missing or has another shape.
  void load(Parameters<B>& parameters, std::span<const AdapterPlace> places, const LoadOptions& options) {
    places_.assign(places.begin(), places.end());
    const std::filesystem::path base = base_of(places.front().folder, options.base);
    std::vector<std::unique_ptr<AdapterWeights>> sources;
    for (const AdapterPlace& place : places)
      sources.push_back(std::make_unique<AdapterWeights>(place.folder, open_weights(base)));
    for (Index n = 1; n < places.size(); ++n) {
      for (const auto& [map, path] : parameters.paths(n)) {
        for (const std::uint32_t i : {path.a, path.b, path.magnitude}) {
          if (i == LowRankPath::none) continue;
          std::string name = parameters.spec(i).name;
          const auto at = name.rfind("." + places[n].name);
          set(parameters, i, *sources[n], name.erase(at, places[n].name.size() + 1));
        }
      }
    }
    replaced_.assign(places.size(), {});
    for (Index i = 0; i < parameters.tensor_count(); ++i) {
      if (detail::is_adapter_tensor(parameters.spec(i).name)) continue;
      std::vector<std::string> names = detail::published_names(parameters.spec(i).name);
      if (const std::string published = detail::published_as(options, names.front()); !published.empty())
        names = {published};
      if (const StoredRows& rows = parameters.spec(i).stored_in; rows.present())
        names.insert(names.begin(), rows.tensor);
      bool is_replaced = false;
      for (const std::string& name : names) {
        for (const auto& source : sources) is_replaced = is_replaced || source->is_own(name);
      }
      if (!is_replaced) continue;
      for (Index n = 0; n < places.size(); ++n) {
        std::string found;
        for (const std::string& name : names) {
          if (found.empty() && sources[n]->find(name) != nullptr) found = name;
        }
        if (found.empty()) {
          throw DataError(concat(places[n].folder.string(), ": there is no tensor ",
                                 detail::quote(names.front()), ", which another of the adapters has"));
        }
        replaced_[n][i] = values(parameters, i, *sources[n], found);
      }
    }
  }

  /// From now on the model is its base with the adapter of that name. Throws ConfigError that lists the names.
  void use(Parameters<B>& parameters, const std::string& name) const {
    if (parameters.merged_adapter() != LowRankMaps::no_adapter)
      throw UsageError(
          "another adapter is merged into the weights: expected unmerge_adapter() before one is chosen");
    std::string list;
    for (Index n = 0; n < places_.size(); ++n) {
      list += (list.empty() ? "" : ", ") + places_[n].name;
      if (places_[n].name != name) continue;
      for (const auto& [i, host] : replaced_[n]) parameters.set(i, host.data());
      return parameters.use_adapter(n);
    }
    throw ConfigError(concat("there is no adapter \"", name, "\", expected ",
                             list.empty() ? "none: the model has no adapters" : "one of: " + list));
  }

 private:
  static std::vector<T> values(const Parameters<B>& parameters, Index i, const WeightSource& source,
                               const std::string& name) {
    const ParameterSpec& spec = parameters.spec(i);
    const std::string& stored = spec.stored_in.tensor;
    const bool in_larger = spec.stored_in.present() && source.find(stored) != nullptr;
    const TensorInfo* tensor = source.find(in_larger ? stored : name);
    const std::vector<Index> shape = in_larger ? detail::shape_in_file(spec) : spec.shape;
    if (tensor == nullptr || tensor->shape != shape) {
      throw DataError(
          concat(source.path().string(), ": tensor ", detail::quote(in_larger ? stored : name), " ",
                 tensor == nullptr ? "is not there" : "has shape " + detail::shape_text(tensor->shape),
                 ", expected one of shape ", detail::shape_text(shape)));
    }
    std::vector<T> host(parameters.element_count(i));
    if (in_larger) {
      detail::read_stored_rows(source, stored, spec, VectorView<T>(host));
    } else {
      source.read(name, VectorView<T>(host));
    }
    return host;
  }
  static void set(Parameters<B>& parameters, Index i, const WeightSource& source, const std::string& name) {
    parameters.set(i, values(parameters, i, source, name).data());
  }

  std::vector<AdapterPlace> places_;
  std::vector<std::map<Index, std::vector<T>>> replaced_;  // by adapter and tensor
};

}  // namespace MERIT_ABI
}  // namespace merit
