// A value of any shape, as JSON has them, with the fields of objects in the order in which they were given.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {

struct ValueField;

/// None, true or false, an integer, a number, a string, a list, or fields in their order. What is given to
/// chat templates is made of these: tools, the parts of messages. A template writes fields out in the order
/// in which they came, which io/json.hpp's Json does not keep.
///
/// An integer too large for 64 bits is a number.
class Value {
 public:
  using List = std::vector<Value>;
  using Fields = std::vector<ValueField>;
  using Held = std::variant<std::monostate, bool, std::int64_t, double, std::string, List, Fields>;

  // Defined below, where ValueField is complete.
  Value();
  Value(const Value&);
  Value(Value&&) noexcept;
  Value& operator=(const Value&);
  Value& operator=(Value&&) noexcept;
  ~Value();
  template <class T>
  requires std::is_arithmetic_v<T> Value(T value);  // NOLINT: implicit on purpose, as all of these
  Value(std::string value);                         // NOLINT
  Value(std::string_view value);                    // NOLINT
  Value(const char* value);                         // NOLINT
  Value(List value);                                // NOLINT
  Value(Fields value);                              // NOLINT
  /// Fields: Value::object({{"role", "user"}, {"content", "Hello"}}).
  static Value object(std::initializer_list<std::pair<std::string, Value>> fields);

  bool is_none() const { return held_.index() == 0; }
  const bool* boolean() const { return std::get_if<bool>(&held_); }
  const std::int64_t* integer() const { return std::get_if<std::int64_t>(&held_); }
  const double* number() const { return std::get_if<double>(&held_); }
  const std::string* string() const { return std::get_if<std::string>(&held_); }
  const List* list() const { return std::get_if<List>(&held_); }
  const Fields* fields() const { return std::get_if<Fields>(&held_); }
  List* list() { return std::get_if<List>(&held_); }
  Fields* fields() { return std::get_if<Fields>(&held_); }

  /// The field `name`; nothing where there is none, or where this holds no fields.
  const Value* find(std::string_view name) const;

  const Held& held() const { return held_; }

  /// Fields are equal in any order; 1 and 1.0 are two values.
  friend bool operator==(const Value& a, const Value& b);

 private:
  template <class T>
  static Held held_of(T value) {
    if constexpr (std::is_same_v<T, bool>) {
      return Held(value);
    } else if constexpr (std::is_integral_v<T>) {
      if (std::in_range<std::int64_t>(value)) return Held(static_cast<std::int64_t>(value));
    }
    return Held(static_cast<double>(value));
  }

  Held held_;
};

/// One field of an object.
struct ValueField {
  std::string name;
  Value value;

  friend bool operator==(const ValueField&, const ValueField&) = default;
};

inline Value::Value() = default;
inline Value::Value(const Value&) = default;
inline Value::Value(Value&&) noexcept = default;
inline Value& Value::operator=(const Value&) = default;
inline Value& Value::operator=(Value&&) noexcept = default;
inline Value::~Value() = default;
template <class T>
requires std::is_arithmetic_v<T>
inline Value::Value(T value) : held_(held_of(value)) {}
inline Value::Value(std::string value) : held_(std::move(value)) {}
inline Value::Value(std::string_view value) : held_(std::string(value)) {}
inline Value::Value(const char* value) : held_(std::string(value)) {}
inline Value::Value(List value) : held_(std::move(value)) {}
inline Value::Value(Fields value) : held_(std::move(value)) {}

inline const Value* Value::find(std::string_view name) const {
  if (const Fields* own = fields()) {
    for (const ValueField& field : *own) {
      if (field.name == name) return &field.value;
    }
  }
  return nullptr;
}

bool operator==(const Value& a, const Value& b);

/// The value as JSON text in one line.
std::string text_of(const Value& value);

}  // namespace MERIT_ABI
}  // namespace merit

#if !defined(MERIT_COMPILED_RUN)
#include "merit/core/value_body.hpp"
#endif
