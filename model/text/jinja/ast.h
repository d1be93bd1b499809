// A parsed template.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "model/text/jinja/value.h"

namespace headroom::model::jinja {

struct Expression;
struct Statement;
using ExpressionPtr = std::unique_ptr<Expression>;
using Block = std::vector<Statement>;

// a, name=b, *c, **d
struct Arguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr more_positional;  // null, or
  ExpressionPtr more_named;
};

struct Constant {
  Value value;
};
struct Name {
  std::string name;
};
struct ListLiteral {
  List::Kind kind = List::Kind::kList;  // or kTuple
  std::vector<ExpressionPtr> items;
};
struct DictLiteral {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> items;
};
struct Attribute {
  ExpressionPtr object;
  std::string name;
};
struct Subscript {
  ExpressionPtr object;
  ExpressionPtr index;
};
// object[begin:end:step]; each may be null.
struct Slice {
  ExpressionPtr object;
  ExpressionPtr begin, end, step;
};
struct Call {
  ExpressionPtr callee;
  Arguments arguments;
};
struct Filter {
  ExpressionPtr input;  // null for the text of a filter block
  std::string name;
  Arguments arguments;
};
struct Test {
  ExpressionPtr input;
  std::string name;
  Arguments arguments;
};
struct Unary {
  enum class Operator { kNot, kMinus, kPlus };
  Operator op;
  ExpressionPtr operand;
};
enum class BinaryOperator { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower, kAnd, kOr };
struct Binary {
  BinaryOperator op;
  ExpressionPtr left, right;
};
// a ~ b ~ c
struct Concatenation {
  std::vector<ExpressionPtr> parts;
};
enum class ComparisonOperator { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };
// first op rest[0] op rest[1] …: each pair must hold.
struct ComparisonChain {
  ExpressionPtr first;
  std::vector<std::pair<ComparisonOperator, ExpressionPtr>> rest;
};
// then if condition else otherwise; `otherwise` may be null.
struct Conditional {
  ExpressionPtr condition, then, otherwise;
};

struct Expression {
  std::variant<Constant, Name, ListLiteral, DictLiteral, Attribute, Subscript, Slice, Call, Filter, Test, Unary, Binary,
               Concatenation, ComparisonChain, Conditional>
      node;
  int line = 0;
};

// What a value is assigned to: a name, an attribute of a namespace, or one target for each element.
struct Target {
  std::string name;
  std::string attribute;  // empty, or `name` is a namespace
  std::vector<Target> elements;
};

struct Parameter {
  std::string name;
  ExpressionPtr fallback;  // may be null
};

// A macro, and the body of a call block.
struct Macro {
  std::string name;
  std::vector<Parameter> parameters;
  Block body;
  // Whether the body names them: only then a call may give more than the parameters.
  bool uses_varargs = false;
  bool uses_kwargs = false;
  bool uses_caller = false;
};

struct Data {
  Value text;
};
struct Output {
  ExpressionPtr value;
};
struct If {
  std::vector<std::pair<ExpressionPtr, Block>> branches;  // if and elif
  Block otherwise;
};
struct For {
  Target target;
  ExpressionPtr iterable;
  ExpressionPtr filter;  // may be null
  bool recursive = false;
  Block body;
  Block otherwise;
};
struct Set {
  Target target;
  ExpressionPtr value;
};
// {% set x %}…{% endset %}, {% filter f %}…{% endfilter %} (`target` absent then).
struct Capture {
  std::optional<Target> target;
  ExpressionPtr filter;  // may be null; its innermost input is
  Block body;
};
struct MacroDefinition {
  Macro macro;
};
struct CallBlock {
  Macro caller;
  ExpressionPtr call;
};
struct With {
  std::vector<std::pair<Target, ExpressionPtr>> values;
  Block body;
};
struct Break {};
struct Continue {};

struct Statement {
  std::variant<Data, Output, If, For, Set, Capture, MacroDefinition, CallBlock, With, Break, Continue> node;
  int line = 0;
};

}  // namespace headroom::model::jinja
