// Operators of expressions, as Python has them.
#pragma once

#include "model/text/jinja/ast.h"
#include "model/text/jinja/runtime.h"

namespace headroom::model::jinja {

// + - * / // % **; not kAnd and kOr, which evaluate their second operand only when it is needed. INVALID_ARGUMENT for
// types that have none, a division by zero, and integers beyond 64 bits.
absl::StatusOr<Value> Calculate(Runtime& runtime, BinaryOperator op, const Value& left, const Value& right);

absl::StatusOr<bool> Contains(Runtime& runtime, const Value& container, const Value& value);

absl::StatusOr<bool> Holds(Runtime& runtime, ComparisonOperator op, const Value& left, const Value& right);

}  // namespace headroom::model::jinja
