// The weights of a checkpoint directory: one file, or shards with an index, whatever the format of the files.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/stored_tensor.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/json.hpp"
#include "merit/io/tensor_info.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// The tensors of `single` in a directory, or else of the shards that the JSON file `index` names: its
/// "weight_map" says in which each tensor is. Opening checks that every shard is there and whole and holds every
/// tensor the index says it holds. A File has path(), tensors(), find(), read() and stored() as SafetensorsFile.
template <class File>
class ShardedWeights {
 public:
  ShardedWeights(const std::filesystem::path& directory, const std::string& single,
                 const std::string& index) {
    if (file_exists(directory / single)) {
      path_ = directory / single;
      files_.emplace_back(path_);
      for (const TensorInfo& tensor : files_[0].tensors()) shard_of_.emplace(tensor.name, 0);
    } else if (file_exists(directory / index)) {
      path_ = directory / index;
      open_shards(directory);
    } else {
      throw IoError(concat(directory.string(), ": neither ", single, " nor ", index,
                           " is there, expected the weights under one of these names; ",
                           folder_content(directory)));
    }
  }

  /// The single file or the index.
  const std::filesystem::path& path() const { return path_; }

  const std::vector<File>& files() const { return files_; }

  /// The names of all tensors, sorted.
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const auto& [name, shard] : shard_of_) result.push_back(name);
    return result;
  }

  /// Tensors that a shard holds but the index does not name there, as "shard: tensor". They are not read.
  const std::vector<std::string>& unindexed() const { return unindexed_; }

  /// Names of the tensors whose type is not read.
  std::vector<std::string> skipped() const {
    std::vector<std::string> result;
    for (const auto& [name, shard] : shard_of_) {
      if (!files_[shard].find(name)->dtype) result.push_back(name);
    }
    return result;
  }

  /// The tensor called `name`, or null.
  const TensorInfo* find(std::string_view name) const {
    const auto entry = shard_of_.find(name);
    return entry == shard_of_.end() ? nullptr : files_[entry->second].find(name);
  }

  /// The tensor called `name`; DataError when there is none.
  const TensorInfo& at(std::string_view name) const { return *file_of(name).find(name); }

  /// As the file's own.
  template <class T>
  void read(std::string_view name, VectorView<T> out, NonFinite non_finite = NonFinite::reject) const {
    file_of(name).read(name, out, non_finite);
  }
  std::optional<StoredTensor> stored(std::string_view name) const { return file_of(name).stored(name); }

 private:
  const File& file_of(std::string_view name) const {
    const auto entry = shard_of_.find(name);
    if (entry == shard_of_.end()) {
      throw DataError(concat(path_.string(), ": there is no tensor ", detail::quote(name)));
    }
    return files_[entry->second];
  }

  void open_shards(const std::filesystem::path& directory) {
    const std::string index = path_.string();
    const auto weight_map =
        require<std::map<std::string, std::string>>(read_json(path_), "weight_map", index);
    if (weight_map.empty()) throw DataError(concat(index, ": \"weight_map\" is empty"));
    std::map<std::string, Index> number_of;  // shard name to place in files_
    for (const auto& [name, shard] : weight_map) {
      auto [entry, fresh] = number_of.emplace(shard, files_.size());
      if (fresh) {
        // A shard lies beside its index: a downloaded index must not reach for other files.
        if (shard.empty() || std::filesystem::path(shard).filename() != shard || shard == "." ||
            shard == "..") {
          throw DataError(concat(index, ": the shard of tensor ", detail::quote(name), " is ",
                                 detail::quote(shard), ", expected the name of a file beside it"));
        }
        if (!file_exists(directory / shard)) {
          throw IoError(concat(index, ": the shard ", detail::quote(shard), " is missing"));
        }
        files_.emplace_back(directory / shard);
      }
      if (files_[entry->second].find(name) == nullptr) {
        throw DataError(concat(index, ": says that tensor ", detail::quote(name), " is in ",
                               detail::quote(shard), ", but it is not there"));
      }
      shard_of_.emplace(name, entry->second);
    }
    for (Index shard = 0; shard < files_.size(); ++shard) {
      for (const TensorInfo& tensor : files_[shard].tensors()) {
        const auto entry = shard_of_.find(tensor.name);
        if (entry == shard_of_.end() || entry->second != shard) {
          unindexed_.push_back(concat(files_[shard].path().filename().string(), ": ", tensor.name));
        }
      }
    }
  }

  std::filesystem::path path_;
  std::vector<File> files_;
  std::map<std::string, Index, std::less<>> shard_of_;
  std::vector<std::string> unindexed_;
};

}  // namespace MERIT_ABI
}  // namespace merit
