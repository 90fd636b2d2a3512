// Walks over the syntax tree of a chat template and writes its text.
#pragma once

#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/value.hpp"
#include "merit/core/view.hpp"
#include "merit/jinja/scope.hpp"
#include "merit/jinja/syntax.hpp"
#include "merit/jinja/value.hpp"
#include "merit/templates/evaluator.hpp"
#include "merit/templates/given_value.hpp"
#include "merit/templates/globals.hpp"
#include "merit/templates/methods.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

class Interpreter final : Evaluator {
 public:
  using Variables = std::vector<std::pair<std::string, const merit::Value*>>;

  Interpreter(const Tree& tree, const std::string& where, const Limits& limits,
              std::function<std::time_t()> clock)
      : Evaluator(tree, where, limits, std::move(clock)),
        max_macros_(limits.max_depth),
        loop_name_(name_of("loop")),
        caller_name_(name_of("caller")),
        named_name_(name_of("kwargs")),
        positional_name_(name_of("varargs")) {}

  struct Result {
    std::string text;
    std::vector<std::pair<Index, Index>> generated;  // bytes of the generation blocks
  };

  /// Renders with these variables, of which later ones win. Throws DataError with line and column.
  Result run(const Variables& variables) {
    try {
      for (Name name = 0; name < tree_.names.size(); ++name) {
        if (is_global(tree_.names[name])) context_[name] = heap_.function(tree_.names[name]);
        for (const auto& [key, value] : variables) {
          if (key == tree_.names[name]) context_[name] = value_of(heap_, *value);
        }
      }
      Scope& root = heap_.make<Scope>(nullptr);
      root_ = scope_ = &root;
      run_body(tree_.body);
    } catch (const Failure& failure) {
      throw DataError(where_ + ": " + failure.text);
    }
    return {std::move(out_), std::move(generated_)};
  }

 private:
  enum class Flow : std::uint8_t { on, leave, next };

  // Statements.

  Flow run_body(const Body& body) {
    const Level level(*this);
    for (const Statement& statement : body) {
      const Flow flow = run_statement(statement);
      if (flow != Flow::on) return flow;
    }
    return Flow::on;
  }

  Flow run_statement(const Statement& statement) {
    try {
      heap_.charge(1);
      switch (statement.kind) {
        case Statement::output: put_all(statement); return Flow::on;
        case Statement::choice: return run_choice(statement);
        case Statement::loop: return run_loop(statement);
        case Statement::assignment:
          assign(*statement.targets[0], evaluate(*statement.expressions[0]));
          return Flow::on;
        case Statement::capture: return run_capture(statement);
        case Statement::macro:
          scope_->set(statement.name, make_macro(*statement.macro_syntax));
          return Flow::on;
        case Statement::call: run_call_block(statement); return Flow::on;
        case Statement::filter_block: return run_filter_block(statement);
        case Statement::with: return run_with(statement);
        case Statement::generation: run_generation(statement); return Flow::on;
        case Statement::block: {
          const Inner inner(*this, root_);
          return run_body(statement.body);
        }
        case Statement::leave: return Flow::leave;
        case Statement::next: return Flow::next;
      }
      return Flow::on;
    } catch (const Failure& failure) {
      fail_at(statement.at, failure.text);
    }
  }

  void put(std::string_view text) {
    heap_.charge_text(text.size());
    if (text.size() > heap_.max_text() - out_.size()) {
      fail("the template makes a text of more than ", heap_.max_text(), " bytes");
    }
    out_ += text;
  }
  void put_all(const Statement& statement) {
    for (const auto& expression : statement.expressions) {
      const Value value = evaluate(*expression);
      if (value.is_string()) {
        put(value.text());
      } else {
        put(text_of(heap_, value));
      }
    }
  }

  Flow run_choice(const Statement& statement) {
    for (const Branch& branch : statement.branches) {
      if (!branch.test || is_true(evaluate(*branch.test))) return run_body(branch.body);
    }
    return Flow::on;
  }

  /// What `run` writes. An error ends the whole rendering, so nothing needs to be put back then.
  template <class Run>
  std::string captured(const Run& run) {
    std::string outer = std::exchange(out_, {});
    if (captures_++ == 0) root_size_ = outer.size();
    run();
    --captures_;
    return std::exchange(out_, std::move(outer));
  }

  Flow run_loop(const Statement& statement) {
    const Value iterable = evaluate(*statement.expressions[0]);
    if (!statement.recursive) return iterate(statement, iterable, 0, scope_);
    put(captured([&] { iterate(statement, iterable, 0, scope_); }));
    return Flow::on;
  }

  /// What a loop walks over, without what its filter leaves out.
  std::function<bool(Value&)> source_of(const Statement& statement, const Value& iterable, Scope* around) {
    return [this, &statement, around, iterator = Iterator(heap_, iterable)](Value& item) mutable {
      while (iterator.next(item)) {
        if (!statement.expressions[1]) return true;
        const Level level(*this);
        const Inner inner(*this, around);
        assign(*statement.targets[0], item);
        if (is_true(evaluate(*statement.expressions[1]))) return true;
      }
      return false;
    };
  }

  Flow iterate(const Statement& statement, const Value& iterable, Index depth, Scope* around) {
    auto& loop = heap_.make<Loop>();
    loop.source = source_of(statement, iterable, around);
    if (!statement.expressions[1]) loop.length = length_of(iterable);
    loop.depth0 = depth;
    loop.scope = around;
    if (statement.recursive) loop.recursion = &statement;
    bool otherwise = true;  // as in Jinja, also where every turn was cut short
    while (loop.next()) {
      const Inner inner(*this, around);
      if (loop_name_) scope_->set(*loop_name_, Value(Kind::loop, &loop));
      assign(*statement.targets[0], loop.current);
      const Flow flow = run_body(statement.body);
      if (flow == Flow::leave) break;
      if (flow == Flow::on) otherwise = false;
    }
    if (!otherwise || statement.otherwise.empty()) return Flow::on;
    const Inner inner(*this, around);
    return run_body(statement.otherwise);
  }

  void assign(const Expression& target, const Value& value) {
    if (target.kind == Expression::variable) {
      scope_->set(target.name, value);
    } else if (target.kind == Expression::attribute) {
      const Value space = look_up(target.name);
      if (!space.is(Kind::named_space))
        fail("expected a namespace, found a value of the type ", type_name(space));
      const Value name = heap_.text(target.text);
      check_attribute_name(name);
      space.as<NamedSpace>().attributes.set(heap_, name, value);
    } else {
      Iterator iterator(heap_, value);
      std::vector<Value> items;
      for (Value item; items.size() <= target.parts.size() && iterator.next(item);) items.push_back(item);
      if (items.size() != target.parts.size()) {
        fail("expected ", target.parts.size(), " values to assign, found ",
             items.size() > target.parts.size() ? "more" : "fewer");
      }
      for (Index i = 0; i < items.size(); ++i) assign(*target.parts[i], items[i]);
    }
  }

  Flow run_capture(const Statement& statement) {
    Flow flow = Flow::on;
    Value value;
    {
      const Inner inner(*this, scope_);
      value = heap_.text(captured([&] { flow = run_body(statement.body); }));
      if (flow == Flow::on && statement.expressions[0]) value = apply_chain(*statement.expressions[0], value);
    }
    if (flow == Flow::on) assign(*statement.targets[0], value);
    return flow;
  }

  Flow run_filter_block(const Statement& statement) {
    const Inner inner(*this, scope_);
    Flow flow = Flow::on;
    const Value text = heap_.text(captured([&] { flow = run_body(statement.body); }));
    if (flow == Flow::on) put(text_of(heap_, apply_chain(*statement.expressions[0], text)));
    return flow;
  }

  Flow run_with(const Statement& statement) {
    Scope* around = scope_;
    const Inner inner(*this, around);
    Scope* own = scope_;
    for (Index i = 0; i < statement.targets.size(); ++i) {
      scope_ = around;
      const Value value = evaluate(*statement.expressions[i]);
      scope_ = own;
      assign(*statement.targets[i], value);
    }
    return run_body(statement.body);
  }

  void run_generation(const Statement& statement) {
    const std::string text = call_macro(make_macro(*statement.macro_syntax).as<Macro>(), {});
    const Index begin = captures_ == 0 ? out_.size() : root_size_;
    generated_.emplace_back(begin, begin + text.size());
    put(text);
  }

  // Macros.

  Value make_macro(const MacroSyntax& syntax) {
    auto& macro = heap_.make<Macro>();
    macro.syntax = &syntax;
    macro.scope = scope_;
    return Value(Kind::macro, &macro);
  }

  void run_call_block(const Statement& statement) {
    const Expression& call = *statement.expressions[0];
    const Value callee = evaluate(*call.parts[0]);
    Arguments arguments = evaluate_arguments(*call.arguments);
    arguments.named.emplace_back("caller", make_macro(*statement.macro_syntax));
    put(text_of(heap_, call_value(callee, arguments)));
  }

  static Value take_named(Arguments& arguments, const std::string& name) {
    for (auto entry = arguments.named.begin(); entry != arguments.named.end(); ++entry) {
      if (entry->first != name) continue;
      const Value value = entry->second;
      arguments.named.erase(entry);
      return value;
    }
    return {};
  }

  std::string call_macro(const Macro& macro, Arguments arguments) override {
    if (++macros_ > max_macros_) fail("macros call each other deeper than ", max_macros_, " levels");
    const Inner inner(*this, macro.scope);
    bind(*macro.syntax, arguments);
    std::string text = captured([&] { run_body(macro.syntax->body); });
    --macros_;
    return text;
  }

  std::string call_loop(const Loop& loop, const Value& iterable) override {
    if (loop.recursion == nullptr) fail("only a loop marked 'recursive' can be called");
    if (++macros_ > max_macros_) fail("loops call themselves deeper than ", max_macros_, " levels");
    auto* around = static_cast<Scope*>(loop.scope);
    std::string text = captured([&] { iterate(*loop.recursion, iterable, loop.depth0 + 1, around); });
    --macros_;
    return text;
  }

  /// Sets the parameters of a macro in the present scope.
  void bind(const MacroSyntax& macro, Arguments& arguments) {
    const Index count = macro.parameters.size();
    const std::string shown = macro.text.empty() ? "the call block" : "the macro '" + macro.text + "'";
    const Index first_default = count - macro.defaults.size();
    std::vector<Index> open;  // parameters that were not given
    bool own_caller = false;
    for (Index i = 0; i < count; ++i) {
      heap_.charge(1 + arguments.named.size() / 8);
      const std::string& name = tree_.names[macro.parameters[i]];
      own_caller |= name == "caller";
      Value value = i < arguments.positional.size() ? arguments.positional[i] : take_named(arguments, name);
      if (value.is_missing()) {
        open.push_back(i);
        value = heap_.undefined(join({"the parameter '", name, "' was not given"}));
      }
      scope_->set(macro.parameters[i], value);
    }
    if (macro.reads_caller && !own_caller) {
      const Value caller = take_named(arguments, "caller");
      const bool none = caller.is_missing() || caller.is(Kind::none);
      scope_->set(*caller_name_, none ? heap_.undefined("there is no caller") : caller);
    }
    if (!macro.reads_named && !arguments.named.empty()) {
      fail(shown, " has no parameter '", arguments.named[0].first, "'");
    }
    if (!macro.reads_positional && arguments.positional.size() > count) {
      fail(shown, " takes ", count, " arguments, found ", arguments.positional.size());
    }
    if (macro.reads_named) scope_->set(*named_name_, make_dict(heap_, {{}, arguments.named}));
    if (macro.reads_positional) {
      const auto begin = arguments.positional.begin();
      const auto given = static_cast<std::ptrdiff_t>(std::min(count, arguments.positional.size()));
      scope_->set(*positional_name_, heap_.tuple({begin + given, arguments.positional.end()}));
    }
    for (const Index i : open) {
      if (i >= first_default) scope_->set(macro.parameters[i], evaluate(*macro.defaults[i - first_default]));
    }
  }

  std::optional<Name> name_of(std::string_view name) const {
    for (Name i = 0; i < tree_.names.size(); ++i) {
      if (tree_.names[i] == name) return i;
    }
    return std::nullopt;
  }

  const Index max_macros_;
  const std::optional<Name> loop_name_;
  const std::optional<Name> caller_name_;
  const std::optional<Name> named_name_;
  const std::optional<Name> positional_name_;
  Scope* root_ = nullptr;
  std::string out_;
  Index captures_ = 0;   // texts that are being captured
  Index root_size_ = 0;  // bytes that were written before the outermost of them
  Index macros_ = 0;
  std::vector<std::pair<Index, Index>> generated_;
};

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
