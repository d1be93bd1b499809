// Expressions, in Jinja's order of precedence.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "model/text/jinja/ast.h"
#include "model/text/jinja/token_stream.h"

namespace headroom::model::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream* tokens) : tokens_(*tokens) {}

  absl::StatusOr<ExpressionPtr> ParseExpression();
  // Without `a if b else c` at its top.
  absl::StatusOr<ExpressionPtr> ParseOr();
  // An expression, or several with commas between: a tuple. `conditional`: whether `a if b` may stand in it. `end`: a
  // name that ends it as the end of the tag does.
  absl::StatusOr<ExpressionPtr> ParseTuple(bool conditional, std::string_view end = {});
  // `filter(…) | filter …`, without an input.
  absl::StatusOr<ExpressionPtr> ParseFilterChain();
  absl::StatusOr<Target> ParseTarget(std::string_view end);

  // The names that were read since this was last empty.
  std::vector<std::string>& names_read() { return names_read_; }

 private:
  absl::StatusOr<ExpressionPtr> ParseAnd();
  absl::StatusOr<ExpressionPtr> ParseNot();
  absl::StatusOr<ExpressionPtr> ParseComparison();
  absl::StatusOr<ExpressionPtr> ParseSum();
  absl::StatusOr<ExpressionPtr> ParseConcatenation();
  absl::StatusOr<ExpressionPtr> ParseProduct();
  absl::StatusOr<ExpressionPtr> ParsePower();
  absl::StatusOr<ExpressionPtr> ParseUnary(bool filters);
  absl::StatusOr<ExpressionPtr> ParsePrimary();
  absl::StatusOr<ExpressionPtr> ParseParentheses();
  absl::StatusOr<ExpressionPtr> ParseListLiteral();
  absl::StatusOr<ExpressionPtr> ParseDictLiteral();
  absl::StatusOr<ExpressionPtr> ParsePostfix(ExpressionPtr operand);
  absl::StatusOr<ExpressionPtr> ParseFiltersAndTests(ExpressionPtr operand);
  absl::StatusOr<ExpressionPtr> ParseAttribute(ExpressionPtr object);
  absl::StatusOr<ExpressionPtr> ParseSubscript(ExpressionPtr object);
  absl::StatusOr<ExpressionPtr> ParseFilter(ExpressionPtr input);
  absl::StatusOr<ExpressionPtr> ParseTest(ExpressionPtr input);
  absl::StatusOr<Arguments> ParseArguments();
  absl::StatusOr<std::string> ParseDottedName();
  absl::StatusOr<Target> ParseOneTarget();

  using Operators = std::initializer_list<std::pair<std::string_view, BinaryOperator>>;
  // operand (op operand)*, grouped from the left.
  absl::StatusOr<ExpressionPtr> ParseLeftToRight(absl::StatusOr<ExpressionPtr> (ExpressionParser::*operand)(),
                                                 Operators operators, bool by_name);
  // Wraps `node`; chains as long as a template are refused.
  template <typename Node>
  ExpressionPtr Make(Node node, int line) const {
    return std::make_unique<Expression>(Expression{std::move(node), line});
  }
  absl::Status CheckNesting(int depth) const;

  TokenStream& tokens_;
  int depth_ = 0;
  std::vector<std::string> names_read_;
};

}  // namespace headroom::model::jinja
