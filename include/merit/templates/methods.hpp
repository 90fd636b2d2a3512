// The methods of lists, dicts, ranges and loops.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/jinja/access.hpp"
#include "merit/jinja/value.hpp"
#include "merit/templates/string_methods.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

/// The dict that Python's dict(…) makes: of a dict or of pairs, and of arguments by name.
inline void fill_dict(Heap& heap, Dict& dict, const Arguments& arguments) {
  if (arguments.positional.size() > 1)
    fail("expected one dict, found ", arguments.positional.size(), " arguments");
  if (!arguments.positional.empty()) {
    const Value& from = arguments.positional[0];
    require_defined(from);
    if (from.is(Kind::dict)) {
      heap.charge(from.as<Dict>().entries.size());
      for (const Dict::Entry& entry : from.as<Dict>().entries) dict.set(heap, entry.key, entry.value);
    } else {
      Iterator iterator(heap, from);
      for (Value item; iterator.next(item);) {
        const std::vector<Value> pair = all_of(heap, item);
        if (pair.size() != 2) fail("expected pairs of key and value, found ", pair.size(), " values");
        dict.set(heap, pair[0], pair[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named) dict.set(heap, heap.text(name), value);
}

inline Value make_dict(Heap& heap, const Arguments& arguments) {
  auto& dict = heap.make<Dict>();
  fill_dict(heap, dict, arguments);
  return Value(Kind::dict, &dict);
}

inline Value view_of(Heap& heap, const Value& dict, View::Part part) {
  auto& view = heap.make<View>();
  view.dict = &dict.as<Dict>();
  view.part = part;
  return Value(Kind::view, &view);
}

inline Value dict_method(Heap& heap, const Value& value, const std::string& name,
                         const Arguments& arguments) {
  if (!arguments.named.empty()) fail("'", name, "' takes no arguments by name");
  if (name == "get") {
    const Bound given(name, arguments, {"key", "default"}, 1);
    const Dict::Entry* entry = value.as<Dict>().find(heap, given[0]);
    return entry != nullptr ? entry->value : given.has(1) ? given[1] : Value::none();
  }
  if (name == "fromkeys") {
    const Bound given(name, arguments, {"iterable", "value"}, 1);
    auto& dict = heap.make<Dict>();
    Iterator iterator(heap, given[0]);
    for (Value key; iterator.next(key);) dict.set(heap, key, given.has(1) ? given[1] : Value::none());
    return Value(Kind::dict, &dict);
  }
  Bound(name, arguments, {});
  if (name == "items") return view_of(heap, value, View::items);
  if (name == "keys") return view_of(heap, value, View::keys);
  if (name == "values") return view_of(heap, value, View::values);
  if (name == "copy") return make_dict(heap, {{value}, {}});
  fail("the method '", name, "' of dicts is not supported");
}

/// Of lists, tuples and ranges.
inline Value sequence_method(Heap& heap, const Value& value, const std::string& name,
                             const Arguments& arguments) {
  if (!arguments.named.empty()) fail("'", name, "' takes no arguments by name");
  if (name == "copy") {
    Bound(name, arguments, {});
    return heap.list(value.items());
  }
  const Bound given(name, arguments, {"value", "start", "stop"}, 1);
  const std::vector<Value> items = all_of(heap, value);
  if (name == "count") {
    if (given.has(1)) fail("'count' takes one argument");
    return Value::count(static_cast<Index>(std::count_if(
        items.begin(), items.end(), [&](const Value& item) { return equal(heap, item, given[0]); })));
  }
  const auto size = static_cast<std::int64_t>(items.size());
  const auto bound = [&](Index i, std::int64_t otherwise) {
    const std::int64_t at = given.integer(i, otherwise);
    return std::clamp<std::int64_t>(at < 0 ? at + size : at, 0, size);
  };
  for (std::int64_t i = bound(1, 0); i < bound(2, size); ++i) {
    if (equal(heap, items[static_cast<Index>(i)], given[0])) return Value::integer(i);
  }
  fail("the value that 'index' looks for is not there");
}

inline Value loop_method(Heap& heap, Loop& loop, const std::string& name, const Arguments& arguments) {
  if (!arguments.named.empty()) fail("'", name, "' takes no arguments by name");
  if (name == "cycle") {
    if (arguments.positional.empty()) fail("'cycle' needs values");
    return arguments.positional[loop.index0 % arguments.positional.size()];
  }
  const Value seen = heap.tuple(arguments.positional);
  const bool changed = loop.changed.is_missing() || !equal(heap, loop.changed, seen);
  loop.changed = seen;
  return Value::boolean(changed);
}

/// Calls a method of `receiver` that has_method knows.
inline Value call_method(Heap& heap, const Value& receiver, const std::string& name,
                         const Arguments& arguments) {
  switch (receiver.kind()) {
    case Kind::string: return StringMethods(heap, receiver, name, arguments).call();
    case Kind::dict: return dict_method(heap, receiver, name, arguments);
    case Kind::function: return dict_method(heap, receiver, name, arguments);  // dict.fromkeys
    case Kind::list:
    case Kind::tuple:
    case Kind::range: return sequence_method(heap, receiver, name, arguments);
    case Kind::loop: return loop_method(heap, receiver.as<Loop>(), name, arguments);
    case Kind::cycler: {
      Bound(name, arguments, {});
      auto& cycler = receiver.as<Cycler>();
      if (name == "reset") {
        cycler.at = 0;
        return Value::none();
      }
      return cycler.items[cycler.at++ % cycler.items.size()];
    }
    case Kind::number:
      if (name == "is_integer") return Value::boolean(std::floor(receiver.number()) == receiver.number());
      break;
    default: break;
  }
  fail("the method '", name, "' of a value of the type ", type_name(receiver), " is not supported");
}

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
