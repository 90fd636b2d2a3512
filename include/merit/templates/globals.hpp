// The functions that every chat template can call.
#pragma once

#include <ctime>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/io/utf8.hpp"
#include "merit/jinja/access.hpp"
#include "merit/jinja/value.hpp"
#include "merit/templates/methods.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

inline bool is_global(std::string_view name) {
  static constexpr std::string_view names[] = {"range",        "namespace", "dict",  "raise_exception",
                                               "strftime_now", "cycler",    "joiner"};
  return is_one_of(name, names);
}

inline Value make_range(Heap& heap, const Arguments& arguments) {
  constexpr Index limit = 100'000;  // the sandbox's
  if (!arguments.named.empty()) fail("'range' takes no arguments by name");
  const Bound given("range", arguments, {"start", "stop", "step"}, 1);
  auto& range = heap.make<Range>();
  range.start = given.has(1) ? given.integer(0, 0) : 0;
  range.stop = given.integer(given.has(1) ? 1 : 0, 0);
  range.step = given.integer(2, 1);
  if (range.step == 0) fail("the step of a range is 0");
  const auto bits = [](std::int64_t value) { return static_cast<std::uint64_t>(value); };
  const bool up = range.step > 0;
  if (up ? range.start < range.stop : range.start > range.stop) {
    const std::uint64_t way =
        up ? bits(range.stop) - bits(range.start) : bits(range.start) - bits(range.stop);
    const std::uint64_t step = up ? bits(range.step) : ~bits(range.step) + 1;
    const std::uint64_t size = (way - 1) / step + 1;
    if (size > limit) fail("a range of ", size, " values is too long, the most are ", limit);
    range.size = static_cast<Index>(size);
  }
  return Value(Kind::range, &range);
}

/// A namespace keeps no names that begin with an underscore.
inline void check_attribute_name(const Value& name) {
  if (name.is_string() && name.text().starts_with('_')) {
    fail("a namespace has no attributes that begin with '_', found '", name.text(), "'");
  }
}

/// Python's datetime.strftime of the local time. It has no fractions of seconds and no zone.
inline std::string formatted_time(Heap& heap, std::time_t now, std::string_view format) {
  std::tm fields{};
  localtime_r(&now, &fields);
  std::string prepared;
  for (Index i = 0; i < format.size(); ++i) {
    if (format[i] == '%' && i + 1 < format.size()) {
      const char what = format[++i];
      if (what == 'f') prepared += "000000";
      if (what != 'f' && what != 'z' && what != 'Z') prepared += {'%', what};
    } else {
      prepared += format[i] == '\0' ? ' ' : format[i];
    }
  }
  if (prepared.size() > 1000) fail("the format of 'strftime_now' is too long");
  if (prepared.empty()) return {};
  prepared += '.';  // so that an empty result is told from one that does not fit
  std::vector<char> buffer(64 + prepared.size() * 64);
  heap.charge_text(buffer.size());
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  const Index size = std::strftime(buffer.data(), buffer.size(), prepared.c_str(), &fields);
#pragma GCC diagnostic pop
  if (size == 0) fail("the format of 'strftime_now' gives too long a text");
  std::string text(buffer.data(), size - 1);
  if (first_invalid_utf8(text) != text.size()) fail("'strftime_now' gave a text that is not UTF-8");
  return text;
}

/// Calls the global function `name`.
inline Value call_global(Heap& heap, const std::string& name, const Arguments& arguments,
                         const std::function<std::time_t()>& clock) {
  if (name == "range") return make_range(heap, arguments);
  if (name == "dict") return make_dict(heap, arguments);
  if (name == "namespace") {
    auto& space = heap.make<NamedSpace>();
    fill_dict(heap, space.attributes, arguments);
    for (const Dict::Entry& entry : space.attributes.entries) check_attribute_name(entry.key);
    return Value(Kind::named_space, &space);
  }
  if (name == "raise_exception") {
    throw Failure{text_of(heap, Bound(name, arguments, {"message"}, 1)[0])};
  }
  if (name == "strftime_now") {
    const Bound given(name, arguments, {"format"}, 1);
    return heap.text(formatted_time(heap, clock ? clock() : std::time(nullptr), given.text(0)));
  }
  if (name == "cycler") {
    if (!arguments.named.empty() || arguments.positional.empty()) fail("'cycler' needs values");
    auto& cycler = heap.make<Cycler>();
    cycler.items = arguments.positional;
    return Value(Kind::cycler, &cycler);
  }
  auto& joiner = heap.make<Joiner>();
  const Bound given(name, arguments, {"sep"});
  joiner.separator = given.has(0) ? given[0] : heap.text(", ");
  return Value(Kind::joiner, &joiner);
}

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
