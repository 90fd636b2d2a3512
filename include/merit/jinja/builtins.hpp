// The names of the filters, tests and methods that chat templates know.
#pragma once

#include <algorithm>
#include <iterator>
#include <string_view>

#include "merit/core/version.hpp"
#include "merit/jinja/value.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

template <class Names>
bool is_one_of(std::string_view name, const Names& names) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

inline bool is_filter(std::string_view name) {
  static constexpr std::string_view names[] = {
      "abs",      "attr",   "batch",  "capitalize", "center", "count",       "d",        "default",
      "dictsort", "e",      "escape", "first",      "float",  "forceescape", "format",   "from_json",
      "groupby",  "indent", "int",    "items",      "join",   "last",        "length",   "list",
      "lower",    "map",    "max",    "min",        "reject", "rejectattr",  "replace",  "reverse",
      "round",    "safe",   "select", "selectattr", "slice",  "sort",        "string",   "sum",
      "title",    "tojson", "trim",   "truncate",   "unique", "upper",       "wordcount"};
  return is_one_of(name, names);
}

inline bool is_test(std::string_view name) {
  static constexpr std::string_view names[] = {
      "!=",       "<",           "<=",          "==",      ">",       ">=",        "boolean",  "callable",
      "defined",  "divisibleby", "eq",          "equalto", "escaped", "even",      "false",    "filter",
      "float",    "ge",          "greaterthan", "gt",      "in",      "integer",   "iterable", "le",
      "lessthan", "lower",       "lt",          "mapping", "ne",      "none",      "number",   "odd",
      "sameas",   "sequence",    "string",      "test",    "true",    "undefined", "upper"};
  return is_one_of(name, names);
}

/// Whether Python's type of `value` has the method `name`.
inline bool has_method(const Value& value, std::string_view name) {
  static constexpr std::string_view of_string[] = {
      "capitalize", "casefold",     "center",       "count",   "encode",     "endswith",    "expandtabs",
      "find",       "format",       "format_map",   "index",   "isalnum",    "isalpha",     "isascii",
      "isdecimal",  "isdigit",      "isidentifier", "islower", "isnumeric",  "isprintable", "isspace",
      "istitle",    "isupper",      "join",         "ljust",   "lower",      "lstrip",      "maketrans",
      "partition",  "removeprefix", "removesuffix", "replace", "rfind",      "rindex",      "rjust",
      "rpartition", "rsplit",       "rstrip",       "split",   "splitlines", "startswith",  "strip",
      "swapcase",   "title",        "translate",    "upper",   "zfill"};
  static constexpr std::string_view of_dict[] = {"clear", "copy",    "fromkeys",   "get",    "items", "keys",
                                                 "pop",   "popitem", "setdefault", "update", "values"};
  static constexpr std::string_view of_list[] = {"append", "clear", "copy",   "count",   "extend", "index",
                                                 "insert", "pop",   "remove", "reverse", "sort"};
  static constexpr std::string_view of_tuple[] = {"count", "index"};
  static constexpr std::string_view of_integer[] = {"as_integer_ratio", "bit_count",  "bit_length",
                                                    "conjugate",        "from_bytes", "to_bytes"};
  static constexpr std::string_view of_number[] = {"as_integer_ratio", "conjugate", "fromhex", "hex",
                                                   "is_integer"};
  static constexpr std::string_view of_loop[] = {"cycle", "changed"};
  static constexpr std::string_view of_cycler[] = {"next", "reset"};
  switch (value.kind()) {
    case Kind::string: return is_one_of(name, of_string);
    case Kind::dict: return is_one_of(name, of_dict);
    case Kind::list: return is_one_of(name, of_list);
    case Kind::tuple:
    case Kind::range: return is_one_of(name, of_tuple);
    case Kind::boolean:
    case Kind::integer: return is_one_of(name, of_integer);
    case Kind::number: return is_one_of(name, of_number);
    case Kind::loop: return is_one_of(name, of_loop);
    case Kind::cycler: return is_one_of(name, of_cycler);
    case Kind::function: return value.as<Function>().name == "dict" && name == "fromkeys";
    default: return false;
  }
}

/// Whether the method would change the value, which the sandbox refuses.
inline bool is_changing(const Value& value, std::string_view name) {
  static constexpr std::string_view of_dict[] = {"clear", "pop", "popitem", "setdefault", "update"};
  if (value.is(Kind::dict)) return is_one_of(name, of_dict);
  return value.is(Kind::list) && name != "copy" && name != "count" && name != "index";
}

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
