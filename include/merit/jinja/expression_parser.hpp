// The expressions of a chat template, by recursive descent with Jinja's precedences.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/jinja/builtins.hpp"
#include "merit/jinja/lexer.hpp"
#include "merit/jinja/parser_base.hpp"
#include "merit/jinja/syntax.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

class ExpressionParser : protected ParserBase {
 protected:
  using ParserBase::ParserBase;

  // Expressions, from the loosest to the tightest.
  ExpressionPointer parse_expression(bool with_condition = true) {
    const Level level(*this);
    if (!with_condition) return parse_any();
    const Index unknown = unknown_.size();
    const Index at = token().at;
    ExpressionPointer node = parse_any();
    while (skip_name("if")) {
      ExpressionPointer test = parse_any();
      ExpressionPointer otherwise = skip_name("else") ? parse_expression() : nullptr;
      node = make(Expression::conditional, at, std::move(test), std::move(node), std::move(otherwise));
      unknown_.resize(std::min(unknown, unknown_.size()));  // in a choice these matter where they are reached
    }
    return node;
  }

  ExpressionPointer parse_any() {
    const Index at = token().at;
    ExpressionPointer node = parse_all();
    if (!token().is_name("or")) return node;
    ExpressionPointer many = make(Expression::any, at);
    many->parts.push_back(std::move(node));
    while (skip_name("or")) many->parts.push_back(parse_all());
    return complete(std::move(many));
  }
  ExpressionPointer parse_all() {
    const Index at = token().at;
    ExpressionPointer node = parse_not();
    if (!token().is_name("and")) return node;
    ExpressionPointer many = make(Expression::all, at);
    many->parts.push_back(std::move(node));
    while (skip_name("and")) many->parts.push_back(parse_not());
    return complete(std::move(many));
  }
  ExpressionPointer parse_not() {
    const Index at = token().at;
    if (!token().is_name("not")) return parse_comparison();
    const Level level(*this);
    take();
    return make(Expression::negation, at, parse_not());
  }

  /// The operator at the present token, if it is one of `table`.
  struct Sign {
    std::string_view text;
    Operator operation;
  };
  template <std::size_t Count>
  bool skip_operator(const Sign (&table)[Count], Operator& operation) {
    if (token().kind != Token::sign) return false;
    for (const Sign& sign : table) {
      if (token().text != sign.text) continue;
      operation = sign.operation;
      take();
      return true;
    }
    return false;
  }

  ExpressionPointer parse_comparison() {
    static constexpr Sign table[] = {{"==", Operator::equal},  {"!=", Operator::not_equal},
                                     {"<", Operator::less},    {"<=", Operator::less_equal},
                                     {">", Operator::greater}, {">=", Operator::greater_equal}};
    const Index at = token().at;
    ExpressionPointer node = parse_sum();
    ExpressionPointer many;
    while (true) {
      Operator operation{};
      if (skip_name("in")) {
        operation = Operator::in;
      } else if (token().is_name("not") && token(1).is_name("in")) {
        take();
        take();
        operation = Operator::not_in;
      } else if (!skip_operator(table, operation)) {
        break;
      }
      if (!many) {
        many = make(Expression::comparison, at);
        many->parts.push_back(std::move(node));
      }
      many->operators.push_back(operation);
      many->parts.push_back(parse_sum());
    }
    return many ? complete(std::move(many)) : std::move(node);
  }

  template <std::size_t Count, class Part>
  ExpressionPointer parse_arithmetic(const Sign (&table)[Count], const Part& part) {
    const Index at = token().at;
    ExpressionPointer node = part();
    ExpressionPointer many;
    Operator operation{};
    while (skip_operator(table, operation)) {
      if (!many) {
        many = make(Expression::arithmetic, at);
        many->parts.push_back(std::move(node));
      }
      many->operators.push_back(operation);
      many->parts.push_back(part());
    }
    return many ? complete(std::move(many)) : std::move(node);
  }
  ExpressionPointer parse_sum() {
    static constexpr Sign table[] = {{"+", Operator::add}, {"-", Operator::subtract}};
    return parse_arithmetic(table, [this] { return parse_concatenation(); });
  }
  ExpressionPointer parse_concatenation() {
    const Index at = token().at;
    ExpressionPointer node = parse_product();
    if (!token().is_sign("~")) return node;
    ExpressionPointer many = make(Expression::concatenation, at);
    many->parts.push_back(std::move(node));
    while (skip_sign("~")) many->parts.push_back(parse_product());
    return complete(std::move(many));
  }
  ExpressionPointer parse_product() {
    static constexpr Sign table[] = {{"*", Operator::multiply},
                                     {"/", Operator::divide},
                                     {"//", Operator::floor_divide},
                                     {"%", Operator::modulo}};
    return parse_arithmetic(table, [this] { return parse_power(); });
  }
  ExpressionPointer parse_power() {
    static constexpr Sign table[] = {{"**", Operator::power}};
    return parse_arithmetic(table, [this] { return parse_unary(true); });
  }

  ExpressionPointer parse_unary(bool with_filters) {
    const Index at = token().at;
    ExpressionPointer node;
    if (token().is_sign("-") || token().is_sign("+")) {
      const Level level(*this);
      const auto kind = take().text == "-" ? Expression::minus : Expression::plus;
      node = make(kind, at, parse_unary(false));
    } else {
      node = parse_primary();
    }
    node = parse_postfix(std::move(node));
    return with_filters ? parse_filters_and_tests(std::move(node)) : std::move(node);
  }

  /// A name, a literal or something in brackets. With `with_attribute` a name and its attribute are what an
  /// assignment can set of a namespace.
  ExpressionPointer parse_primary(bool with_attribute = false) {
    const Index at = token().at;
    switch (token().kind) {
      case Token::name: {
        const std::string name = expect_name();
        if (name == "true" || name == "True") return constant(at, Value::boolean(true));
        if (name == "false" || name == "False") return constant(at, Value::boolean(false));
        if (name == "none" || name == "None") return constant(at, Value::none());
        if (!with_attribute || !skip_sign(".")) return variable(at, name);
        ExpressionPointer node = make(Expression::attribute, at);
        node->name = name_of(name);
        node->text = expect_name();
        return node;
      }
      case Token::string: {
        std::string text = take().text;
        while (token().kind == Token::string) text += take().text;
        return text_constant(at, std::move(text));
      }
      case Token::integer: return constant(at, Value::integer(take().whole));
      case Token::number: return constant(at, Value::number(take().real));
      default: break;
    }
    if (skip_sign("(")) {
      ExpressionPointer node = parse_tuple({.parentheses = true});
      expect_sign(")");
      return node;
    }
    if (skip_sign("[")) return parse_items(Expression::list, at, "]");
    if (skip_sign("{")) return parse_items(Expression::dict, at, "}");
    fail_here("expected an expression, found " + found());
  }

  ExpressionPointer parse_items(Expression::Kind kind, Index at, std::string_view closing) {
    ExpressionPointer node = make(kind, at);
    while (!token().is_sign(closing)) {
      if (!node->parts.empty()) expect_sign(",");
      if (token().is_sign(closing)) break;
      node->parts.push_back(parse_expression());
      if (kind != Expression::dict) continue;
      expect_sign(":");
      node->parts.push_back(parse_expression());
    }
    take();
    return complete(std::move(node));
  }

  struct TupleRules {
    bool targets = false;  // only what can be assigned to
    bool attributes = false;
    bool with_condition = true;
    bool parentheses = false;  // there are parentheses around it, so it may be empty
    std::string_view end_name = {};
  };
  /// An expression, or several with commas between them.
  ExpressionPointer parse_tuple(TupleRules rules) {
    const Level level(*this);
    const Index at = token().at;
    ExpressionPointer many = make(Expression::tuple, at);
    bool is_tuple = false;
    while (true) {
      if (!many->parts.empty()) expect_sign(",");
      if (token().kind == Token::variable_end || token().kind == Token::block_end || token().is_sign(")") ||
          (!rules.end_name.empty() && token().is_name(rules.end_name))) {
        break;
      }
      many->parts.push_back(rules.targets ? parse_primary(rules.attributes)
                                          : parse_expression(rules.with_condition));
      if (!token().is_sign(",")) break;
      is_tuple = true;
    }
    if (is_tuple) return complete(std::move(many));
    if (!many->parts.empty()) return std::move(many->parts[0]);
    if (!rules.parentheses) fail_here("expected an expression, found " + found());
    return complete(std::move(many));
  }

  ExpressionPointer parse_postfix(ExpressionPointer node) {
    while (true) {
      if (token().is_sign(".")) {
        node = parse_attribute(std::move(node));
      } else if (token().is_sign("[")) {
        node = parse_subscript(std::move(node));
      } else if (token().is_sign("(")) {
        node = parse_call(std::move(node));
      } else {
        return node;
      }
    }
  }
  ExpressionPointer parse_attribute(ExpressionPointer node) {
    const Index at = take().at;
    if (token().kind == Token::integer) {
      ExpressionPointer which = constant(token().at, Value::integer(token().whole));
      take();
      return make(Expression::item, at, std::move(node), std::move(which));
    }
    std::string name = expect_name();
    ExpressionPointer result = make(Expression::attribute, at, std::move(node));
    result->text = std::move(name);
    return result;
  }

  ExpressionPointer parse_subscript(ExpressionPointer node) {
    const Index at = take().at;
    std::vector<ExpressionPointer> which;
    ExpressionPointer slice;
    bool comma = false;
    while (!token().is_sign("]")) {
      if (!which.empty() || slice) {
        expect_sign(",");
        comma = true;
      }
      if (slice) fail_here("a slice among several subscripts is not supported");
      ExpressionPointer start = token().is_sign(":") ? nullptr : parse_expression();
      if (!skip_sign(":")) {
        which.push_back(std::move(start));
        continue;
      }
      const auto bound = [&] {
        return token().is_sign(":") || token().is_sign("]") || token().is_sign(",") ? nullptr
                                                                                    : parse_expression();
      };
      ExpressionPointer stop = bound();
      ExpressionPointer step = skip_sign(":") ? bound() : nullptr;
      slice = make(Expression::slice, at, nullptr, std::move(start), std::move(stop), std::move(step));
    }
    take();
    if (slice) {
      if (!which.empty() || comma) fail_here("a slice among several subscripts is not supported");
      slice->parts[0] = std::move(node);
      return complete(std::move(slice));
    }
    if (which.size() != 1) {
      ExpressionPointer many = make(Expression::tuple, at);
      many->parts = std::move(which);
      which.clear();
      which.push_back(complete(std::move(many)));
    }
    return make(Expression::item, at, std::move(node), std::move(which[0]));
  }

  std::unique_ptr<CallSyntax> parse_arguments() {
    const Level level(*this);
    auto arguments = std::make_unique<CallSyntax>();
    expect_sign("(");
    bool first = true;
    Index count = 0;
    while (!token().is_sign(")")) {
      if (!first) {
        expect_sign(",");
        if (token().is_sign(")")) break;
      }
      first = false;
      if (++count > max_arguments) fail_here("a call has too many arguments");
      const bool starred = arguments->more_positional || arguments->more_named;
      const auto ensure = [&](bool valid) {
        if (!valid) fail_here("this argument cannot stand behind those before it");
      };
      if (skip_sign("*")) {
        ensure(!starred);
        arguments->more_positional = parse_expression();
      } else if (skip_sign("**")) {
        ensure(!arguments->more_named);
        arguments->more_named = parse_expression();
      } else if (token().kind == Token::name && token(1).is_sign("=")) {
        ensure(!arguments->more_named);
        std::string name = take().text;
        for (const auto& [other, value] : arguments->named) {
          if (other == name) fail_here(join({"the argument '", name, "' is given twice"}));
        }
        take();
        arguments->named.emplace_back(std::move(name), parse_expression());
      } else {
        ensure(!starred && arguments->named.empty());
        arguments->positional.push_back(parse_expression());
      }
    }
    expect_sign(")");
    return arguments;
  }

  ExpressionPointer parse_call(ExpressionPointer node) {
    const Index at = token().at;
    ExpressionPointer call = make(Expression::call, at);
    call->parts.push_back(std::move(node));
    call->arguments = parse_arguments();
    return complete(std::move(call));
  }

  ExpressionPointer parse_filters_and_tests(ExpressionPointer node) {
    while (true) {
      if (skip_sign("|")) {
        node = parse_filter(std::move(node));
      } else if (token().is_name("is")) {
        node = parse_test(std::move(node));
      } else if (token().is_sign("(")) {
        node = parse_call(std::move(node));
      } else {
        return node;
      }
    }
  }
  std::string parse_dotted_name() {
    std::string name = expect_name();
    while (skip_sign(".")) {
      name += '.';
      name += expect_name();
    }
    return name;
  }
  /// One filter, behind its "|".
  ExpressionPointer parse_filter(ExpressionPointer node) {
    const Index at = token().at;
    ExpressionPointer filter = make(Expression::filter, at);
    filter->parts.push_back(std::move(node));
    filter->text = parse_dotted_name();
    if (!is_filter(filter->text)) unknown_.push_back({at, join({"there is no filter '", filter->text, "'"})});
    filter->arguments = token().is_sign("(") ? parse_arguments() : std::make_unique<CallSyntax>();
    return complete(std::move(filter));
  }
  ExpressionPointer parse_test(ExpressionPointer node) {
    const Index at = take().at;
    const bool negated = skip_name("not");
    ExpressionPointer test = make(Expression::test, at);
    test->parts.push_back(std::move(node));
    test->text = parse_dotted_name();
    if (!is_test(test->text)) unknown_.push_back({at, join({"there is no test '", test->text, "'"})});
    test->arguments = std::make_unique<CallSyntax>();
    const Token& next = token();
    const bool word = next.kind == Token::name;
    if (next.is_sign("(")) {
      test->arguments = parse_arguments();
    } else if ((word && !next.is_name("else") && !next.is_name("or") && !next.is_name("and")) ||
               next.kind == Token::string || next.kind == Token::integer || next.kind == Token::number ||
               next.is_sign("[") || next.is_sign("{")) {
      if (next.is_name("is")) fail_here("tests cannot be chained with 'is'");
      test->arguments->positional.push_back(parse_postfix(parse_primary()));
    }
    test = complete(std::move(test));
    return negated ? make(Expression::negation, at, std::move(test)) : std::move(test);
  }
};

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
