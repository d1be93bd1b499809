// The part of Evaluator that evaluates expressions.
#include "common/utf8.h"
#include "model/text/jinja/evaluator.h"
#include "model/text/jinja/operators.h"

namespace headroom::model::jinja {

absl::StatusOr<Value> Evaluator::Evaluate(const Expression& expression, Scope& scope) {
  if (depth_ >= kDepthMax) return absl::InvalidArgumentError(absl::StrCat("nested more than ", kDepthMax, " deep"));
  ++depth_;
  line_ = expression.line;
  HEADROOM_RETURN_IF_ERROR(allowance_.Work(1));
  absl::StatusOr<Value> value = std::visit([&](const auto& node) { return Evaluate(node, scope); }, expression.node);
  --depth_;
  // Of an error, the line of the innermost expression stays.
  if (value.ok()) line_ = expression.line;
  return value;
}

absl::StatusOr<Value> Evaluator::EvaluateIfPresent(const ExpressionPtr& expression, Scope& scope) {
  if (expression == nullptr) return Value(None{});
  return Evaluate(*expression, scope);
}

absl::StatusOr<Value> Evaluator::Evaluate(const Constant& constant, Scope&) { return constant.value; }

absl::StatusOr<Value> Evaluator::Evaluate(const Name& name, Scope& scope) {
  if (const Value* const value = scope.Find(name.name); value != nullptr) return *value;
  if (const GlobalFunction function = FindGlobal(name.name); function != nullptr)
    return Value(CallableRef(std::make_shared<FunctionValue>(function)));
  return MakeUndefined("'" + name.name + "' is undefined");
}

absl::StatusOr<Value> Evaluator::Evaluate(const ListLiteral& list, Scope& scope) {
  std::vector<Value> items;
  for (const ExpressionPtr& item : list.items) {
    HEADROOM_ASSIGN_OR_RETURN(items.emplace_back(), Evaluate(*item, scope));
  }
  return workspace_.MakeList(std::move(items), list.kind);
}

absl::StatusOr<Value> Evaluator::Evaluate(const DictLiteral& literal, Scope& scope) {
  HEADROOM_ASSIGN_OR_RETURN(const DictRef dict, workspace_.MakeDict());
  for (const auto& [key_expression, value_expression] : literal.items) {
    HEADROOM_ASSIGN_OR_RETURN(const Value key, Evaluate(*key_expression, scope));
    HEADROOM_ASSIGN_OR_RETURN(const Value value, Evaluate(*value_expression, scope));
    HEADROOM_RETURN_IF_ERROR(workspace_.Set(*dict, key, value));
  }
  return Value(dict);
}

absl::StatusOr<Value> Evaluator::Evaluate(const Attribute& attribute, Scope& scope) {
  HEADROOM_ASSIGN_OR_RETURN(const Value object, Evaluate(*attribute.object, scope));
  return GetAttribute(runtime_, object, attribute.name);
}

absl::StatusOr<Value> Evaluator::Evaluate(const Subscript& subscript, Scope& scope) {
  HEADROOM_ASSIGN_OR_RETURN(const Value object, Evaluate(*subscript.object, scope));
  HEADROOM_ASSIGN_OR_RETURN(const Value index, Evaluate(*subscript.index, scope));
  return GetItem(runtime_, object, index);
}

absl::StatusOr<Value> Evaluator::Evaluate(const Slice& slice, Scope& scope) {
  HEADROOM_ASSIGN_OR_RETURN(const Value object, Evaluate(*slice.object, scope));
  HEADROOM_ASSIGN_OR_RETURN(const Value begin, EvaluateIfPresent(slice.begin, scope));
  HEADROOM_ASSIGN_OR_RETURN(const Value end, EvaluateIfPresent(slice.end, scope));
  HEADROOM_ASSIGN_OR_RETURN(const Value step, EvaluateIfPresent(slice.step, scope));
  return GetSlice(runtime_, object, begin, end, step);
}

absl::StatusOr<CallArguments> Evaluator::EvaluateArguments(const Arguments& arguments, Scope& scope) {
  CallArguments values;
  for (const ExpressionPtr& argument : arguments.positional) {
    HEADROOM_ASSIGN_OR_RETURN(values.positional.emplace_back(), Evaluate(*argument, scope));
  }
  for (const auto& [name, argument] : arguments.named) {
    HEADROOM_ASSIGN_OR_RETURN(Value value, Evaluate(*argument, scope));
    values.named.emplace_back(name, std::move(value));
  }
  if (arguments.more_positional != nullptr) {
    HEADROOM_ASSIGN_OR_RETURN(const Value more, Evaluate(*arguments.more_positional, scope));
    HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> elements, Elements(more, workspace_));
    values.positional.insert(values.positional.end(), elements.begin(), elements.end());
  }
  if (arguments.more_named != nullptr) {
    HEADROOM_ASSIGN_OR_RETURN(const Value more, Evaluate(*arguments.more_named, scope));
    if (!more.IsDict()) return absl::InvalidArgumentError("argument after ** must be a mapping, not " + TypeName(more));
    for (const auto& [key, value] : more.dict().items) {
      if (!key.IsText()) return absl::InvalidArgumentError("keywords must be strings");
      values.named.emplace_back(key.text().bytes(), value);
    }
  }
  return values;
}

absl::StatusOr<Value> Evaluator::Evaluate(const Call& call, Scope& scope) {
  HEADROOM_ASSIGN_OR_RETURN(const Value callee, Evaluate(*call.callee, scope));
  HEADROOM_ASSIGN_OR_RETURN(CallArguments arguments, EvaluateArguments(call.arguments, scope));
  return CallValue(callee, std::move(arguments));
}

absl::StatusOr<Value> Evaluator::Evaluate(const Filter& filter, Scope& scope) {
  Value input;
  if (filter.input != nullptr) {
    HEADROOM_ASSIGN_OR_RETURN(input, Evaluate(*filter.input, scope));
  } else if (filter_input_ != nullptr) {
    HEADROOM_ASSIGN_OR_RETURN(input, workspace_.MakeText(*filter_input_));
  }
  const FilterFunction function = FindFilter(filter.name);
  if (function == nullptr) return absl::InvalidArgumentError("No filter named '" + CutText(filter.name, 64) + "'");
  HEADROOM_ASSIGN_OR_RETURN(const CallArguments arguments, EvaluateArguments(filter.arguments, scope));
  return function(runtime_, input, arguments);
}

absl::StatusOr<Value> Evaluator::Evaluate(const Test& test, Scope& scope) {
  HEADROOM_ASSIGN_OR_RETURN(const Value input, Evaluate(*test.input, scope));
  const TestFunction function = FindTest(test.name);
  if (function == nullptr) return absl::InvalidArgumentError("No test named '" + CutText(test.name, 64) + "'");
  HEADROOM_ASSIGN_OR_RETURN(const CallArguments arguments, EvaluateArguments(test.arguments, scope));
  HEADROOM_ASSIGN_OR_RETURN(const bool holds, function(runtime_, input, arguments));
  return Value(holds);
}

absl::StatusOr<Value> Evaluator::Evaluate(const Unary& unary, Scope& scope) {
  HEADROOM_ASSIGN_OR_RETURN(const Value operand, Evaluate(*unary.operand, scope));
  if (unary.op == Unary::Operator::kNot) return Value(!IsTrue(operand));
  if (operand.IsUndefined()) return UndefinedError(operand.As<Undefined>());
  if (!operand.IsNumber()) return absl::InvalidArgumentError("bad operand type for unary: '" + TypeName(operand) + "'");
  if (unary.op == Unary::Operator::kMinus)
    return Calculate(runtime_, BinaryOperator::kMultiply, operand, Value(int64_t{-1}));
  return operand.Is<double>() ? operand : Value(operand.integer());
}

absl::StatusOr<Value> Evaluator::Evaluate(const Binary& binary, Scope& scope) {
  HEADROOM_ASSIGN_OR_RETURN(const Value left, Evaluate(*binary.left, scope));
  if (binary.op == BinaryOperator::kAnd && !IsTrue(left)) return left;
  if (binary.op == BinaryOperator::kOr && IsTrue(left)) return left;
  HEADROOM_ASSIGN_OR_RETURN(const Value right, Evaluate(*binary.right, scope));
  if (binary.op == BinaryOperator::kAnd || binary.op == BinaryOperator::kOr) return right;
  return Calculate(runtime_, binary.op, left, right);
}

absl::StatusOr<Value> Evaluator::Evaluate(const Concatenation& concatenation, Scope& scope) {
  MarkedText text;
  for (const ExpressionPtr& part : concatenation.parts) {
    HEADROOM_ASSIGN_OR_RETURN(const Value value, Evaluate(*part, scope));
    HEADROOM_ASSIGN_OR_RETURN(const MarkedText piece, ToText(value, allowance_));
    text.Append(piece);
    HEADROOM_RETURN_IF_ERROR(allowance_.CheckRoom(text.size()));
  }
  return workspace_.MakeText(std::move(text));
}

absl::StatusOr<Value> Evaluator::Evaluate(const ComparisonChain& chain, Scope& scope) {
  HEADROOM_ASSIGN_OR_RETURN(Value left, Evaluate(*chain.first, scope));
  for (const auto& [op, expression] : chain.rest) {
    HEADROOM_ASSIGN_OR_RETURN(Value right, Evaluate(*expression, scope));
    HEADROOM_ASSIGN_OR_RETURN(const bool holds, Holds(runtime_, op, left, right));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

absl::StatusOr<Value> Evaluator::Evaluate(const Conditional& conditional, Scope& scope) {
  HEADROOM_ASSIGN_OR_RETURN(const Value condition, Evaluate(*conditional.condition, scope));
  if (IsTrue(condition)) return Evaluate(*conditional.then, scope);
  if (conditional.otherwise != nullptr) return Evaluate(*conditional.otherwise, scope);
  return MakeUndefined("the inline if-expression evaluated to false and no else section was defined");
}

}  // namespace headroom::model::jinja
