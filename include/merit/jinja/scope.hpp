// The names of a template's parts, and the macros that hold on to them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "merit/jinja/python_text.hpp"
#include "merit/jinja/syntax.hpp"
#include "merit/jinja/value.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

/// The names that a part of a template has set.
struct Scope final : Object {
  explicit Scope(Scope* around) : outer(around) {}
  Scope* outer;
  std::vector<std::pair<Name, Value>> names;

  Value* find(Name name) {
    for (auto& [key, value] : names) {
      if (key == name) return &value;
    }
    return nullptr;
  }
  void set(Name name, const Value& value) {
    if (Value* own = find(name)) {
      *own = value;
    } else {
      names.emplace_back(name, value);
    }
  }
};

/// A macro or the body of a call block, with the names around it.
struct Macro final : Object {
  const MacroSyntax* syntax = nullptr;
  Scope* scope = nullptr;

  std::string repr(Heap& heap) override {
    if (syntax->text.empty()) return "<Macro anonymous>";
    String name(syntax->text);
    std::string text = "<Macro ";
    append_repr(heap, text, Value(Kind::string, &name));
    return text + '>';
  }
  Value attribute(Heap& heap, const std::string& name) override {
    if (name != "name") return {};
    return syntax->text.empty() ? Value::none() : heap.text(syntax->text);
  }
};

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
