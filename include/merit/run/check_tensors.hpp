// Whether the tensors of a source of weights are those that a configuration says.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "merit/backend/reference/reference_backend.hpp"
#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/tensor_info.hpp"
#include "merit/io/weight_source.hpp"
#include "merit/model/hf_config.hpp"
#include "merit/model/load_options.hpp"
#include "merit/model/stored_rows.hpp"
#include "merit/tape/parameters.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The first setting in which two backbones differ and by which scores would; nothing where there is none.
inline std::optional<std::string> different_setting(BackboneConfig a, BackboneConfig b) {
  for (BackboneConfig* const config : {&a, &b}) {
    if (auto* const gpt2 = std::get_if<Gpt2>(config)) gpt2->intermediate_size = gpt2->inner_width();
  }
  return std::visit(
      [&]<class Backbone>(const Backbone& backbone) -> std::optional<std::string> {
        const Backbone* const other = std::get_if<Backbone>(&b);
        if (other == nullptr) return "model_type";
        std::optional<std::string> found;
        Backbone::fields([&](const auto& field) {
          for (const std::string_view start : {"init_deviation", "unembedding", "tied_embedding"}) {
            if (field.name == start) return;  // changes no score, or is known by the tensors
          }
          if (!found && backbone.*field.member != other->*field.member) found = field.name;
        });
        return found;
      },
      a);
}

/// Throws DataError where a tensor of the backbone is missing or has another shape, or one is of a layer that it does not
/// have. `said_by` names what says how many there are.
inline void check_tensors(const BackboneConfig& backbone, const WeightSource& weights,
                          std::string_view layers_begin, const std::string& said_by) {
  const std::string where = weights.path().string();
  std::set<std::string> used;
  std::visit(
      [&]<class Backbone>(const Backbone& settings) {
        using B = ReferenceBackend<float>;
        B::Handle handle{B{}};
        Parameters<B> declared(handle);  // and never allocated
        [[maybe_unused]] const typename Backbone::template Bound<B> bound(settings, declared);
        for (Index i = 0; i < declared.tensor_count(); ++i) {
          const ParameterSpec& spec = declared.spec(i);
          const TensorInfo* tensor = nullptr;
          std::vector<Index> shape = spec.shape;
          if (spec.stored_in.present()) {
            for (const std::string& name : published_names(spec.stored_in.tensor)) {
              if (tensor == nullptr) tensor = weights.find(name);
            }
            if (tensor != nullptr) shape = shape_in_file(spec);
          }
          for (const std::string& name : published_names(spec.name)) {
            if (tensor == nullptr) tensor = weights.find(name);
          }
          if (tensor == nullptr) {
            throw DataError(concat(where, ": there is no tensor ", quote(spec.name),
                                   ", expected one of shape ", shape_text(shape), " by what ", said_by,
                                   " says"));
          }
          if (tensor->shape != shape) {
            throw DataError(concat(where, ": tensor ", quote(tensor->name), " has shape ",
                                   shape_text(tensor->shape), ", expected ", shape_text(shape), " by what ",
                                   said_by, " says"));
          }
          used.insert(tensor->name);
        }
      },
      backbone);
  for (const std::string& name : weights.names()) {
    if (used.contains(name) || is_known_extra(name) || !name.starts_with(layers_begin)) continue;
    throw DataError(concat(where, ": tensor ", quote(name), " is none of the model that ", said_by, " says"));
  }
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
