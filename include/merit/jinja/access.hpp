// Attributes, items and arguments: how templates reach into values, as Jinja's sandbox lets them.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/jinja/builtins.hpp"
#include "merit/jinja/operations.hpp"
#include "merit/jinja/value.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

/// The arguments of a call by the names of its parameters; those not given are missing.
class Bound {
 public:
  /// Throws Failure for arguments too many or too few, unknown or given twice. The first `required` must be
  /// given.
  Bound(std::string_view what, const Arguments& arguments, std::initializer_list<std::string_view> names,
        Index required = 0)
      : values_(names.size()) {
    if (arguments.positional.size() > names.size()) {
      fail("'", what, "' takes ", names.size(), " arguments, found ", arguments.positional.size());
    }
    for (Index i = 0; i < arguments.positional.size(); ++i) values_[i] = arguments.positional[i];
    for (const auto& [name, value] : arguments.named) {
      Index place = 0;
      while (place < names.size() && names.begin()[place] != name) ++place;
      if (place == names.size()) fail("'", what, "' has no argument '", name, "'");
      if (!values_[place].is_missing()) fail("'", what, "' was given the argument '", name, "' twice");
      values_[place] = value;
    }
    for (Index i = 0; i < required; ++i) {
      if (values_[i].is_missing()) fail("'", what, "' needs the argument '", names.begin()[i], "'");
    }
  }
  const Value& operator[](Index i) const { return values_[i]; }
  bool has(Index i) const { return !values_[i].is_missing(); }
  /// Neither missing nor None.
  bool given(Index i) const { return has(i) && !values_[i].is(Kind::none); }
  bool truth(Index i, bool otherwise) const { return has(i) ? is_true(values_[i]) : otherwise; }
  std::int64_t integer(Index i, std::int64_t otherwise) const {
    if (!has(i)) return otherwise;
    require_defined(values_[i]);
    if (!values_[i].is_integer())
      fail("expected an integer, found a value of the type ", type_name(values_[i]));
    return values_[i].integer();
  }
  const std::string& text(Index i) const {
    require_defined(values_[i]);
    if (!values_[i].is_string()) fail("expected a string, found a value of the type ", type_name(values_[i]));
    return values_[i].text();
  }

 private:
  std::vector<Value> values_;
};

/// The iteration of a `for` as its body sees it.
struct Loop final : Object {
  std::function<bool(Value&)> source;
  std::optional<Index> length;
  Index index0 = 0;
  Index depth0 = 0;
  Value before;
  Value current;
  Value after;                           // looked at before its turn
  bool ended = false;                    // nothing is behind `after`
  Value changed;                         // the tuple that `changed` saw last
  const Statement* recursion = nullptr;  // the statement, where it is recursive
  Object* scope = nullptr;               // the names around it

  bool next() {
    Value item = std::exchange(after, Value());
    if (item.is_missing() && (ended || !take(item))) return false;
    if (!current.is_missing()) ++index0;
    before = std::exchange(current, item);
    return true;
  }
  const Value& peek() {
    if (after.is_missing() && !ended && !take(after)) {
      ended = true;
      after = Value();
    }
    return after;
  }
  Index size(Heap& heap) {
    if (length) return *length;
    auto rest = std::make_shared<std::vector<Value>>();
    for (Value item; !ended && take(item);) {
      heap.charge(1);
      rest->push_back(item);
    }
    length = rest->size() + index0 + 1 + (after.is_missing() ? 0 : 1);
    source = [rest, at = Index{0}](Value& item) mutable {
      if (at >= rest->size()) return false;
      item = (*rest)[at++];
      return true;
    };
    return *length;
  }

  Value attribute(Heap& heap, const std::string& name) override;
  std::string repr(Heap& heap) override { return join({"<LoopContext ", index0 + 1, "/", size(heap), ">"}); }

 private:
  /// The next value of the source. A filter of the loop that asks the loop itself is an error.
  bool take(Value& item) {
    if (std::exchange(running_, true)) fail("a loop asks itself for its values");
    const bool found = source(item);
    running_ = false;
    return found;
  }
  bool running_ = false;
};

inline Value Loop::attribute(Heap& heap, const std::string& name) {
  if (name == "index") return Value::count(index0 + 1);
  if (name == "index0") return Value::count(index0);
  if (name == "first") return Value::boolean(index0 == 0);
  if (name == "last") return Value::boolean(peek().is_missing());
  if (name == "length") return Value::count(size(heap));
  const auto behind = [&] {
    return static_cast<std::int64_t>(size(heap)) - static_cast<std::int64_t>(index0);
  };
  if (name == "revindex") return Value::integer(behind());
  if (name == "revindex0") return Value::integer(behind() - 1);
  if (name == "depth") return Value::count(depth0 + 1);
  if (name == "depth0") return Value::count(depth0);
  if (name == "previtem") {
    return index0 == 0 ? heap.undefined("there is no previous item") : before;
  }
  if (name == "nextitem") {
    const Value next = peek();
    return next.is_missing() ? heap.undefined("there is no next item") : next;
  }
  return {};
}

/// What Python's getattr gives; missing where that is an AttributeError.
inline Value own_attribute(Heap& heap, const Value& value, const std::string& name) {
  if (has_method(value, name)) {
    if (is_changing(value, name)) {
      return heap.undefined(
          join({"'", name, "' would change a ", type_name(value), ", which templates must not"}));
    }
    return heap.function(name, value);
  }
  switch (value.kind()) {
    case Kind::loop:
    case Kind::macro: return value.object()->attribute(heap, name);
    case Kind::named_space: {
      String key(name);
      const Dict::Entry* entry = value.as<NamedSpace>().attributes.find(heap, Value(Kind::string, &key));
      return entry == nullptr ? Value() : entry->value;
    }
    case Kind::tuple:
      if (value.as<Sequence>().group && (name == "grouper" || name == "list")) {
        return value.items()[name == "grouper" ? 0 : 1];
      }
      return {};
    case Kind::range: {
      const auto& range = value.as<Range>();
      if (name == "start") return Value::integer(range.start);
      if (name == "stop") return Value::integer(range.stop);
      return name == "step" ? Value::integer(range.step) : Value();
    }
    case Kind::boolean:
    case Kind::integer:
    case Kind::number:
      if (name == "real") return value.is(Kind::boolean) ? Value::integer(value.integer()) : value;
      if (name == "imag") return value.is(Kind::number) ? Value::number(0) : Value::integer(0);
      if (value.is(Kind::number)) return {};
      if (name == "numerator") return Value::integer(value.integer());
      return name == "denominator" ? Value::integer(1) : Value();
    case Kind::cycler: {
      const auto& cycler = value.as<Cycler>();
      return name == "current" ? cycler.items[cycler.at % cycler.items.size()] : Value();
    }
    default: return {};
  }
}

/// Whether Python has the attribute in every object, or in none that a template should see.
inline bool is_internal(std::string_view name) {
  return name.starts_with("__") && name.ends_with("__");
}

/// value.name: an attribute, else an item.
inline Value attribute_of(Heap& heap, const Value& value, const std::string& name) {
  require_defined(value);
  const Value own = own_attribute(heap, value, name);
  if (!own.is_missing()) return own;
  if (value.is(Kind::dict)) {
    String key(name);
    const Dict::Entry* entry = value.as<Dict>().find(heap, Value(Kind::string, &key));
    if (entry != nullptr) return entry->value;
  }
  if (is_internal(name)) return heap.undefined(join({"the attribute '", name, "' is not safe"}));
  return heap.undefined(name, type_name(value));
}

/// value[key]: an item, else an attribute.
inline Value item_of(Heap& heap, const Value& value, const Value& key) {
  require_defined(value);
  const bool hashable = !key.is(Kind::list) && !key.is(Kind::dict) && !key.is(Kind::view);
  if (value.is(Kind::dict) && hashable) {
    const Dict::Entry* entry = value.as<Dict>().find(heap, key);
    if (entry != nullptr) return entry->value;
  }
  const bool sequence =
      value.is(Kind::list) || value.is(Kind::tuple) || value.is_string() || value.is(Kind::range);
  if (sequence && key.is_integer()) {
    const Value item = item_at(heap, value, key.integer());
    if (!item.is_missing()) return item;
  }
  if (key.is_string()) {
    const Value own = own_attribute(heap, value, key.text());
    if (!own.is_missing()) return own;
  }
  std::string name;
  append_repr(heap, name, key);
  return heap.undefined(key.is_string() ? key.text() : name, type_name(value));
}

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
