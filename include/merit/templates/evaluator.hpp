// Evaluates the expressions of a chat template.
#pragma once

#include <ctime>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/jinja/scope.hpp"
#include "merit/jinja/syntax.hpp"
#include "merit/jinja/value.hpp"
#include "merit/templates/arithmetic.hpp"
#include "merit/templates/filters.hpp"
#include "merit/templates/globals.hpp"
#include "merit/templates/methods.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

struct Limits {
  Index max_steps = 0;
  Index max_depth = 0;
  Index max_output = 0;
};

class Evaluator {
 protected:
  Evaluator(const Tree& tree, const std::string& where, const Limits& limits,
            std::function<std::time_t()> clock)
      : tree_(tree),
        where_(where),
        max_levels_(limits.max_depth * 6),
        heap_(limits.max_steps, limits.max_output),
        clock_(std::move(clock)),
        context_(tree.names.size()) {}
  Evaluator(const Evaluator&) = delete;
  virtual ~Evaluator() = default;

  /// What a macro writes, and a recursive loop that is called again.
  virtual std::string call_macro(const Macro& macro, Arguments arguments) = 0;
  virtual std::string call_loop(const Loop& loop, const Value& iterable) = 0;

  /// One level of recursion.
  class Level {
   public:
    explicit Level(Evaluator& evaluator) : evaluator_(evaluator) {
      if (++evaluator_.levels_ > evaluator_.max_levels_) {
        --evaluator_.levels_;
        fail("the template goes deeper than ", evaluator_.max_levels_, " levels");
      }
    }
    Level(const Level&) = delete;
    ~Level() { --evaluator_.levels_; }

   private:
    Evaluator& evaluator_;
  };

  /// Names that are set from here on end with this object.
  class Inner {
   public:
    Inner(Evaluator& evaluator, Scope* outer) : evaluator_(evaluator), before_(evaluator.scope_) {
      evaluator_.scope_ = &evaluator_.heap_.make<Scope>(outer);
    }
    Inner(const Inner&) = delete;
    ~Inner() { evaluator_.scope_ = before_; }

   private:
    Evaluator& evaluator_;
    Scope* before_;
  };

  [[noreturn]] void fail_at(Index at, const std::string& text) const {
    throw DataError(place_in(where_, tree_.source, at) + text);
  }

  // Calls.

  Arguments evaluate_arguments(const CallSyntax& syntax) {
    Arguments arguments;
    for (const auto& part : syntax.positional) arguments.positional.push_back(evaluate(*part));
    for (const auto& [name, part] : syntax.named) arguments.named.emplace_back(name, evaluate(*part));
    if (syntax.more_positional) {
      for (const Value& value : all_of(heap_, evaluate(*syntax.more_positional)))
        arguments.positional.push_back(value);
    }
    if (syntax.more_named) {
      const Value more = evaluate(*syntax.more_named);
      require_defined(more);
      if (!more.is(Kind::dict))
        fail("expected a dict behind '**', found a value of the type ", type_name(more));
      for (const Dict::Entry& entry : more.as<Dict>().entries) {
        if (!entry.key.is_string()) fail("the names of arguments must be strings");
        heap_.charge(1 + syntax.named.size());
        for (const auto& [name, part] : syntax.named) {
          if (name == entry.key.text()) fail("the argument '", name, "' is given twice");
        }
        arguments.named.emplace_back(entry.key.text(), entry.value);
      }
    }
    return arguments;
  }

  Value call_value(const Value& callee, const Arguments& arguments) {
    require_defined(callee);
    switch (callee.kind()) {
      case Kind::function: {
        const auto& function = callee.as<Function>();
        if (function.receiver.is_missing()) return call_global(heap_, function.name, arguments, clock_);
        return call_method(heap_, function.receiver, function.name, arguments);
      }
      case Kind::macro: return heap_.text(call_macro(callee.as<Macro>(), arguments));
      case Kind::loop:
        return heap_.text(call_loop(callee.as<Loop>(), Bound("loop", arguments, {"iterable"}, 1)[0]));
      case Kind::joiner: {
        Bound("joiner", arguments, {});
        auto& joiner = callee.as<Joiner>();
        return std::exchange(joiner.used, true) ? joiner.separator : heap_.text("");
      }
      default: fail("a value of the type ", type_name(callee), " cannot be called");
    }
  }

  // Expressions.

  Value look_up(Name name) {
    for (Scope* scope = scope_; scope != nullptr; scope = scope->outer) {
      heap_.charge(scope->names.size() / 16);
      if (const Value* value = scope->find(name)) return *value;
    }
    return context_[name].is_missing() ? heap_.undefined(tree_.names[name], "") : context_[name];
  }

  Value evaluate(const Expression& expression) {
    try {
      heap_.charge(1);
      if (expression.kind == Expression::constant) return expression.value;
      if (expression.kind == Expression::variable) return look_up(expression.name);
      const Level level(*this);
      return evaluate_parts(expression);
    } catch (const Failure& failure) {
      fail_at(expression.at, failure.text);
    }
  }

  Value evaluate_parts(const Expression& expression) {
    switch (expression.kind) {
      case Expression::constant:
      case Expression::variable: return {};
      case Expression::list:
      case Expression::tuple: return evaluate_sequence(expression);
      case Expression::dict: return evaluate_dict(expression);
      case Expression::conditional: return evaluate_conditional(expression);
      case Expression::all:
      case Expression::any: return evaluate_logic(expression);
      case Expression::negation: return Value::boolean(!is_true(evaluate(*expression.parts[0])));
      case Expression::comparison: return evaluate_comparison(expression);
      case Expression::arithmetic: return evaluate_arithmetic(expression);
      case Expression::concatenation: return concatenate(expression);
      case Expression::minus:
      case Expression::plus: return evaluate_sign(expression);
      case Expression::attribute: return attribute_of(heap_, evaluate(*expression.parts[0]), expression.text);
      case Expression::item: return evaluate_item(expression);
      case Expression::slice: return evaluate_slice(expression);
      case Expression::call: return evaluate_call(expression);
      case Expression::filter: return evaluate_filter(expression);
      case Expression::test: return evaluate_test(expression);
    }
    return {};
  }

  /// Filters of a block: the innermost gets the block's text.
  Value apply_chain(const Expression& filter, const Value& text) {
    try {
      const Level level(*this);
      const Value value = filter.parts[0] ? apply_chain(*filter.parts[0], text) : text;
      return apply_filter(heap_, filter.text, value, evaluate_arguments(*filter.arguments));
    } catch (const Failure& failure) {
      fail_at(filter.at, failure.text);
    }
  }

  // One function for each kind, so that what nests deep takes little of the stack.

  Value evaluate_conditional(const Expression& expression) {
    const auto& parts = expression.parts;
    if (is_true(evaluate(*parts[0]))) return evaluate(*parts[1]);
    return parts[2] ? evaluate(*parts[2]) : heap_.undefined("the condition is false and there is no 'else'");
  }

  Value evaluate_logic(const Expression& expression) {
    Value value;
    for (const auto& part : expression.parts) {
      value = evaluate(*part);
      if (is_true(value) == (expression.kind == Expression::any)) break;
    }
    return value;
  }

  Value evaluate_arithmetic(const Expression& expression) {
    Value value = evaluate(*expression.parts[0]);
    for (Index i = 1; i < expression.parts.size(); ++i) {
      value = arithmetic(heap_, expression.operators[i - 1], value, evaluate(*expression.parts[i]));
    }
    return value;
  }

  Value evaluate_item(const Expression& expression) {
    const Value value = evaluate(*expression.parts[0]);
    return item_of(heap_, value, evaluate(*expression.parts[1]));
  }

  Value evaluate_call(const Expression& expression) {
    const Value callee = evaluate(*expression.parts[0]);
    return call_value(callee, evaluate_arguments(*expression.arguments));
  }

  Value evaluate_filter(const Expression& expression) {
    const Value value = expression.parts[0] ? evaluate(*expression.parts[0]) : Value();
    return apply_filter(heap_, expression.text, value, evaluate_arguments(*expression.arguments));
  }

  Value evaluate_test(const Expression& expression) {
    const Value value = evaluate(*expression.parts[0]);
    return Value::boolean(
        apply_test(heap_, expression.text, value, evaluate_arguments(*expression.arguments)));
  }

  Value evaluate_sequence(const Expression& expression) {
    std::vector<Value> items;
    items.reserve(expression.parts.size());
    for (const auto& part : expression.parts) items.push_back(evaluate(*part));
    return heap_.sequence(expression.kind == Expression::list ? Kind::list : Kind::tuple, std::move(items));
  }

  Value evaluate_dict(const Expression& expression) {
    auto& dict = heap_.make<Dict>();
    for (Index i = 0; i < expression.parts.size(); i += 2) {
      const Value key = evaluate(*expression.parts[i]);
      dict.set(heap_, key, evaluate(*expression.parts[i + 1]));
    }
    return Value(Kind::dict, &dict);
  }

  Value evaluate_comparison(const Expression& expression) {
    Value left = evaluate(*expression.parts[0]);
    for (Index i = 1; i < expression.parts.size(); ++i) {
      const Value right = evaluate(*expression.parts[i]);
      if (!compare(heap_, expression.operators[i - 1], left, right)) return Value::boolean(false);
      left = right;
    }
    return Value::boolean(true);
  }

  Value concatenate(const Expression& expression) {
    std::string text;
    for (const auto& part : expression.parts) {
      const Value value = evaluate(*part);
      text += value.is_string() ? value.text() : text_of(heap_, value);
      if (text.size() > heap_.max_text())
        fail("the template makes a text of more than ", heap_.max_text(), " bytes");
    }
    return heap_.text(std::move(text));
  }

  Value evaluate_sign(const Expression& expression) {
    const Value value = evaluate(*expression.parts[0]);
    require_defined(value);
    if (!value.is_numeric()) fail("a value of the type ", type_name(value), " has no sign");
    if (value.is(Kind::number)) {
      return Value::number(expression.kind == Expression::minus ? -value.number() : value.number());
    }
    return expression.kind == Expression::plus ? Value::integer(value.integer())
                                               : integer_arithmetic(Operator::subtract, 0, value.integer());
  }

  Value evaluate_slice(const Expression& expression) {
    Value parts[4];
    for (Index i = 0; i < 4; ++i) {
      if (expression.parts[i]) parts[i] = evaluate(*expression.parts[i]);
    }
    return slice_of(heap_, parts[0], parts[1], parts[2], parts[3]);
  }

  const Tree& tree_;
  const std::string& where_;
  const Index max_levels_;
  Heap heap_;
  const std::function<std::time_t()> clock_;
  std::vector<Value> context_;  // by name: globals and what the template was given
  Scope* scope_ = nullptr;      // the innermost names
  Index levels_ = 0;
};

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
