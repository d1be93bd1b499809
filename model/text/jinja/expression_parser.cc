#include "model/text/jinja/expression_parser.h"

#include <algorithm>

#include "model/text/jinja/parser.h"

namespace headroom::model::jinja {
namespace {

using Kind = Token::Kind;

// Counts a level of nesting down again.
class Restore {
 public:
  explicit Restore(int* depth) : depth_(depth), before_(*depth) {}
  ~Restore() { *depth_ = before_; }
  Restore(const Restore&) = delete;
  Restore& operator=(const Restore&) = delete;

 private:
  int* const depth_;
  const int before_;
};

Value TemplateText(std::string text) {
  return Value(TextRef(new Text{MarkedText(std::move(text), Origin::kTemplate), Charge()}));
}

}  // namespace

// In a chain (a + b + c) each operand nests the ones before one deeper: recursion over the tree is bounded, too.
#define HEADROOM_NEST()     \
  Restore restore(&depth_); \
  HEADROOM_RETURN_IF_ERROR(CheckNesting(++depth_))

absl::Status ExpressionParser::CheckNesting(int depth) const {
  if (depth <= kNestingMax) return absl::OkStatus();
  return ErrorAt(tokens_.line(), absl::StrCat("an expression is nested more than ", kNestingMax, " deep"));
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseExpression() {
  HEADROOM_NEST();
  HEADROOM_ASSIGN_OR_RETURN(ExpressionPtr expression, ParseOr());
  while (tokens_.IsName("if")) {
    HEADROOM_RETURN_IF_ERROR(CheckNesting(++depth_));
    const int line = tokens_.Take().line;
    HEADROOM_ASSIGN_OR_RETURN(ExpressionPtr condition, ParseOr());
    ExpressionPtr otherwise;
    if (tokens_.TakeName("else")) {
      HEADROOM_ASSIGN_OR_RETURN(otherwise, ParseExpression());
    }
    expression = Make(Conditional{std::move(condition), std::move(expression), std::move(otherwise)}, line);
  }
  return expression;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseLeftToRight(
    absl::StatusOr<ExpressionPtr> (ExpressionParser::*operand)(), Operators operators, bool by_name) {
  Restore restore(&depth_);
  HEADROOM_ASSIGN_OR_RETURN(ExpressionPtr left, (this->*operand)());
  while (true) {
    const auto* found = operators.begin();
    while (found != operators.end() && !(by_name ? tokens_.IsName(found->first) : tokens_.IsOperator(found->first)))
      ++found;
    if (found == operators.end()) return left;
    HEADROOM_RETURN_IF_ERROR(CheckNesting(++depth_));
    const int line = tokens_.Take().line;
    HEADROOM_ASSIGN_OR_RETURN(ExpressionPtr right, (this->*operand)());
    left = Make(Binary{found->second, std::move(left), std::move(right)}, line);
  }
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseOr() {
  return ParseLeftToRight(&ExpressionParser::ParseAnd, {{"or", BinaryOperator::kOr}}, /*by_name=*/true);
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseAnd() {
  return ParseLeftToRight(&ExpressionParser::ParseNot, {{"and", BinaryOperator::kAnd}}, /*by_name=*/true);
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseNot() {
  if (!tokens_.IsName("not")) return ParseComparison();
  HEADROOM_NEST();
  const int line = tokens_.Take().line;
  HEADROOM_ASSIGN_OR_RETURN(ExpressionPtr operand, ParseNot());
  return Make(Unary{Unary::Operator::kNot, std::move(operand)}, line);
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseComparison() {
  static constexpr std::pair<std::string_view, ComparisonOperator> kOperators[] = {
      {"==", ComparisonOperator::kEqual},  {"!=", ComparisonOperator::kNotEqual},
      {"<", ComparisonOperator::kLess},    {"<=", ComparisonOperator::kLessEqual},
      {">", ComparisonOperator::kGreater}, {">=", ComparisonOperator::kGreaterEqual}};
  const int line = tokens_.line();
  HEADROOM_ASSIGN_OR_RETURN(ExpressionPtr first, ParseSum());
  ComparisonChain chain;
  while (true) {
    const auto* const found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                           [&](const auto& entry) { return tokens_.IsOperator(entry.first); });
    ComparisonOperator op = ComparisonOperator::kIn;
    if (found != std::end(kOperators)) {
      op = found->second;
      tokens_.Take();
    } else if (tokens_.IsName("not") && tokens_.next().kind == Kind::kName && tokens_.next().text == "in") {
      op = ComparisonOperator::kNotIn;
      tokens_.Take();
      tokens_.Take();
    } else if (!tokens_.TakeName("in")) {
      break;
    }
    HEADROOM_ASSIGN_OR_RETURN(ExpressionPtr right, ParseSum());
    chain.rest.emplace_back(op, std::move(right));
  }
  if (chain.rest.empty()) return first;
  chain.first = std::move(first);
  return Make(std::move(chain), line);
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseSum() {
  return ParseLeftToRight(&ExpressionParser::ParseConcatenation,
                          {{"+", BinaryOperator::kAdd}, {"-", BinaryOperator::kSubtract}}, /*by_name=*/false);
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseConcatenation() {
  const int line = tokens_.line();
  Concatenation concatenation;
  do {
    HEADROOM_ASSIGN_OR_RETURN(concatenation.parts.emplace_back(), ParseProduct());
  } while (tokens_.TakeOperator("~"));
  if (concatenation.parts.size() == 1) return std::move(concatenation.parts[0]);
  return Make(std::move(concatenation), line);
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseProduct() {
  return ParseLeftToRight(&ExpressionParser::ParsePower,
                          {{"*", BinaryOperator::kMultiply},
                           {"/", BinaryOperator::kDivide},
                           {"//", BinaryOperator::kFloorDivide},
                           {"%", BinaryOperator::kModulo}},
                          /*by_name=*/false);
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParsePower() {
  Restore restore(&depth_);
  HEADROOM_ASSIGN_OR_RETURN(ExpressionPtr left, ParseUnary(/*filters=*/true));
  while (tokens_.IsOperator("**")) {
    HEADROOM_RETURN_IF_ERROR(CheckNesting(++depth_));
    const int line = tokens_.Take().line;
    HEADROOM_ASSIGN_OR_RETURN(ExpressionPtr right, ParseUnary(/*filters=*/true));
    left = Make(Binary{BinaryOperator::kPower, std::move(left), std::move(right)}, line);
  }
  return left;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseUnary(bool filters) {
  HEADROOM_NEST();
  ExpressionPtr operand;
  if (tokens_.IsOperator("-") || tokens_.IsOperator("+")) {
    const auto op = tokens_.IsOperator("-") ? Unary::Operator::kMinus : Unary::Operator::kPlus;
    const int line = tokens_.Take().line;
    HEADROOM_ASSIGN_OR_RETURN(operand, ParseUnary(/*filters=*/false));
    operand = Make(Unary{op, std::move(operand)}, line);
  } else {
    HEADROOM_ASSIGN_OR_RETURN(operand, ParsePrimary());
  }
  HEADROOM_ASSIGN_OR_RETURN(operand, ParsePostfix(std::move(operand)));
  return filters ? ParseFiltersAndTests(std::move(operand)) : std::move(operand);
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParsePrimary() {
  const int line = tokens_.line();
  switch (tokens_.current().kind) {
    case Kind::kName: {
      const std::string name = tokens_.Take().text;
      if (name == "true" || name == "True") return Make(Constant{Value(true)}, line);
      if (name == "false" || name == "False") return Make(Constant{Value(false)}, line);
      if (name == "none" || name == "None") return Make(Constant{Value(None{})}, line);
      if (name == "varargs" || name == "kwargs" || name == "caller") names_read_.push_back(name);
      return Make(Name{name}, line);
    }
    case Kind::kString: {
      std::string text;
      while (tokens_.Is(Kind::kString)) text += tokens_.Take().text;
      return Make(Constant{TemplateText(std::move(text))}, line);
    }
    case Kind::kInteger:
      return Make(Constant{Value(tokens_.Take().integer)}, line);
    case Kind::kFloat:
      return Make(Constant{Value(tokens_.Take().number)}, line);
    default:
      break;
  }
  if (tokens_.IsOperator("(")) return ParseParentheses();
  if (tokens_.IsOperator("[")) return ParseListLiteral();
  if (tokens_.IsOperator("{")) return ParseDictLiteral();
  return tokens_.Unexpected("an expression");
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseParentheses() {
  const int line = tokens_.Take().line;
  if (tokens_.TakeOperator(")")) return Make(ListLiteral{List::Kind::kTuple, {}}, line);
  HEADROOM_ASSIGN_OR_RETURN(ExpressionPtr inner, ParseTuple(/*conditional=*/true));
  HEADROOM_RETURN_IF_ERROR(tokens_.ExpectOperator(")"));
  return inner;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseTuple(bool conditional, std::string_view end) {
  const int line = tokens_.line();
  ListLiteral tuple{List::Kind::kTuple, {}};
  bool has_comma = false;
  while (true) {
    const bool ends = tokens_.Is(Kind::kVariableEnd) || tokens_.Is(Kind::kBlockEnd) || tokens_.IsOperator(")") ||
                      (!end.empty() && tokens_.IsName(end));
    if (ends && !tuple.items.empty()) break;
    HEADROOM_ASSIGN_OR_RETURN(tuple.items.emplace_back(), conditional ? ParseExpression() : ParseOr());
    if (!tokens_.TakeOperator(",")) break;
    has_comma = true;
  }
  if (!has_comma) return std::move(tuple.items[0]);
  return Make(std::move(tuple), line);
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseListLiteral() {
  const int line = tokens_.Take().line;
  ListLiteral list;
  while (!tokens_.IsOperator("]")) {
    if (!list.items.empty()) HEADROOM_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
    if (tokens_.IsOperator("]")) break;
    HEADROOM_ASSIGN_OR_RETURN(list.items.emplace_back(), ParseExpression());
  }
  tokens_.Take();
  return Make(std::move(list), line);
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseDictLiteral() {
  const int line = tokens_.Take().line;
  DictLiteral dict;
  while (!tokens_.IsOperator("}")) {
    if (!dict.items.empty()) HEADROOM_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
    if (tokens_.IsOperator("}")) break;
    HEADROOM_ASSIGN_OR_RETURN(ExpressionPtr key, ParseExpression());
    HEADROOM_RETURN_IF_ERROR(tokens_.ExpectOperator(":"));
    HEADROOM_ASSIGN_OR_RETURN(ExpressionPtr value, ParseExpression());
    dict.items.emplace_back(std::move(key), std::move(value));
  }
  tokens_.Take();
  return Make(std::move(dict), line);
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParsePostfix(ExpressionPtr operand) {
  Restore restore(&depth_);
  while (tokens_.IsOperator(".") || tokens_.IsOperator("[") || tokens_.IsOperator("(")) {
    HEADROOM_RETURN_IF_ERROR(CheckNesting(++depth_));
    if (tokens_.IsOperator("(")) {
      const int line = tokens_.line();
      HEADROOM_ASSIGN_OR_RETURN(Arguments arguments, ParseArguments());
      operand = Make(Call{std::move(operand), std::move(arguments)}, line);
    } else {
      HEADROOM_ASSIGN_OR_RETURN(
          operand, tokens_.IsOperator(".") ? ParseAttribute(std::move(operand)) : ParseSubscript(std::move(operand)));
    }
  }
  return operand;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseAttribute(ExpressionPtr object) {
  const int line = tokens_.Take().line;
  if (tokens_.Is(Kind::kInteger)) {
    ExpressionPtr index = Make(Constant{Value(tokens_.Take().integer)}, line);
    return Make(Subscript{std::move(object), std::move(index)}, line);
  }
  HEADROOM_ASSIGN_OR_RETURN(std::string name, tokens_.TakeAnyName());
  return Make(Attribute{std::move(object), std::move(name)}, line);
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseSubscript(ExpressionPtr object) {
  const int line = tokens_.Take().line;
  ExpressionPtr parts[3];
  int colons = 0;
  while (!tokens_.IsOperator("]")) {
    if (tokens_.TakeOperator(":")) {
      if (++colons > 2) return tokens_.Unexpected("']'");
    } else {
      if (parts[colons] != nullptr) return tokens_.Unexpected("']'");
      HEADROOM_ASSIGN_OR_RETURN(parts[colons], ParseExpression());
    }
  }
  if (colons == 0 && parts[0] == nullptr) return tokens_.Unexpected("an index");
  tokens_.Take();
  if (colons == 0) return Make(Subscript{std::move(object), std::move(parts[0])}, line);
  return Make(Slice{std::move(object), std::move(parts[0]), std::move(parts[1]), std::move(parts[2])}, line);
}

absl::StatusOr<Arguments> ExpressionParser::ParseArguments() {
  Arguments arguments;
  tokens_.Take();
  bool first = true;
  while (!tokens_.IsOperator(")")) {
    if (!first) HEADROOM_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
    first = false;
    if (tokens_.IsOperator(")")) break;
    const bool dynamic = arguments.more_positional != nullptr || arguments.more_named != nullptr;
    if (tokens_.IsOperator("*") && !dynamic) {
      tokens_.Take();
      HEADROOM_ASSIGN_OR_RETURN(arguments.more_positional, ParseExpression());
    } else if (tokens_.IsOperator("**") && arguments.more_named == nullptr) {
      tokens_.Take();
      HEADROOM_ASSIGN_OR_RETURN(arguments.more_named, ParseExpression());
    } else if (tokens_.Is(Kind::kName) && tokens_.next().kind == Kind::kOperator && tokens_.next().text == "=") {
      if (arguments.more_named != nullptr) return tokens_.Unexpected("')'");
      std::string name = tokens_.Take().text;
      tokens_.Take();
      HEADROOM_ASSIGN_OR_RETURN(ExpressionPtr value, ParseExpression());
      arguments.named.emplace_back(std::move(name), std::move(value));
    } else {
      if (dynamic || !arguments.named.empty()) return tokens_.Unexpected("a named argument");
      HEADROOM_ASSIGN_OR_RETURN(arguments.positional.emplace_back(), ParseExpression());
    }
  }
  tokens_.Take();
  return arguments;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseFiltersAndTests(ExpressionPtr operand) {
  Restore restore(&depth_);
  while (true) {
    if (tokens_.IsOperator("|")) {
      tokens_.Take();
      HEADROOM_ASSIGN_OR_RETURN(operand, ParseFilter(std::move(operand)));
    } else if (tokens_.IsName("is")) {
      HEADROOM_ASSIGN_OR_RETURN(operand, ParseTest(std::move(operand)));
    } else if (tokens_.IsOperator("(")) {
      const int line = tokens_.line();
      HEADROOM_ASSIGN_OR_RETURN(Arguments arguments, ParseArguments());
      operand = Make(Call{std::move(operand), std::move(arguments)}, line);
    } else {
      return operand;
    }
    HEADROOM_RETURN_IF_ERROR(CheckNesting(++depth_));
  }
}

absl::StatusOr<std::string> ExpressionParser::ParseDottedName() {
  HEADROOM_ASSIGN_OR_RETURN(std::string name, tokens_.TakeAnyName());
  while (tokens_.TakeOperator(".")) {
    HEADROOM_ASSIGN_OR_RETURN(const std::string part, tokens_.TakeAnyName());
    name += "." + part;
  }
  return name;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseFilter(ExpressionPtr input) {
  const int line = tokens_.line();
  HEADROOM_ASSIGN_OR_RETURN(std::string name, ParseDottedName());
  Arguments arguments;
  if (tokens_.IsOperator("(")) {
    HEADROOM_ASSIGN_OR_RETURN(arguments, ParseArguments());
  }
  return Make(Filter{std::move(input), std::move(name), std::move(arguments)}, line);
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseFilterChain() {
  Restore restore(&depth_);
  HEADROOM_ASSIGN_OR_RETURN(ExpressionPtr chain, ParseFilter(nullptr));
  while (tokens_.TakeOperator("|")) {
    HEADROOM_RETURN_IF_ERROR(CheckNesting(++depth_));
    HEADROOM_ASSIGN_OR_RETURN(chain, ParseFilter(std::move(chain)));
  }
  return chain;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseTest(ExpressionPtr input) {
  const int line = tokens_.Take().line;
  const bool negated = tokens_.TakeName("not");
  HEADROOM_ASSIGN_OR_RETURN(std::string name, ParseDottedName());
  Arguments arguments;
  if (tokens_.IsOperator("(")) {
    HEADROOM_ASSIGN_OR_RETURN(arguments, ParseArguments());
  } else {
    const Kind kind = tokens_.current().kind;
    const bool starts = kind == Kind::kName || kind == Kind::kString || kind == Kind::kInteger ||
                        kind == Kind::kFloat || tokens_.IsOperator("[") || tokens_.IsOperator("{");
    if (starts && !tokens_.IsName("else") && !tokens_.IsName("or") && !tokens_.IsName("and")) {
      if (tokens_.IsName("is")) return tokens_.Unexpected("an operator: tests cannot be chained");
      HEADROOM_NEST();
      HEADROOM_ASSIGN_OR_RETURN(ExpressionPtr argument, ParsePrimary());
      HEADROOM_ASSIGN_OR_RETURN(arguments.positional.emplace_back(), ParsePostfix(std::move(argument)));
    }
  }
  ExpressionPtr test = Make(Test{std::move(input), std::move(name), std::move(arguments)}, line);
  if (!negated) return test;
  return Make(Unary{Unary::Operator::kNot, std::move(test)}, line);
}

absl::StatusOr<Target> ExpressionParser::ParseOneTarget() {
  Target target;
  if (tokens_.TakeOperator("(")) {
    HEADROOM_NEST();
    HEADROOM_ASSIGN_OR_RETURN(target, ParseTarget(")"));
    HEADROOM_RETURN_IF_ERROR(tokens_.ExpectOperator(")"));
    return target;
  }
  HEADROOM_ASSIGN_OR_RETURN(target.name, tokens_.TakeAnyName());
  if (tokens_.TakeOperator(".")) {
    HEADROOM_ASSIGN_OR_RETURN(target.attribute, tokens_.TakeAnyName());
  }
  for (const char* constant : {"true", "false", "none", "True", "False", "None"}) {
    if (target.name == constant) return tokens_.Unexpected("a name that is no constant");
  }
  return target;
}

absl::StatusOr<Target> ExpressionParser::ParseTarget(std::string_view end) {
  HEADROOM_ASSIGN_OR_RETURN(Target first, ParseOneTarget());
  if (!tokens_.IsOperator(",")) return first;
  Target tuple;
  tuple.elements.push_back(std::move(first));
  while (tokens_.TakeOperator(",")) {
    if (tokens_.IsName(end) || tokens_.IsOperator(end)) break;
    HEADROOM_ASSIGN_OR_RETURN(tuple.elements.emplace_back(), ParseOneTarget());
  }
  return tuple;
}

}  // namespace headroom::model::jinja
