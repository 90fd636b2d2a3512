// What the parsers of expressions and statements share: the tokens, the depth, and how nodes are made.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "merit/core/view.hpp"
#include "merit/jinja/lexer.hpp"
#include "merit/jinja/syntax.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

class ParserBase {
 protected:
  static constexpr Index max_arguments = 1000;  // their names are compared with each other

  ParserBase(Tree& tree, Index max_depth)
      : tree_(tree), max_depth_(max_depth), tokens_(Lexer(tree.source).run()) {}

  /// One level deeper in the source; throws where that is too deep.
  class Level {
   public:
    explicit Level(ParserBase& parser) : parser_(parser) {
      if (++parser_.depth_ > parser_.max_depth_) {
        --parser_.depth_;
        parser_.fail_here(join({"the template is nested deeper than ", parser_.max_depth_, " levels"}));
      }
    }
    Level(const Level&) = delete;
    ~Level() { --parser_.depth_; }

   private:
    ParserBase& parser_;
  };

  // Tokens.
  const Token& token(Index ahead = 0) const { return tokens_[std::min(next_ + ahead, tokens_.size() - 1)]; }
  const Token& take() {
    const Token& taken = token();
    if (next_ + 1 < tokens_.size()) ++next_;
    return taken;
  }
  bool skip_sign(std::string_view sign) {
    if (!token().is_sign(sign)) return false;
    take();
    return true;
  }
  bool skip_name(std::string_view name) {
    if (!token().is_name(name)) return false;
    take();
    return true;
  }
  void expect_sign(std::string_view sign) {
    if (!skip_sign(sign)) fail_here(join({"expected '", sign, "', found ", found()}));
  }
  std::string expect_name() {
    if (token().kind != Token::name) fail_here("expected a name, found " + found());
    const std::string& text = token().text;
    const auto first = static_cast<unsigned char>(text[0]);
    if (first >= '0' && first <= '9') fail_here("expected a name, found " + quote_word(text));
    return take().text;
  }
  void expect(Token::Kind kind, std::string_view text) {
    if (token().kind != kind) fail_here(join({"expected ", text, ", found ", found()}));
    take();
  }
  static std::string quote_word(std::string_view word) { return join({"'", word.substr(0, 60), "'"}); }
  std::string found() const {
    switch (token().kind) {
      case Token::data: return "text";
      case Token::variable_begin: return "'{{'";
      case Token::variable_end: return "'}}'";
      case Token::block_begin: return "'{%'";
      case Token::block_end: return "'%}'";
      case Token::string: return "a string";
      case Token::integer:
      case Token::number: return "a number";
      case Token::end: return "the end of the template";
      default: return quote_word(token().text);
    }
  }
  [[noreturn]] void fail_here(std::string text) const { throw SyntaxFailure{token().at, std::move(text)}; }

  // Nodes.
  ExpressionPointer make(Expression::Kind kind, Index at) const {
    auto node = std::make_unique<Expression>();
    node->kind = kind;
    node->at = static_cast<std::uint32_t>(at);
    return node;
  }
  /// A node whose parts are complete. Its height is limited, for it is walked by recursion.
  ExpressionPointer complete(ExpressionPointer node) const {
    Index height = 0;
    const auto see = [&](const ExpressionPointer& part) {
      if (part) height = std::max<Index>(height, part->height);
    };
    for (const auto& part : node->parts) see(part);
    if (node->arguments) {
      for (const auto& part : node->arguments->positional) see(part);
      for (const auto& [name, part] : node->arguments->named) see(part);
      see(node->arguments->more_positional);
      see(node->arguments->more_named);
    }
    if (height >= max_depth_) {
      throw SyntaxFailure{node->at, join({"the expression is nested deeper than ", max_depth_, " levels"})};
    }
    node->height = static_cast<std::uint32_t>(height + 1);
    return node;
  }
  template <class... Parts>
  ExpressionPointer make(Expression::Kind kind, Index at, Parts... parts) const {
    ExpressionPointer node = make(kind, at);
    (node->parts.push_back(std::move(parts)), ...);
    return complete(std::move(node));
  }
  ExpressionPointer constant(Index at, Value value) const {
    ExpressionPointer node = make(Expression::constant, at);
    node->value = value;
    return node;
  }
  ExpressionPointer text_constant(Index at, std::string text) {
    return constant(at, Value(Kind::string, &tree_.strings.emplace_back(std::move(text))));
  }
  Name name_of(const std::string& name) {
    const auto [entry, fresh] = names_.emplace(name, static_cast<Name>(tree_.names.size()));
    if (fresh) tree_.names.push_back(name);
    return entry->second;
  }
  ExpressionPointer variable(Index at, const std::string& name) {
    reads_.caller |= name == "caller";
    reads_.named |= name == "kwargs";
    reads_.positional |= name == "varargs";
    ExpressionPointer node = make(Expression::variable, at);
    node->name = name_of(name);
    return node;
  }

  struct Reads {
    bool caller = false;
    bool named = false;
    bool positional = false;
  };
  Tree& tree_;
  const Index max_depth_;
  std::vector<Token> tokens_;
  Index next_ = 0;
  Index depth_ = 0;
  Reads reads_;                         // the special names of macros that were read so far
  std::vector<SyntaxFailure> unknown_;  // filters and tests that do not exist, outside choices
  std::unordered_map<std::string, Name> names_;
};

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
