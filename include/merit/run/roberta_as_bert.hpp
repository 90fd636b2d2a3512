// RoBERTa's weights as BERT's, which is how GGUF files have them: llama.cpp counts positions from 0.
#pragma once

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/io/tensor_info.hpp"
#include "merit/io/weight_source.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// The tensors of a RoBERTa under the names that BERT has for them: the dense layer of its head is the pooler, and the table
/// of positions begins with the row of the first token.
class RobertaAsBert final : public WeightSource {
 public:
  static constexpr std::string_view positions = "bert.embeddings.position_embeddings.weight";

  /// `first_position`: the rows of positions at which no token stands. Throws DataError where there are no others.
  RobertaAsBert(std::unique_ptr<WeightSource> weights, Index first_position)
      : weights_(std::move(weights)), first_(first_position) {
    for (const std::string& name : weights_->names()) {
      Entry entry{name, *weights_->find(name)};
      TensorInfo& info = entry.info;
      info.name = name_in_bert(name);
      if (info.name == positions) {
        if (info.shape.size() != 2 || info.shape[0] <= first_)
          throw DataError(concat(path().string(), ": tensor ", quote(name), " has shape ",
                                 shape_text(info.shape), ", expected more than ", first_, " rows"));
        info.shape[0] -= first_;
        info.begin += (info.end - info.begin) / (info.shape[0] + first_) * first_;
        info.elements = info.shape[0] * info.shape[1];
      }
      std::string as = info.name;
      if (!entries_.emplace(std::move(as), std::move(entry)).second)
        throw DataError(concat(path().string(), ": two tensors are ", quote(name), " under BERT's names"));
    }
  }

  const std::filesystem::path& path() const override { return weights_->path(); }
  std::vector<std::string> names() const override {
    std::vector<std::string> result;
    for (const auto& [name, entry] : entries_) result.push_back(name);
    return result;
  }
  const TensorInfo* find(std::string_view name) const override {
    const auto entry = entries_.find(name);
    return entry == entries_.end() ? nullptr : &entry->second.info;
  }
  void read(std::string_view name, VectorView<float> out) const override { read_as(name, out); }
  void read(std::string_view name, VectorView<double> out) const override { read_as(name, out); }
  std::optional<StoredTensor> stored(std::string_view name) const override {
    const auto entry = entries_.find(name);
    return entry == entries_.end() || name == positions ? std::nullopt : weights_->stored(entry->second.name);
  }
  std::vector<std::string> unindexed() const override { return weights_->unindexed(); }

 private:
  struct Entry {
    std::string name;  // in `weights_`
    TensorInfo info;   // as BERT's
  };

  static std::string name_in_bert(std::string_view name) {
    for (const auto& [ours, theirs] :
         {std::pair<std::string_view, std::string_view>{"classifier.dense.", "bert.pooler.dense."},
          {"classifier.out_proj.", "classifier."}}) {
      if (name.starts_with(ours)) return concat(theirs, name.substr(ours.size()));
    }
    constexpr std::string_view prefix = "roberta.";
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
    const bool known = name.starts_with("embeddings.") || name.starts_with("encoder.");
    if (name.starts_with("pooler.")) return concat(prefix, name);  // which no classifier of its reads
    return known ? concat("bert.", name) : std::string(name);
  }

  template <class T>
  void read_as(std::string_view name, VectorView<T> out) const {
    const auto entry = entries_.find(name);
    if (entry == entries_.end())
      throw DataError(concat(path().string(), ": there is no tensor ", quote(name)));
    if (name != positions) return weights_->read(entry->second.name, out);
    std::vector<T> all(weights_->find(entry->second.name)->elements);
    weights_->read(entry->second.name, VectorView<T>(all));
    if (out.size > all.size()) throw UsageError(concat("tensor ", quote(name), " has fewer elements"));
    std::copy_n(all.data() + (all.size() - out.size), out.size, out.data);
  }

  std::unique_ptr<WeightSource> weights_;
  Index first_;
  std::map<std::string, Entry, std::less<>> entries_;
};

/// The config.json of a RoBERTa as that of a BERT whose positions are counted from 0.
inline Json roberta_config_as_bert(Json config, Index positions) {
  config["model_type"] = "bert";
  config["max_position_embeddings"] = positions;
  Json classes = Json::array();
  for (const Json& one : config.value("architectures", Json::array())) {
    const std::string name = one.is_string() ? one.get<std::string>() : std::string();
    const auto ending = std::min(name.find("For"), name.find("Model"));
    classes.push_back(ending == name.npos ? name : "Bert" + name.substr(ending));
  }
  config["architectures"] = std::move(classes);
  return config;
}

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
