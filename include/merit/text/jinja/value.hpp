// The values of a chat template while it is rendered: Python's, as far as templates can make them.
#pragma once

#include <cstdint>
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
#include "merit/core/value.hpp"
#include "merit/core/view.hpp"
#include "merit/io/utf8.hpp"
#include "merit/text/unicode.hpp"

namespace merit::inline MERIT_ABI {
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

/// The base of everything that lies on the heap.
struct Object {
  virtual ~Object() = default;
};

struct String;
struct Sequence;
struct Dict;

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

class Heap;
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

inline const std::string& checked_text(const std::string& text) {
  if (first_invalid_utf8(text) != text.size()) fail("a text given to the template is not UTF-8");
  return text;
}

/// A value as it was given. Its nesting is that of parsed JSON, or was made by the calling program.
inline Value value_of(Heap& heap, const merit::Value& given, Index depth = 0) {
  if (depth > 512) fail("the values given to the template are nested deeper than 512 levels");
  if (const bool* boolean = given.boolean()) return Value::boolean(*boolean);
  if (const std::int64_t* integer = given.integer()) return Value::integer(*integer);
  if (const double* number = given.number()) return Value::number(*number);
  if (const std::string* string = given.string()) return heap.text(checked_text(*string));
  if (const merit::Value::List* list = given.list()) {
    std::vector<Value> items;
    items.reserve(list->size());
    for (const merit::Value& item : *list) items.push_back(value_of(heap, item, depth + 1));
    return heap.list(std::move(items));
  }
  if (const merit::Value::Fields* fields = given.fields()) {
    auto& dict = heap.make<Dict>();
    for (const ValueField& field : *fields) {
      dict.set(heap, heap.text(checked_text(field.name)), value_of(heap, field.value, depth + 1));
    }
    return Value(Kind::dict, &dict);
  }
  return Value::none();
}

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

}  // namespace detail::jinja
}  // namespace merit::inline MERIT_ABI
