// Jinja's filters of lists and dicts, and the table of all.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/jinja/access.hpp"
#include "merit/jinja/value.hpp"
#include "merit/templates/arithmetic.hpp"
#include "merit/templates/tests.hpp"
#include "merit/templates/text_filters.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

inline Value apply_filter(Heap& heap, const std::string& name, const Value& value,
                          const Arguments& arguments);

/// What `attribute="a.0.b"` reads from a value.
class AttributePath {
 public:
  /// Missing and None are the value itself.
  AttributePath(Heap& heap, const Value& path, bool lowered = false) : heap_(&heap), lowered_(lowered) {
    if (path.is_missing() || path.is(Kind::none)) return;
    if (!path.is_string()) {
      parts_.push_back(path);
      return;
    }
    std::string_view rest = path.text();
    while (true) {
      const auto dot = rest.find('.');
      const std::string_view part = rest.substr(0, dot);
      Index at = 0;
      const auto number = part.size() < 10 ? read_count(part, at) : std::nullopt;
      parts_.push_back(number && at == part.size() ? Value::count(*number) : heap.text(std::string(part)));
      if (dot == rest.npos) break;
      rest.remove_prefix(dot + 1);
    }
  }
  Value operator()(Value item, const Value& otherwise = {}) const {
    for (const Value& part : parts_) {
      item = item_of(*heap_, item, part);
      if (item.is_undefined() && !otherwise.is_missing() && !otherwise.is(Kind::none)) item = otherwise;
    }
    if (lowered_ && item.is_string()) return heap_->text(lower_case(item.text()));
    return item;
  }

 private:
  Heap* heap_;
  bool lowered_;
  std::vector<Value> parts_;
};

/// Items with the keys by which they are sorted.
struct Keyed {
  Value item;
  std::vector<Value> keys;
};

/// Python's sorted: equal items keep their order, also backwards.
inline void sort_keyed(Heap& heap, std::vector<Keyed>& items, bool backwards) {
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    heap.charge(1);
    const auto& left = backwards ? b.keys : a.keys;
    const auto& right = backwards ? a.keys : b.keys;
    for (Index i = 0; i < left.size(); ++i) {
      if (!equal(heap, left[i], right[i])) return less(heap, left[i], right[i]);
    }
    return false;
  });
}

inline Value list_of(Heap& heap, const std::vector<Keyed>& items) {
  std::vector<Value> result;
  for (const Keyed& keyed : items) result.push_back(keyed.item);
  return heap.list(std::move(result));
}

inline Value sorted(Heap& heap, const Value& value, const Arguments& arguments) {
  const Bound given("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const bool lowered = !given.truth(1, false);
  std::vector<AttributePath> paths;
  if (given.has(2) && given[2].is_string()) {
    std::string_view rest = given[2].text();
    while (true) {
      const auto comma = rest.find(',');
      paths.emplace_back(heap, heap.text(std::string(rest.substr(0, comma))), lowered);
      if (comma == rest.npos) break;
      rest.remove_prefix(comma + 1);
    }
  } else {
    paths.emplace_back(heap, given[2], lowered);
  }
  std::vector<Keyed> items;
  for (const Value& item : all_of(heap, value)) {
    Keyed keyed{item, {}};
    for (const AttributePath& path : paths) keyed.keys.push_back(path(item));
    items.push_back(std::move(keyed));
  }
  sort_keyed(heap, items, given.truth(0, false));
  return list_of(heap, items);
}

inline Value sorted_dict(Heap& heap, const Value& value, const Arguments& arguments) {
  const Bound given("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const std::string by = given.has(1) ? text_of(heap, given[1]) : "key";
  if (by != "key" && by != "value") fail("'dictsort' sorts by 'key' or 'value'");
  require_defined(value);
  if (!value.is(Kind::dict)) fail("'dictsort' needs a dict, found a value of the type ", type_name(value));
  std::vector<Keyed> items;
  for (const Dict::Entry& entry : value.as<Dict>().entries) {
    Value key = by == "key" ? entry.key : entry.value;
    if (!given.truth(0, false) && key.is_string()) key = heap.text(lower_case(key.text()));
    items.push_back({heap.tuple({entry.key, entry.value}), {key}});
  }
  sort_keyed(heap, items, given.truth(2, false));
  return list_of(heap, items);
}

inline Value extreme(Heap& heap, const std::string& name, const Value& value, const Arguments& arguments) {
  const Bound given(name, arguments, {"case_sensitive", "attribute"});
  const AttributePath path(heap, given[1], !given.truth(0, false));
  Iterator iterator(heap, value);
  Value best;
  Value best_key;
  for (Value item; iterator.next(item);) {
    const Value key = path(item);
    if (best.is_missing() || (name == "min" ? less(heap, key, best_key) : less(heap, best_key, key))) {
      best = item;
      best_key = key;
    }
  }
  return best.is_missing() ? heap.undefined("there is no least or greatest item, the sequence is empty")
                           : best;
}

inline Value sum_of(Heap& heap, const Value& value, const Arguments& arguments) {
  const Bound given("sum", arguments, {"attribute", "start"});
  const AttributePath path(heap, given[0]);
  Value total = given.has(1) ? given[1] : Value::integer(0);
  if (total.is_string()) fail("'sum' does not join strings");
  Iterator iterator(heap, value);
  for (Value item; iterator.next(item);) total = arithmetic(heap, Operator::add, total, path(item));
  return total;
}

inline Value grouped_by(Heap& heap, const Value& value, const Arguments& arguments) {
  const Bound given("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const AttributePath path(heap, given[0], !given.truth(2, false));
  const AttributePath shown(heap, given[0]);
  std::vector<Keyed> items;
  for (const Value& item : all_of(heap, value)) items.push_back({item, {path(item, given[1])}});
  sort_keyed(heap, items, false);
  std::vector<Value> groups;
  for (Index begin = 0; begin < items.size();) {
    std::vector<Value> members;
    Index end = begin;
    for (; end < items.size() && equal(heap, items[end].keys[0], items[begin].keys[0]); ++end) {
      members.push_back(items[end].item);
    }
    const Value key = shown(items[begin].item, given[1]);
    const Value group = heap.tuple({key, heap.list(std::move(members))});
    group.as<Sequence>().group = true;
    groups.push_back(group);
    begin = end;
  }
  return heap.list(std::move(groups));
}

/// A generator over values that are there already.
inline Value generator_of(Heap& heap, std::vector<Value> items) {
  return heap.generator([items = std::move(items), at = Index{0}](Value& out) mutable {
    if (at >= items.size()) return false;
    out = items[at++];
    return true;
  });
}

/// A generator that begins to walk over `value` when its first value is asked for: `make` gets the iterator
/// and tells whether there is a next value.
template <class Make>
Value lazy_generator(Heap& heap, const Value& value, Make make) {
  auto iterator = std::make_shared<std::optional<Iterator>>();
  return heap.generator([&heap, value, iterator, make = std::move(make), done = false](Value& out) mutable {
    if (done) return false;
    if (!*iterator) {
      if (!is_true(value)) {
        done = true;
        return false;
      }
      iterator->emplace(heap, value);
    }
    done = !make(**iterator, out);
    return !done;
  });
}

inline Value mapped(Heap& heap, const Value& value, const Arguments& arguments) {
  return lazy_generator(heap, value, [&heap, arguments](Iterator& iterator, Value& out) {
    const bool by_attribute = arguments.positional.empty() && !arguments.named.empty() &&
                              std::any_of(arguments.named.begin(), arguments.named.end(),
                                          [](const auto& entry) { return entry.first == "attribute"; });
    if (by_attribute) {
      const Bound given("map", arguments, {"attribute", "default"});
      Value item;
      if (!iterator.next(item)) return false;
      out = AttributePath(heap, given[0])(item, given[1]);
      return true;
    }
    if (arguments.positional.empty()) fail("'map' needs the name of a filter or an attribute");
    const Value name = arguments.positional[0];
    Value item;
    if (!iterator.next(item)) return false;
    if (!name.is_string()) fail("'map' needs the name of a filter");
    const Arguments rest{{arguments.positional.begin() + 1, arguments.positional.end()}, arguments.named};
    out = apply_filter(heap, name.text(), item, rest);
    return true;
  });
}

/// select, reject, selectattr, rejectattr.
inline Value selected(Heap& heap, const Value& value, const Arguments& arguments, bool wanted,
                      bool by_attribute) {
  return lazy_generator(
      heap, value, [&heap, arguments, wanted, by_attribute](Iterator& iterator, Value& out) {
        const auto& given = arguments.positional;
        const Index skip = by_attribute ? 1 : 0;
        if (given.size() < skip) fail("the name of an attribute is missing");
        const AttributePath path(heap, by_attribute ? given[0] : Value());
        const bool by_test = given.size() > skip;
        if (by_test && !given[skip].is_string()) fail("expected the name of a test");
        Arguments rest;
        if (by_test)
          rest = {{given.begin() + static_cast<std::ptrdiff_t>(skip) + 1, given.end()}, arguments.named};
        for (Value item; iterator.next(item);) {
          const Value looked = path(item);
          const bool passes = by_test ? apply_test(heap, given[skip].text(), looked, rest) : is_true(looked);
          if (passes != wanted) continue;
          out = item;
          return true;
        }
        return false;
      });
}

inline Value unique_items(Heap& heap, const Value& value, const Arguments& arguments) {
  const Bound given("unique", arguments, {"case_sensitive", "attribute"});
  const AttributePath path(heap, given[1], !given.truth(0, false));
  auto& seen = heap.make<Dict>();
  auto iterator = std::make_shared<std::optional<Iterator>>();
  return heap.generator([&heap, &seen, path, value, iterator](Value& out) {
    if (!*iterator) iterator->emplace(heap, value);
    for (Value item; (*iterator)->next(item);) {
      const Value key = path(item);
      if (seen.find(heap, key) != nullptr) continue;
      seen.set(heap, key, Value::none());
      out = item;
      return true;
    }
    return false;
  });
}

inline Value in_batches(Heap& heap, const Value& value, const Arguments& arguments) {
  const Bound given("batch", arguments, {"linecount", "fill_with"}, 1);
  std::vector<Value> batches;
  std::vector<Value> batch;
  const std::int64_t size = given.integer(0, 1);
  const auto full = [&] { return static_cast<std::int64_t>(batch.size()) == size; };
  for (const Value& item : all_of(heap, value)) {
    if (full()) batches.push_back(heap.list(std::exchange(batch, {})));
    batch.push_back(item);
  }
  if (!batch.empty()) {
    while (given.given(1) && static_cast<std::int64_t>(batch.size()) < size) {
      heap.charge(1);
      batch.push_back(given[1]);
    }
    batches.push_back(heap.list(std::move(batch)));
  }
  return generator_of(heap, std::move(batches));
}

inline Value in_slices(Heap& heap, const Value& value, const Arguments& arguments) {
  const Bound given("slice", arguments, {"slices", "fill_with"}, 1);
  const std::vector<Value> items = all_of(heap, value);
  const std::int64_t slices = given.integer(0, 1);
  if (slices == 0) fail("division by zero");
  std::vector<Value> result;
  auto at = items.begin();
  for (std::int64_t i = 0; i < slices; ++i) {
    heap.charge(1);
    const auto count = static_cast<std::int64_t>(items.size());
    const bool extra = i < count % slices;
    const auto end = at + (count / slices + (extra ? 1 : 0));
    std::vector<Value> part(at, end);
    if (given.given(1) && !extra) part.push_back(given[1]);
    result.push_back(heap.list(std::move(part)));
    at = end;
  }
  return generator_of(heap, std::move(result));
}

inline Value reversed(Heap& heap, const Value& value) {
  if (value.is_string()) return slice_of(heap, value, {}, {}, Value::integer(-1));
  std::vector<Value> items = all_of(heap, value);
  std::reverse(items.begin(), items.end());
  return value.is(Kind::generator) ? heap.list(std::move(items)) : generator_of(heap, std::move(items));
}

inline Value last_of(Heap& heap, const Value& value) {
  if (value.is(Kind::generator) || !Iterator::is_iterable(value)) {
    fail("a value of the type ", type_name(value), " has no last item");
  }
  if (length_of(value) == 0) return heap.undefined("there is no last item, the sequence is empty");
  if (!value.is(Kind::dict) && !value.is(Kind::view)) return item_at(heap, value, -1);
  return all_of(heap, value).back();
}

inline Value first_of(Heap& heap, const Value& value) {
  Iterator iterator(heap, value);
  Value item;
  return iterator.next(item) ? item : heap.undefined("there is no first item, the sequence is empty");
}

inline Value items_of(Heap& heap, const Value& value) {
  if (value.is_undefined()) return generator_of(heap, {});
  if (value.is(Kind::dict)) {
    auto& view = heap.make<View>();
    view.dict = &value.as<Dict>();
    view.part = View::items;
    return generator_of(heap, all_of(heap, Value(Kind::view, &view)));
  }
  return heap.generator([value](Value&) -> bool {
    fail("'items' needs a dict, found a value of the type ", type_name(value));
  });
}

/// Applies the filter `name`. Throws Failure for one that does not exist.
inline Value apply_filter(Heap& heap, const std::string& name, const Value& value,
                          const Arguments& arguments) {
  const auto none = [&] { Bound(name, arguments, {}); };
  if (const Value result = apply_text_filter(heap, name, value, arguments); !result.is_missing())
    return result;
  if (name == "length" || name == "count") {
    none();
    const auto length = length_of(value);
    if (!length) fail("a value of the type ", type_name(value), " has no length");
    return Value::count(*length);
  }
  if (name == "default" || name == "d") {
    const Bound given(name, arguments, {"default_value", "boolean"});
    const bool replace = value.is_undefined() || (given.truth(1, false) && !is_true(value));
    return !replace ? value : given.has(0) ? given[0] : heap.text("");
  }
  if (name == "join") {
    const Bound given(name, arguments, {"d", "attribute"});
    const std::string separator = given.has(0) ? text_of(heap, given[0]) : "";
    if (!given.given(1)) return joined(heap, separator, value, true);
    const AttributePath path(heap, given[1]);
    std::vector<Value> items;
    for (const Value& item : all_of(heap, value)) items.push_back(path(item));
    return joined(heap, separator, heap.list(std::move(items)), true);
  }
  if (name == "list") return none(), heap.list(all_of(heap, value));
  if (name == "items") return none(), items_of(heap, value);
  if (name == "first") return none(), first_of(heap, value);
  if (name == "last") return none(), last_of(heap, value);
  if (name == "map") return mapped(heap, value, arguments);
  if (name == "select") return selected(heap, value, arguments, true, false);
  if (name == "reject") return selected(heap, value, arguments, false, false);
  if (name == "selectattr") return selected(heap, value, arguments, true, true);
  if (name == "rejectattr") return selected(heap, value, arguments, false, true);
  if (name == "sort") return sorted(heap, value, arguments);
  if (name == "dictsort") return sorted_dict(heap, value, arguments);
  if (name == "min" || name == "max") return extreme(heap, name, value, arguments);
  if (name == "sum") return sum_of(heap, value, arguments);
  if (name == "unique") return unique_items(heap, value, arguments);
  if (name == "reverse") return none(), reversed(heap, value);
  if (name == "groupby") return grouped_by(heap, value, arguments);
  if (name == "batch") return in_batches(heap, value, arguments);
  if (name == "slice") return in_slices(heap, value, arguments);
  if (name == "attr") {
    const std::string& attribute = Bound(name, arguments, {"name"}, 1).text(0);
    require_defined(value);
    const Value own = own_attribute(heap, value, attribute);
    return own.is_missing() ? heap.undefined(attribute, type_name(value)) : own;
  }
  fail("there is no filter '", name, "'");
}

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
