// The syntax tree of a chat template.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "merit/core/version.hpp"
#include "merit/core/view.hpp"
#include "merit/jinja/value.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail::jinja {

using Name = std::uint32_t;  // the place of a variable's name in Tree::names

enum class Operator : std::uint8_t {
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  power,
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  in,
  not_in
};

struct Expression;
using ExpressionPointer = std::unique_ptr<Expression>;

/// The arguments of a call as they are written.
struct CallSyntax {
  std::vector<ExpressionPointer> positional;
  std::vector<std::pair<std::string, ExpressionPointer>> named;
  ExpressionPointer more_positional;  // *expression
  ExpressionPointer more_named;       // **expression
};

struct Expression {
  enum Kind : std::uint8_t {
    constant,     // value
    variable,     // name
    list,         // parts
    tuple,        // parts
    dict,         // parts: key, value, key, value …
    conditional,  // parts: test, then, else or nothing
    all,          // parts: and
    any,          // parts: or
    negation,     // parts[0]: not
    comparison,   // parts, operators between them
    arithmetic,   // parts, operators between them, from left to right
    concatenation,
    minus,
    plus,
    attribute,  // parts[0], text
    item,       // parts: of what, which
    slice,      // parts: of what, start, stop, step, each or nothing
    call,       // parts[0], arguments
    filter,     // parts[0] (nothing: the text of the block around), text, arguments
    test,       // parts[0], text, arguments
  };
  Kind kind = constant;
  std::uint32_t at = 0;      // byte of the source
  std::uint32_t height = 1;  // levels of expressions down from here
  Name name = 0;
  Value value;
  std::string text;
  std::vector<ExpressionPointer> parts;
  std::vector<Operator> operators;
  std::unique_ptr<CallSyntax> arguments;
};

struct Statement;
using Body = std::vector<Statement>;

/// The parameters and body of a macro, or of a call block, which has no name.
struct MacroSyntax {
  std::string text;
  std::vector<Name> parameters;
  std::vector<ExpressionPointer> defaults;  // of the last parameters
  bool reads_named = false;                 // the body names `kwargs`
  bool reads_positional = false;            // … `varargs`
  bool reads_caller = false;
  Body body;
};

struct Branch {
  ExpressionPointer test;  // nothing: else
  Body body;
};

struct Statement {
  enum Kind : std::uint8_t {
    output,        // expressions
    choice,        // branches
    loop,          // target, expressions: of what, filter or nothing; body; otherwise
    assignment,    // target, expressions[0]
    capture,       // target, expressions[0]: filter or nothing; body
    macro,         // name, macro
    call,          // expressions[0]: the call; macro
    filter_block,  // expressions[0]; body
    with,          // targets and expressions; body
    generation,    // macro
    block,         // body
    leave,         // break
    next,          // continue
  };
  Kind kind = output;
  std::uint32_t at = 0;
  Name name = 0;
  bool recursive = false;
  std::vector<ExpressionPointer> targets;  // a variable, a tuple of targets, or an attribute of a namespace
  std::vector<ExpressionPointer> expressions;
  std::vector<Branch> branches;
  Body body;
  Body otherwise;
  std::unique_ptr<MacroSyntax> macro_syntax;
};

/// A parsed template. It does not change after parsing, so threads can share it.
struct Tree {
  std::string source;  // with \n line ends
  std::vector<std::string> names;
  std::deque<String> strings;  // of constants
  Body body;
};

/// "where:line:column: " of a byte of the source; lines and columns count from 1, columns in bytes.
inline std::string place_in(const std::string& where, const std::string& source, Index at) {
  Index line = 1;
  Index begin = 0;
  for (Index i = 0; i < at && i < source.size(); ++i) {
    if (source[i] != '\n') continue;
    ++line;
    begin = i + 1;
  }
  return join({where, ":", line, ":", at - begin + 1, ": "});
}

}  // namespace detail::jinja
}  // namespace MERIT_ABI
}  // namespace merit
