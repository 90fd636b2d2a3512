// The values of a chat template while it is rendered: Python's, as far as templates can make them.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/hash.hpp"
#include "merit/core/view.hpp"
#include "merit/unicode/unicode.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

/// What went wrong in an operation. The interpreter adds the place and makes a DataError of it.
struct Failure {
  std::string text;
};

/// A part of a message: a text or a whole number. Messages are joined by one plain function, so that the many
/// of them take little time to compile.
class Piece {
 public:
  Piece(std::string_view text) : text_(text) {}         // NOLINT: implicit on purpose, as all of these
  Piece(const std::string& text) : text_(text) {}       // NOLINT
  Piece(const char* text) : text_(text) {}              // NOLINT
  Piece(char c) : text_(1, c) {}                        // NOLINT
  Piece(int number) : text_(std::to_string(number)) {}  // NOLINT
  Piece(std::int64_t number) : text_(std::to_string(number)) {}  // NOLINT
  Piece(Index number) : text_(std::to_string(number)) {}         // NOLINT
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

inline std::string join(std::initializer_list<Piece> pieces) {
  std::string text;
  for (const Piece& piece : pieces) text += piece.text();
  return text;
}
[[noreturn]] inline void throw_failure(std::initializer_list<Piece> pieces) {
  throw Failure{join(pieces)};
}

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw_failure({Piece(parts)...});
}

enum class Kind : std::uint8_t {
  missing,  // no value at all: an argument that was not given
  undefined,
  none,
  boolean,
  integer,
  number,
  string,
  list,
  tuple,
  dict,
  view,  // keys, values or items of a dict
  range,
  generator,
  named_space,
  function,
  macro,
  loop,
  cycler,
  joiner,
  scope,
};

class Heap;
class Value;

/// The base of everything that lies on the heap.
struct Object {
  virtual ~Object() = default;
  /// Python's repr and attributes, for the kinds that have their own.
  virtual std::string repr(Heap&) { return {}; }
  virtual Value attribute(Heap&, const std::string& name);  // missing: there is none
};

/// One value: 16 bytes, copied freely. What it points at belongs to the Heap of the rendering, or to the
/// syntax tree.
class Value {
 public:
  Value() : integer_(0) {}
  Value(Kind kind, Object* object) : object_(object), kind_(kind) {}
  static Value none() { return Value(Kind::none); }
  static Value boolean(bool value) { return Value(Kind::boolean, std::int64_t{value}); }
  static Value integer(std::int64_t value) { return Value(Kind::integer, value); }
  static Value count(Index value) { return integer(static_cast<std::int64_t>(value)); }
  static Value number(double value) {
    Value result(Kind::number);
    result.number_ = value;
    return result;
  }

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_missing() const { return kind_ == Kind::missing; }
  bool is_undefined() const { return kind_ == Kind::undefined; }
  /// Python's bool is an int.
  bool is_integer() const { return kind_ == Kind::integer || kind_ == Kind::boolean; }
  bool is_numeric() const { return is_integer() || kind_ == Kind::number; }
  bool is_string() const { return kind_ == Kind::string; }

  std::int64_t integer() const { return integer_; }
  double number() const { return kind_ == Kind::number ? number_ : static_cast<double>(integer_); }
  Object* object() const { return object_; }
  template <class T>
  T& as() const {
    return static_cast<T&>(*object_);
  }
  inline const std::string& text() const;    // of a string
  inline std::vector<Value>& items() const;  // of a list or tuple

 private:
  explicit Value(Kind kind, std::int64_t value = 0) : integer_(value), kind_(kind) {}
  union {
    std::int64_t integer_;
    double number_;
    Object* object_;
  };
  Kind kind_ = Kind::missing;
};

/// Text: UTF-8, never changed.
struct String final : Object {
  explicit String(std::string value, bool safe = false)
      : text(std::move(value)), characters(count_characters(text)), markup(safe) {}
  const std::string text;
  const Index characters;
  const bool markup;  // by the filter `safe`: Python's Markup
  bool ascii() const { return characters == text.size(); }
};

/// A list or a tuple.
struct Sequence final : Object {
  std::vector<Value> items;
  bool group = false;  // a tuple of `groupby`: also .grouper and .list
};

inline Value Object::attribute(Heap&, const std::string&) {
  return {};
}

inline const std::string& Value::text() const {
  return as<String>().text;
}
inline std::vector<Value>& Value::items() const {
  return as<Sequence>().items;
}

/// Why a value is undefined.
struct Undefined final : Object {
  std::string name;
  std::string owner;  // the type of what it was looked for in; empty: a variable
  std::string hint;   // the whole message, where there is a special one
  std::string message() const {
    if (!hint.empty()) return hint;
    if (owner.empty()) return "'" + name + "' is undefined";
    return "'" + owner + "' has no attribute '" + name + "'";
  }
};

inline bool equal(Heap& heap, const Value& a, const Value& b);
/// Throws Failure for what has no hash: lists and dicts.
inline std::uint64_t hash_of(Heap& heap, const Value& value);

/// A dict: entries in the order in which they came.
struct Dict final : Object {
  struct Entry {
    Value key;
    Value value;
  };
  std::vector<Entry> entries;

  Entry* find(Heap& heap, const Value& key) {
    const std::uint64_t hash = hash_of(heap, key);
    if (entries.size() <= small) {
      for (Entry& entry : entries) {
        if (is_key(heap, entry.key, key)) return &entry;
      }
      return nullptr;
    }
    const auto [begin, end] = places_.equal_range(hash);
    for (auto place = begin; place != end; ++place) {
      if (is_key(heap, entries[place->second].key, key)) return &entries[place->second];
    }
    return nullptr;
  }
  void set(Heap& heap, const Value& key, const Value& value) {
    if (Entry* entry = find(heap, key)) {
      entry->value = value;
      return;
    }
    entries.push_back({key, value});
    if (entries.size() <= small) return;
    for (Index i = entries.size() == small + 1 ? 0 : entries.size() - 1; i < entries.size(); ++i) {
      places_.emplace(hash_of(heap, entries[i].key), i);
    }
  }

 private:
  static constexpr Index small = 8;
  /// One NaN is found by another: Python finds it by its identity.
  static bool is_key(Heap& heap, const Value& a, const Value& b) {
    const auto nan = [](const Value& value) {
      return value.is(Kind::number) && value.number() != value.number();
    };
    return equal(heap, a, b) || (nan(a) && nan(b));
  }
  std::unordered_multimap<std::uint64_t, Index> places_;  // of all entries, where there are many
};

struct View final : Object {
  enum Part { keys, values, items } part = keys;
  Dict* dict = nullptr;
};

struct Range final : Object {
  std::int64_t start = 0;
  std::int64_t stop = 0;
  std::int64_t step = 1;
  Index size = 0;
  Value at(Index i) const { return Value::integer(start + static_cast<std::int64_t>(i) * step); }
};

/// Gives its values once.
struct Generator final : Object {
  std::function<bool(Value&)> next;
  bool running = false;
  const char* text = "<generator object>";
};

struct NamedSpace final : Object {
  Dict attributes;
};

struct Cycler final : Object {
  std::vector<Value> items;
  Index at = 0;
};

struct Joiner final : Object {
  Value separator;
  bool used = false;
};

/// A method of a value, or a global function, which has no receiver.
struct Function final : Object {
  std::string name;
  Value receiver;
};

/// Arguments of a call.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// Owns what a rendering makes and counts what it costs: the limits that end a hostile template.
class Heap {
 public:
  Heap(Index max_steps, Index max_text) : steps_left_(max_steps), max_text_(max_text) {}

  /// Costs `steps`; throws Failure when they are used up.
  void charge(Index steps) {
    if (steps > steps_left_) fail("the template takes more steps than is allowed");
    steps_left_ -= steps;
  }
  /// Costs what looking at or making `bytes` of text costs.
  void charge_text(Index bytes) {
    if (bytes > max_text_) fail("the template makes a text of more than ", max_text_, " bytes");
    charge(1 + bytes / 16);
  }
  Index max_text() const { return max_text_; }

  /// One generator that asks another for its values.
  class Nesting {
   public:
    explicit Nesting(Heap& heap) : heap_(heap) {
      if (++heap_.nesting_ > limit) {
        --heap_.nesting_;
        fail("generators are nested deeper than ", limit, " levels");
      }
    }
    Nesting(const Nesting&) = delete;
    ~Nesting() { --heap_.nesting_; }

   private:
    static constexpr Index limit = 100;
    Heap& heap_;
  };

  template <class T, class... Parts>
  T& make(Parts&&... parts) {
    charge(4);
    auto object = std::make_unique<T>(std::forward<Parts>(parts)...);
    T& result = *object;
    objects_.push_back(std::move(object));
    return result;
  }
  Value text(std::string value, bool markup = false) {
    charge_text(value.size());
    return Value(Kind::string, &make<String>(std::move(value), markup));
  }
  Value list(std::vector<Value> items) { return sequence(Kind::list, std::move(items)); }
  Value tuple(std::vector<Value> items) { return sequence(Kind::tuple, std::move(items)); }
  Value sequence(Kind kind, std::vector<Value> items) {
    charge(items.size());
    auto& made = make<Sequence>();
    made.items = std::move(items);
    return Value(kind, &made);
  }
  Value undefined(std::string hint) {
    auto& made = make<Undefined>();
    made.hint = std::move(hint);
    return Value(Kind::undefined, &made);
  }
  Value undefined(std::string name, std::string owner) {
    auto& made = make<Undefined>();
    made.name = std::move(name);
    made.owner = std::move(owner);
    return Value(Kind::undefined, &made);
  }
  Value generator(std::function<bool(Value&)> next) {
    auto& made = make<Generator>();
    made.next = std::move(next);
    return Value(Kind::generator, &made);
  }
  Value function(std::string name, Value receiver = {}) {
    auto& made = make<Function>();
    made.name = std::move(name);
    made.receiver = receiver;
    return Value(Kind::function, &made);
  }

 private:
  std::vector<std::unique_ptr<Object>> objects_;
  Index steps_left_;
  Index max_text_;
  Index nesting_ = 0;
};

/// Python's name of the value's type.
inline const char* type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::missing: return "missing";
    case Kind::undefined: return "Undefined";
    case Kind::none: return "None";
    case Kind::boolean: return "bool";
    case Kind::integer: return "int";
    case Kind::number: return "float";
    case Kind::string: return "str";
    case Kind::list: return "list";
    case Kind::tuple: return "tuple";
    case Kind::dict: return "dict";
    case Kind::view: return "dict view";
    case Kind::range: return "range";
    case Kind::generator: return "generator";
    case Kind::named_space: return "Namespace";
    case Kind::function: return "function";
    case Kind::macro: return "Macro";
    case Kind::loop: return "LoopContext";
    case Kind::cycler: return "Cycler";
    case Kind::joiner: return "Joiner";
    case Kind::scope: return "scope";
  }
  return "";
}

/// Ends with the reason why `value` is undefined, if it is.
inline void require_defined(const Value& value) {
  if (value.is_undefined()) fail(value.as<Undefined>().message());
}

/// Values may lie this deep in each other when they are written or compared.
inline constexpr Index value_depth_limit = 300;

inline void check_value_depth(Index depth) {
  if (depth > value_depth_limit) fail("values are nested deeper than ", value_depth_limit, " levels");
}

inline bool equal_items(Heap& heap, const std::vector<Value>& a, const std::vector<Value>& b, Index depth);
inline bool equal_values(Heap& heap, const Value& a, const Value& b, Index depth) {
  check_value_depth(depth);
  heap.charge(1);
  if (a.is_numeric() && b.is_numeric()) {
    if (a.is_integer() && b.is_integer()) return a.integer() == b.integer();
    return a.number() == b.number();
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::missing:
    case Kind::undefined:
    case Kind::none: return true;
    case Kind::string:
      if (a.text().size() != b.text().size()) return false;
      heap.charge(a.text().size() / 64);
      return a.text() == b.text();
    case Kind::list:
    case Kind::tuple: return equal_items(heap, a.items(), b.items(), depth);
    case Kind::dict: {
      auto& left = a.as<Dict>();
      auto& right = b.as<Dict>();
      if (left.entries.size() != right.entries.size()) return false;
      for (const Dict::Entry& entry : left.entries) {
        const Dict::Entry* other = right.find(heap, entry.key);
        if (other == nullptr || !equal_values(heap, entry.value, other->value, depth + 1)) return false;
      }
      return true;
    }
    case Kind::range: {
      const auto& left = a.as<Range>();
      const auto& right = b.as<Range>();
      return left.size == right.size && (left.size == 0 || left.start == right.start) &&
             (left.size < 2 || left.step == right.step);
    }
    default: return a.object() == b.object();
  }
}
inline bool equal_items(Heap& heap, const std::vector<Value>& a, const std::vector<Value>& b, Index depth) {
  if (a.size() != b.size()) return false;
  for (Index i = 0; i < a.size(); ++i) {
    if (!equal_values(heap, a[i], b[i], depth + 1)) return false;
  }
  return true;
}
inline bool equal(Heap& heap, const Value& a, const Value& b) {
  return equal_values(heap, a, b, 0);
}

inline std::uint64_t hash_at(Heap& heap, const Value& value, Index depth) {
  check_value_depth(depth);
  heap.charge(1);
  switch (value.kind()) {
    case Kind::boolean:
    case Kind::integer:
    case Kind::number: {
      const double number = value.number() + 0.0;  // one zero
      char bytes[sizeof number];
      std::memcpy(bytes, &number, sizeof number);
      return fnv1a({bytes, sizeof bytes});
    }
    case Kind::string: heap.charge(value.text().size() / 32); return fnv1a(value.text());
    case Kind::tuple: {
      std::uint64_t hash = 17;
      for (const Value& item : value.items()) hash = hash * 1000003 ^ hash_at(heap, item, depth + 1);
      return hash;
    }
    case Kind::list:
    case Kind::dict:
    case Kind::view: fail("a value of the type ", type_name(value), " cannot be a key");
    default: return static_cast<std::uint64_t>(value.kind());
  }
}

inline std::uint64_t hash_of(Heap& heap, const Value& value) {
  return hash_at(heap, value, 0);
}

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
