// The bodies of torch_file.hpp.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/sizes.hpp"
#include "merit/core/view.hpp"
#include "merit/io/file.hpp"
#include "merit/io/pickle.hpp"
#include "merit/io/tensor_info.hpp"
#include "merit/io/torch_file.hpp"
#include "merit/io/zip.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// A type of storage: what PyTorch calls it, and a safetensors file its elements.
struct TorchType {
  std::string_view name, dtype;
  Index size;
};
inline constexpr TorchType torch_types[] = {
    {"torch.DoubleStorage", "F64", 8},    {"torch.FloatStorage", "F32", 4}, {"torch.HalfStorage", "F16", 2},
    {"torch.BFloat16Storage", "BF16", 2}, {"torch.LongStorage", "I64", 8},  {"torch.IntStorage", "I32", 4},
    {"torch.ShortStorage", "I16", 2},     {"torch.CharStorage", "I8", 1},   {"torch.ByteStorage", "U8", 1},
    {"torch.BoolStorage", "BOOL", 1},
};

inline constexpr std::string_view torch_tensor = "torch._utils._rebuild_tensor_v2";
inline constexpr std::string_view torch_parameter = "torch._utils._rebuild_parameter";

/// All that a pickle of plain tensors names.
inline constexpr std::string_view torch_names[] = {
    "collections.OrderedDict", torch_tensor,        torch_parameter,     torch_types[0].name,
    torch_types[1].name,       torch_types[2].name, torch_types[3].name, torch_types[4].name,
    torch_types[5].name,       torch_types[6].name, torch_types[7].name, torch_types[8].name,
    torch_types[9].name,
};

/// Where storages lie in the file, by their keys. Before PyTorch 1.6 that is known only when all are listed.
struct TorchStorages {
  std::map<std::string, ZipEntry, std::less<>> places;
};

/// One storage as a tensor names it: ("storage", type, key, device, elements).
struct TorchStorage {
  const TorchType* type = nullptr;
  std::string_view key;
  Index elements = 0;
};
inline std::optional<TorchStorage> torch_storage(const Pickle& pickle, const PickleValue& value) {
  using Kind = PickleValue::Kind;
  if (value.kind != Kind::persistent) return std::nullopt;
  const PickleValue& id = pickle.at(value.items[0]);
  // The sixth, in older files, tells of storages that are parts of others: None where they are not.
  if (id.kind != Kind::tuple || id.items.size() < 5 || id.items.size() > 6) return std::nullopt;
  const auto item = [&](Index i) -> const PickleValue& { return pickle.at(id.items[i]); };
  if (id.items.size() == 6 && item(5).kind != Kind::none) return std::nullopt;
  if (item(0).kind != Kind::text || item(0).text != "storage" || item(1).kind != Kind::name ||
      item(2).kind != Kind::text || item(4).kind != Kind::integer || item(4).integer < 0) {
    return std::nullopt;
  }
  for (const TorchType& type : torch_types) {
    if (type.name == item(1).text)
      return TorchStorage{&type, item(2).text, static_cast<Index>(item(4).integer)};
  }
  return std::nullopt;
}

/// The integers of a tuple, none negative; nothing where it is something else.
inline std::optional<std::vector<Index>> torch_sizes(const Pickle& pickle, const PickleValue& value) {
  if (value.kind != PickleValue::Kind::tuple) return std::nullopt;
  std::vector<Index> sizes;
  for (const std::uint32_t item : value.items) {
    const PickleValue& size = pickle.at(item);
    if (size.kind != PickleValue::Kind::integer || size.integer < 0) return std::nullopt;
    sizes.push_back(static_cast<Index>(size.integer));
  }
  return sizes;
}

}  // namespace detail

MERIT_INLINE TorchFile::TorchFile(const std::filesystem::path& path) : file_(path), memory_(file_.map()) {
  const std::string_view bytes(reinterpret_cast<const char*>(memory_.get()), file_.size());
  if (bytes.starts_with("PK\3\4")) {
    parse_zip(bytes);
  } else {
    parse_legacy(bytes);
  }
}

[[noreturn]] MERIT_INLINE void TorchFile::fail(const std::string& what) const {
  throw DataError(concat(path().string(), ": ", what));
}
[[noreturn]] MERIT_INLINE void TorchFile::fail(std::string_view tensor, const std::string& what) const {
  fail(concat("tensor ", detail::quote(tensor), ": ", what));
}
[[noreturn]] MERIT_INLINE void TorchFile::fail_non_finite(const TensorInfo& tensor, Index element,
                                                          double number) const {
  fail(tensor.name, concat("element ", element, " is ", number, ", expected a finite number"));
}

MERIT_INLINE const TensorInfo& TorchFile::readable(std::string_view name, Index size) const {
  const TensorInfo* const tensor = find(name);
  if (tensor == nullptr) fail(concat("there is no tensor ", detail::quote(name)));
  if (!tensor->dtype) {
    fail(name, concat("has the type ", tensor->dtype_name, ", expected one of F64, F32, F16, BF16"));
  }
  if (tensor->elements != size) {
    throw UsageError(concat(path().string(), ": tensor ", detail::quote(name), " has ", tensor->elements,
                            " elements, the place to read it into has ", size));
  }
  return *tensor;
}

MERIT_INLINE std::optional<StoredTensor> TorchFile::stored(std::string_view name) const {
  const TensorInfo* const tensor = find(name);
  if (tensor == nullptr) fail(concat("there is no tensor ", detail::quote(name)));
  if (!tensor->dtype || tensor->elements == 0 || !strides_[by_name_.at(tensor->name)].empty() ||
      tensor->begin % size_of(*tensor->dtype) != 0) {
    return std::nullopt;
  }
  const std::byte* const data = memory_.get() + tensor->begin;
  detail::require_finite(data, *tensor->dtype, tensor->elements,
                         [&](Index element, double number) { fail_non_finite(*tensor, element, number); });
  return StoredTensor{data, *tensor->dtype, memory_};
}

MERIT_INLINE void TorchFile::parse_zip(std::string_view bytes) {
  constexpr std::string_view dict = "/data.pkl";
  const detail::ZipEntries entries = detail::zip_entries(bytes, path().string());
  std::string folder;
  for (const auto& [name, entry] : entries) {
    if (!name.ends_with(dict) || name.find('/') != name.size() - dict.size()) continue;
    if (!folder.empty()) fail("a zip archive with two files data.pkl, expected one, as torch.save writes it");
    folder = name.substr(0, name.size() - dict.size() + 1);
  }
  if (folder.empty())
    fail("a zip archive without a file NAME/data.pkl, expected one, as torch.save writes it");
  const auto part = [&](const detail::ZipEntry& entry) { return bytes.substr(entry.begin, entry.size); };
  const auto order = entries.find(folder + "byteorder");
  if (order != entries.end() && part(order->second) != "little") {
    fail(concat("its byte order is ", detail::quote(part(order->second)), ", expected \"little\""));
  }
  const detail::Pickle pickle(part(entries.at(folder + "data.pkl")), detail::torch_names,
                              concat(path().string(), ": ", folder, "data.pkl"));
  detail::TorchStorages storages;
  const std::string data = folder + "data/";
  for (const auto& [name, entry] : entries) {
    if (name.starts_with(data)) storages.places.emplace(name.substr(data.size()), entry);
  }
  parse_tensors(pickle, storages);
}

MERIT_INLINE void TorchFile::parse_legacy(std::string_view bytes) {
  using Kind = detail::PickleValue::Kind;
  // A pickle of the integer 0x1950a86a20f9469cfc6c.
  constexpr std::string_view magic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
  if (!bytes.starts_with(magic)) {
    fail(concat("not a file of torch.save: it begins with ", detail::quote(bytes.substr(0, 4)),
                ", expected a zip archive"));
  }
  Index at = magic.size();
  const auto next = [&](const char* what) {
    detail::Pickle pickle(bytes.substr(at), detail::torch_names, concat(path().string(), ": ", what));
    at += pickle.size();
    return pickle;
  };
  const detail::Pickle protocol = next("version");
  if (protocol.root().kind != Kind::integer || protocol.root().integer != 1001) {
    fail(concat("the version is ", protocol.described(protocol.root()), ", expected the integer 1001"));
  }
  const detail::Pickle system = next("system");
  if (system.root().kind != Kind::dict) fail("the facts of the system are no dict");
  for (Index i = 0; i < system.root().items.size(); i += 2) {
    const detail::PickleValue& value = system.at(system.root().items[i + 1]);
    if (system.at(system.root().items[i]).text != "little_endian") continue;
    if (value.kind != Kind::boolean || value.integer != 1) fail("its byte order is big, expected little");
  }
  const detail::Pickle pickle = next("state dict");
  const detail::Pickle keys = next("storages");
  if (keys.root().kind != Kind::list) fail("the storages are no list");
  std::map<std::string, Index, std::less<>> sizes;  // of one element, by key
  for (std::uint32_t i = 0; i < pickle.value_count(); ++i) {
    if (const auto storage = detail::torch_storage(pickle, pickle.at(i)))
      sizes.emplace(storage->key, storage->type->size);
  }
  detail::TorchStorages storages;
  for (const std::uint32_t item : keys.root().items) {
    const detail::PickleValue& key = keys.at(item);
    const auto size = key.kind == Kind::text ? sizes.find(key.text) : sizes.end();
    if (size == sizes.end()) fail(concat("a storage is ", keys.described(key), ", which no tensor names"));
    std::uint64_t count = 0;
    if (bytes.size() - at < sizeof count) fail("truncated: the numbers of a storage are missing");
    std::memcpy(&count, bytes.data() + at, sizeof count);
    at += sizeof count;
    if (count > (bytes.size() - at) / size->second) {
      fail(concat("truncated: storage ", detail::quote(key.text), " has ", count, " numbers of ",
                  size->second, " bytes, but only ", bytes.size() - at, " bytes follow"));
    }
    storages.places.emplace(key.text, detail::ZipEntry{at, static_cast<Index>(count * size->second)});
    at += count * size->second;
  }
  parse_tensors(pickle, storages);
}

MERIT_INLINE void TorchFile::parse_tensors(const detail::Pickle& pickle,
                                           const detail::TorchStorages& storages) {
  using Kind = detail::PickleValue::Kind;
  const detail::PickleValue& dict = pickle.root();
  if (dict.kind != Kind::dict) fail(concat("holds ", pickle.described(dict), ", expected a dict of tensors"));
  for (Index i = 0; i < dict.items.size(); i += 2) {
    const detail::PickleValue& key = pickle.at(dict.items[i]);
    if (key.kind != Kind::text)
      fail(concat("a key of its dict is ", pickle.described(key), ", expected a text"));
    parse_tensor(key.text, pickle, pickle.at(dict.items[i + 1]), storages);
    if (!by_name_.emplace(key.text, tensors_.size() - 1).second)
      fail(key.text, "its name is that of another before");
  }
}

MERIT_INLINE void TorchFile::parse_tensor(const std::string& name, const detail::Pickle& pickle,
                                          const detail::PickleValue& value,
                                          const detail::TorchStorages& storages) {
  using Kind = detail::PickleValue::Kind;
  const detail::PickleValue* call = &value;
  const auto is_call_of = [&](std::string_view function) {
    return call->kind == Kind::call && pickle.at(call->items[0]).text == function;
  };
  const auto arguments = [&]() -> const std::vector<std::uint32_t>& {
    return pickle.at(call->items[1]).items;
  };
  if (is_call_of(detail::torch_parameter) && !arguments().empty()) call = &pickle.at(arguments()[0]);
  // (storage, offset, shape, strides, …): the rest is about gradients
  if (!is_call_of(detail::torch_tensor) || arguments().size() < 4) {
    fail(name, concat("found ", pickle.described(value), ", expected a plain tensor"));
  }
  const auto argument = [&](Index i) -> const detail::PickleValue& { return pickle.at(arguments()[i]); };
  const auto storage = detail::torch_storage(pickle, argument(0));
  const detail::PickleValue& offset = argument(1);
  const auto shape = detail::torch_sizes(pickle, argument(2)),
             strides = detail::torch_sizes(pickle, argument(3));
  if (!storage || offset.kind != Kind::integer || offset.integer < 0 || !shape || !strides ||
      strides->size() != shape->size()) {
    fail(name, "its storage, offset, shape or strides are not those of a plain tensor");
  }
  const auto place = storages.places.find(storage->key);
  if (place == storages.places.end()) fail(name, concat("there is no storage ", detail::quote(storage->key)));
  const Index available = place->second.size / storage->type->size;
  if (checked_product(storage->elements, storage->type->size) != place->second.size) {
    fail(name, concat("its storage ", detail::quote(storage->key), " has ", place->second.size,
                      " bytes, expected ", storage->elements, " numbers of ", storage->type->size, " bytes"));
  }
  const auto elements = detail::element_count(*shape);
  const Index begin = static_cast<Index>(offset.integer);
  const bool empty = elements && *elements == 0;
  // Behind how many numbers of its storage the last element lies, and whether they lie in their order.
  Index last = begin;
  bool inside = elements && begin < available, row_major = true;
  for (Index d = shape->size(), step = 1; inside && !empty && d-- > 0;) {
    const auto span = checked_product((*shape)[d] - 1, (*strides)[d]);
    inside = span && *span < available - last;
    if (inside) last += *span;
    row_major = row_major && ((*shape)[d] == 1 || (*strides)[d] == step);
    step *= (*shape)[d];
  }
  if (!empty && !inside) {
    fail(name,
         concat("the shape ", detail::shape_text(*shape), " with the strides ", detail::shape_text(*strides),
                " from element ", begin, " on does not lie in its storage of ", available, " numbers"));
  }
  TensorInfo tensor;
  tensor.name = name;
  tensor.dtype_name = storage->type->dtype;
  tensor.dtype = dtype_named(storage->type->dtype);
  tensor.shape = *shape;
  tensor.elements = elements.value_or(0);
  tensor.begin = place->second.begin + (empty ? 0 : begin) * storage->type->size;
  tensor.end = tensor.begin + (empty ? 0 : last + 1 - begin) * storage->type->size;
  tensors_.push_back(std::move(tensor));
  strides_.push_back(row_major || empty ? std::vector<Index>{} : *strides);
}

MERIT_INLINE TorchDirectory::TorchDirectory(const std::filesystem::path& directory)
    : ShardedWeights(directory, "pytorch_model.bin", "pytorch_model.bin.index.json") {}

}  // namespace MERIT_ABI
}  // namespace merit
