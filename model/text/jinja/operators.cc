#include "model/text/jinja/operators.h"

#include <algorithm>
#include <cmath>

#include "model/text/jinja/text_functions.h"

namespace headroom::model::jinja {
namespace {

const char* Spelling(BinaryOperator op) {
  static constexpr const char* kSpellings[] = {"+", "-", "*", "/", "//", "%", "**", "and", "or"};
  return kSpellings[static_cast<size_t>(op)];
}

absl::Status NotSupported(BinaryOperator op, const Value& left, const Value& right) {
  return absl::InvalidArgumentError(absl::StrCat("unsupported operand types for ", Spelling(op), ": '", TypeName(left),
                                                 "' and '", TypeName(right), "'"));
}

absl::Status TooLarge() { return absl::InvalidArgumentError("an integer beyond 64 bits"); }

absl::Status DivisionByZero() { return absl::InvalidArgumentError("division by zero"); }

// Rounds down, as Python does.
int64_t FloorDivide(int64_t a, int64_t b) { return a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0); }

absl::StatusOr<Value> Power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return DivisionByZero();
    return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  // Beyond 64 rounds only 0, 1 and -1 stay small.
  if (exponent > 64 && base >= -1 && base <= 1) exponent = 64 + (exponent & 1);
  for (; exponent > 0; --exponent) {
    if (__builtin_mul_overflow(result, base, &result)) return TooLarge();
  }
  return Value(result);
}

absl::StatusOr<Value> CalculateIntegers(BinaryOperator op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case BinaryOperator::kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case BinaryOperator::kSubtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case BinaryOperator::kMultiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case BinaryOperator::kPower:
      return Power(a, b);
    default:
      if (b == 0) return DivisionByZero();
      if (op == BinaryOperator::kDivide) return Value(static_cast<double>(a) / static_cast<double>(b));
      if (a == INT64_MIN && b == -1) return TooLarge();
      return Value(op == BinaryOperator::kFloorDivide ? FloorDivide(a, b) : a - b * FloorDivide(a, b));
  }
  if (overflow) return TooLarge();
  return Value(result);
}

absl::StatusOr<Value> CalculateFloats(BinaryOperator op, double a, double b) {
  switch (op) {
    case BinaryOperator::kAdd:
      return Value(a + b);
    case BinaryOperator::kSubtract:
      return Value(a - b);
    case BinaryOperator::kMultiply:
      return Value(a * b);
    case BinaryOperator::kPower:
      if (a == 0 && b < 0) return DivisionByZero();
      return Value(std::pow(a, b));
    default:
      break;
  }
  if (b == 0) return DivisionByZero();
  if (op == BinaryOperator::kDivide) return Value(a / b);
  // Of the divisor's sign, zero as well.
  double remainder = std::fmod(a, b);
  if (remainder == 0) {
    remainder = std::copysign(0.0, b);
  } else if ((remainder < 0) != (b < 0)) {
    remainder += b;
  }
  if (op == BinaryOperator::kModulo) return Value(remainder);
  const double quotient = std::round((a - remainder) / b);
  return Value(quotient == 0 ? std::copysign(0.0, a / b) : quotient);
}

absl::StatusOr<Value> RepeatList(Runtime& runtime, const List& list, int64_t times) {
  std::vector<Value> items;
  if (times > 0 && !list.items.empty()) {
    const size_t most = (size_t{1} << 40) / list.items.size();
    const size_t copies = std::min(static_cast<size_t>(times), most);
    HEADROOM_RETURN_IF_ERROR(runtime.allowance().CheckRoom(copies * list.items.size() * sizeof(Value)));
    for (size_t i = 0; i < copies; ++i) items.insert(items.end(), list.items.begin(), list.items.end());
  }
  return runtime.workspace.MakeList(std::move(items), list.kind);
}

absl::StatusOr<Value> AddSequences(Runtime& runtime, const Value& left, const Value& right) {
  std::vector<Value> items = left.list().items;
  items.insert(items.end(), right.list().items.begin(), right.list().items.end());
  return runtime.workspace.MakeList(std::move(items), left.list().kind);
}

absl::StatusOr<Value> AddTexts(Runtime& runtime, const Value& left, const Value& right) {
  HEADROOM_RETURN_IF_ERROR(runtime.allowance().CheckRoom(left.text().size() + right.text().size()));
  const bool is_markup = left.IsMarkup() || right.IsMarkup();
  MarkedText joined;
  for (const Value* part : {&left, &right}) {
    if (part->IsMarkup() == is_markup) {
      joined.Append(part->text());
    } else {
      HEADROOM_ASSIGN_OR_RETURN(const MarkedText escaped, Map(part->text(), EscapeHtml, runtime.allowance()));
      joined.Append(escaped);
    }
  }
  return runtime.workspace.MakeText(std::move(joined), is_markup);
}

absl::StatusOr<Value> Multiply(Runtime& runtime, const Value& left, const Value& right) {
  const Value& times = left.IsInteger() ? left : right;
  const Value& value = left.IsInteger() ? right : left;
  if (!times.IsInteger()) return NotSupported(BinaryOperator::kMultiply, left, right);
  if (value.IsText()) {
    HEADROOM_ASSIGN_OR_RETURN(MarkedText text, Repeat(value.text(), times.integer(), runtime.allowance()));
    return runtime.workspace.MakeText(std::move(text));
  }
  if (!value.IsList() || !value.list().IsSequence()) return NotSupported(BinaryOperator::kMultiply, left, right);
  return RepeatList(runtime, value.list(), times.integer());
}

}  // namespace

absl::StatusOr<Value> Calculate(Runtime& runtime, BinaryOperator op, const Value& left, const Value& right) {
  if (left.IsUndefined()) return UndefinedError(left.As<Undefined>());
  if (left.IsText() && op == BinaryOperator::kModulo) return FormatPercent(runtime, left.text(), right);
  if (right.IsUndefined()) return UndefinedError(right.As<Undefined>());
  if (left.IsInteger() && right.IsInteger()) return CalculateIntegers(op, left.integer(), right.integer());
  if (left.IsNumber() && right.IsNumber()) return CalculateFloats(op, left.number(), right.number());
  if (op == BinaryOperator::kMultiply) return Multiply(runtime, left, right);
  if (op != BinaryOperator::kAdd) return NotSupported(op, left, right);
  if (left.IsText() && right.IsText()) {
    return AddTexts(runtime, left, right);
  }
  const bool sequences = left.IsList() && right.IsList() && left.list().IsSequence();
  if (sequences && left.list().kind == right.list().kind) return AddSequences(runtime, left, right);
  return NotSupported(op, left, right);
}

absl::StatusOr<bool> Contains(Runtime& runtime, const Value& container, const Value& value) {
  if (container.IsText()) {
    if (!value.IsText()) {
      if (value.IsUndefined()) return UndefinedError(value.As<Undefined>());
      return absl::InvalidArgumentError("'in <string>' requires string as left operand, not " + TypeName(value));
    }
    HEADROOM_ASSIGN_OR_RETURN(const size_t at,
                              Find(container.text().bytes(), value.text().bytes(), 0, runtime.allowance()));
    return at != std::string_view::npos;
  }
  if (container.IsDict()) {
    HEADROOM_RETURN_IF_ERROR(HashKey(value).status());
    return container.dict().Find(value) != nullptr;
  }
  if (container.IsUndefined()) return false;
  if (container.IsList() && container.list().kind == List::Kind::kKeys) {
    HEADROOM_RETURN_IF_ERROR(HashKey(value).status());
  }
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> elements, Elements(container, runtime.workspace));
  for (const Value& element : elements) {
    HEADROOM_ASSIGN_OR_RETURN(const bool equal, Equal(element, value, runtime.allowance()));
    if (equal) return true;
  }
  return false;
}

absl::StatusOr<bool> Holds(Runtime& runtime, ComparisonOperator op, const Value& left, const Value& right) {
  switch (op) {
    case ComparisonOperator::kEqual:
      return Equal(left, right, runtime.allowance());
    case ComparisonOperator::kNotEqual: {
      HEADROOM_ASSIGN_OR_RETURN(const bool equal, Equal(left, right, runtime.allowance()));
      return !equal;
    }
    case ComparisonOperator::kIn:
      return Contains(runtime, right, left);
    case ComparisonOperator::kNotIn: {
      HEADROOM_ASSIGN_OR_RETURN(const bool contains, Contains(runtime, right, left));
      return !contains;
    }
    default:
      break;
  }
  if (left.IsUndefined()) return UndefinedError(left.As<Undefined>());
  if (right.IsUndefined()) return UndefinedError(right.As<Undefined>());
  HEADROOM_ASSIGN_OR_RETURN(const int order, Compare(left, right, runtime.allowance()));
  if (op == ComparisonOperator::kLess) return order < 0;
  if (op == ComparisonOperator::kLessEqual) return order <= 0;
  return op == ComparisonOperator::kGreater ? order > 0 : order >= 0;
}

}  // namespace headroom::model::jinja
