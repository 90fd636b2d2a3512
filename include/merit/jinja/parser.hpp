// The statements of a chat template.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merit/core/error.hpp"
#include "merit/core/view.hpp"
#include "merit/jinja/expression_parser.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

class Parser : private ExpressionParser {
 public:
  /// Fills the tree of a source that normal_source made. Throws SyntaxFailure.
  static void parse(Tree& tree, Index max_depth) {
    Parser parser(tree, max_depth);
    tree.body = parser.parse_body({});
    parser.refuse_unknown(0);
  }

 private:
  using ExpressionParser::ExpressionParser;
  using Words = std::initializer_list<std::string_view>;

  /// Filters and tests that do not exist are an error wherever they stand, but in choices.
  void refuse_unknown(Index from) const {
    if (unknown_.size() > from) throw unknown_[from];
  }

  /// Statements up to one of the tags `ends`, whose name is the next token then; with none up to the end.
  Body parse_body(Words ends) {
    const Level level(*this);
    Body body;
    while (token().kind != Token::end) {
      const Index at = token().at;
      if (token().kind == Token::data) {
        add_output(body, at, text_constant(at, take().text));
      } else if (token().kind == Token::variable_begin) {
        take();
        add_output(body, at, parse_tuple({}));
        expect(Token::variable_end, "'}}'");
      } else {
        expect(Token::block_begin, "'{%'");
        if (token().kind == Token::name && std::find(ends.begin(), ends.end(), token().text) != ends.end()) {
          return body;
        }
        body.push_back(parse_statement(ends));
        expect(Token::block_end, "'%}'");
      }
    }
    if (ends.size() != 0) fail_here("found the end of the template, expected " + list_of(ends));
    return body;
  }

  static std::string list_of(Words words) {
    std::string text;
    for (const std::string_view word : words) {
      text += text.empty() ? "" : " or ";
      text += quote_word(word);
    }
    return text;
  }

  static void add_output(Body& body, Index at, ExpressionPointer expression) {
    if (body.empty() || body.back().kind != Statement::output) {
      body.push_back(statement(Statement::output, at));
    }
    body.back().expressions.push_back(std::move(expression));
  }

  static Statement statement(Statement::Kind kind, Index at) {
    Statement result;
    result.kind = kind;
    result.at = static_cast<std::uint32_t>(at);
    return result;
  }

  /// The body behind a tag's words: the tag ends here. What ends the body is left as the next token.
  Body parse_block(Words ends) {
    skip_sign(":");
    expect(Token::block_end, "'%}'");
    return parse_body(ends);
  }
  /// The same, with the tag that ends it.
  Body parse_whole_block(std::string_view end) {
    Body body = parse_block({end});
    take();
    return body;
  }

  Statement parse_statement(Words ends) {
    const Level level(*this);
    if (token().kind != Token::name) fail_here("expected the name of a tag, found " + found());
    const Index at = token().at;
    const std::string tag = take().text;
    if (tag == "if") return parse_if(at);
    if (tag == "for") return parse_for(at);
    if (tag == "set") return parse_set(at);
    if (tag == "macro") return parse_macro(at);
    if (tag == "call") return parse_call_block(at);
    if (tag == "filter") return parse_filter_block(at);
    if (tag == "with") return parse_with(at);
    if (tag == "generation") return parse_generation(at);
    if (tag == "print") return parse_print(at);
    if (tag == "block") return parse_named_block(at);
    if (tag == "break" || tag == "continue") {
      if (!in_loop_) throw SyntaxFailure{at, join({"found '", tag, "' outside a loop"})};
      return statement(tag == "break" ? Statement::leave : Statement::next, at);
    }
    static constexpr std::string_view others[] = {"extends", "include", "import", "from", "autoescape"};
    if (is_one_of(tag, others)) {
      throw SyntaxFailure{at, join({"the tag '", tag, "' is not supported in chat templates"})};
    }
    throw SyntaxFailure{at,
                        join({"found the tag ", quote_word(tag),
                              ends.size() == 0 ? ", expected a statement" : ", expected " + list_of(ends)})};
  }

  Statement parse_if(Index at) {
    Statement node = statement(Statement::choice, at);
    const Index unknown = unknown_.size();
    while (true) {
      Branch& branch = node.branches.emplace_back();
      branch.test = parse_tuple({.with_condition = false});
      Body body = parse_block({"elif", "else", "endif"});
      node.branches.back().body = std::move(body);
      const std::string end = take().text;
      if (end == "elif") continue;
      if (end == "else") node.branches.emplace_back().body = parse_whole_block("endif");
      break;
    }
    unknown_.resize(std::min(unknown, unknown_.size()));  // in a choice they matter where they are reached
    return node;
  }

  /// Bodies with names of their own: they are no part of a choice around them, nor of a loop unless they say
  /// so.
  template <class Parse>
  auto parse_inner(bool in_loop, const Parse& parse) {
    const bool outer_loop = std::exchange(in_loop_, in_loop);
    const Index unknown = unknown_.size();
    auto result = parse();
    refuse_unknown(unknown);
    in_loop_ = outer_loop;
    return result;
  }

  Statement parse_for(Index at) {
    Statement node = statement(Statement::loop, at);
    const Index outer_stores = std::exchange(loop_stores_, 0);
    node.targets.push_back(parse_target({.targets = true, .end_name = "in"}));
    if (!skip_name("in")) fail_here("expected 'in', found " + found());
    node.expressions.push_back(parse_tuple({.with_condition = false, .end_name = "recursive"}));
    ExpressionPointer test;
    if (skip_name("if")) test = parse_inner(in_loop_, [&] { return parse_expression(); });
    node.expressions.push_back(std::move(test));
    node.recursive = skip_name("recursive");
    node.body = parse_inner(true, [&] { return parse_block({"endfor", "else"}); });
    if (take().text == "else") {
      node.otherwise = parse_inner(in_loop_ && !node.recursive, [&] { return parse_whole_block("endfor"); });
    }
    if (loop_stores_ != 0) throw SyntaxFailure{at, "the variable 'loop' cannot be set in a loop"};
    loop_stores_ = outer_stores;
    return node;
  }

  /// What can be assigned to.
  ExpressionPointer parse_target(TupleRules rules) {
    ExpressionPointer target = parse_tuple(rules);
    check_target(*target);
    return target;
  }
  void check_target(const Expression& target) {
    if (target.kind == Expression::tuple) {
      for (const auto& part : target.parts) check_target(*part);
    } else if (target.kind == Expression::variable) {
      loop_stores_ += tree_.names[target.name] == "loop" ? 1 : 0;
    } else if (target.kind != Expression::attribute || !target.parts.empty()) {
      throw SyntaxFailure{target.at, "expected a name to assign to"};
    }
  }

  Statement parse_set(Index at) {
    Statement node = statement(Statement::assignment, at);
    node.targets.push_back(parse_target({.targets = true, .attributes = true}));
    if (skip_sign("=")) {
      node.expressions.push_back(parse_tuple({}));
      return node;
    }
    node.kind = Statement::capture;
    node.expressions.push_back(parse_inner(in_loop_, [&] {
      ExpressionPointer filter;
      while (skip_sign("|")) filter = parse_filter(std::move(filter));
      return filter;
    }));
    node.body = parse_inner(in_loop_, [&] { return parse_whole_block("endset"); });
    return node;
  }

  Name parse_simple_target() {
    const Index at = token().at;
    const std::string name = expect_name();
    static constexpr std::string_view reserved[] = {"true", "false", "none", "True", "False", "None"};
    if (is_one_of(name, reserved)) throw SyntaxFailure{at, "expected a name to assign to"};
    return name_of(name);
  }

  void parse_signature(MacroSyntax& macro) {
    expect_sign("(");
    while (!token().is_sign(")")) {
      if (!macro.parameters.empty()) expect_sign(",");
      if (macro.parameters.size() == max_arguments) fail_here("a macro has too many parameters");
      const Index at = token().at;
      const Name name = parse_simple_target();
      if (std::find(macro.parameters.begin(), macro.parameters.end(), name) != macro.parameters.end()) {
        throw SyntaxFailure{at, join({"the parameter '", tree_.names[name], "' occurs twice"})};
      }
      if (skip_sign("=")) {
        macro.defaults.push_back(parse_expression());
      } else if (!macro.defaults.empty()) {
        fail_here("a parameter without a default stands behind one that has one");
      }
      macro.parameters.push_back(name);
    }
    take();
  }

  void parse_macro_body(MacroSyntax& macro, Index at, std::string_view end) {
    const Reads outer = std::exchange(reads_, {});
    macro.body = parse_inner(false, [&] { return parse_whole_block(end); });
    macro.reads_caller = reads_.caller;
    macro.reads_named = reads_.named;
    macro.reads_positional = reads_.positional;
    for (Index i = 0; i < macro.parameters.size(); ++i) {
      const std::string& name = tree_.names[macro.parameters[i]];
      if (name == "kwargs") macro.reads_named = false;
      if (name == "varargs") macro.reads_positional = false;
      if (name == "caller" && macro.reads_caller && i + macro.defaults.size() < macro.parameters.size()) {
        throw SyntaxFailure{at, "the parameter 'caller' needs a default"};
      }
    }
    reads_ = {reads_.caller || outer.caller, reads_.named || outer.named,
              reads_.positional || outer.positional};
  }

  Statement parse_macro(Index at) {
    Statement node = statement(Statement::macro, at);
    node.macro_syntax = std::make_unique<MacroSyntax>();
    node.name = parse_simple_target();
    node.macro_syntax->text = tree_.names[node.name];
    parse_inner(false, [&] {
      parse_signature(*node.macro_syntax);
      return 0;
    });
    parse_macro_body(*node.macro_syntax, at, "endmacro");
    return node;
  }

  Statement parse_call_block(Index at) {
    Statement node = statement(Statement::call, at);
    node.macro_syntax = std::make_unique<MacroSyntax>();
    if (token().is_sign("(")) parse_signature(*node.macro_syntax);
    node.expressions.push_back(parse_expression());
    if (node.expressions[0]->kind != Expression::call)
      throw SyntaxFailure{at, "expected a call behind 'call'"};
    parse_macro_body(*node.macro_syntax, at, "endcall");
    return node;
  }

  Statement parse_generation(Index at) {
    Statement node = statement(Statement::generation, at);
    node.macro_syntax = std::make_unique<MacroSyntax>();
    parse_macro_body(*node.macro_syntax, at, "endgeneration");
    return node;
  }

  Statement parse_filter_block(Index at) {
    Statement node = statement(Statement::filter_block, at);
    node.expressions.push_back(parse_inner(in_loop_, [&] {
      ExpressionPointer filter = parse_filter(nullptr);
      while (skip_sign("|")) filter = parse_filter(std::move(filter));
      return filter;
    }));
    node.body = parse_inner(in_loop_, [&] { return parse_whole_block("endfilter"); });
    return node;
  }

  Statement parse_with(Index at) {
    Statement node = statement(Statement::with, at);
    while (token().kind != Token::block_end) {
      if (!node.targets.empty()) expect_sign(",");
      const Index loop_stores = loop_stores_;
      node.targets.push_back(parse_target({.targets = true}));
      loop_stores_ = loop_stores;
      expect_sign("=");
      node.expressions.push_back(parse_expression());
    }
    node.body = parse_inner(in_loop_, [&] { return parse_whole_block("endwith"); });
    return node;
  }

  Statement parse_print(Index at) {
    Statement node = statement(Statement::output, at);
    while (token().kind != Token::block_end) {
      if (!node.expressions.empty()) expect_sign(",");
      node.expressions.push_back(parse_expression());
    }
    return node;
  }

  Statement parse_named_block(Index at) {
    Statement node = statement(Statement::block, at);
    const std::string name = expect_name();
    if (is_one_of(name, blocks_)) throw SyntaxFailure{at, join({"the block '", name, "' occurs twice"})};
    blocks_.push_back(name);
    while (skip_name("scoped") || skip_name("required")) node.recursive = true;
    if (node.recursive) throw SyntaxFailure{at, "blocks that are scoped or required are not supported"};
    node.body = parse_inner(false, [&] { return parse_whole_block("endblock"); });
    skip_name(name);
    return node;
  }

  bool in_loop_ = false;
  Index loop_stores_ = 0;
  std::vector<std::string> blocks_;
};

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
