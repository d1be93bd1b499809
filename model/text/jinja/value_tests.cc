// Tests of values: value is name(…).
#include <algorithm>
#include <iterator>

#include "common/utf8.h"
#include "model/text/jinja/characters.h"
#include "model/text/jinja/operators.h"
#include "model/text/jinja/runtime.h"

namespace headroom::model::jinja {
namespace {

using Result = absl::StatusOr<bool>;
using Arguments = CallArguments;

template <bool (*kIs)(const Value&)>
Result Is(Runtime&, const Value& input, const Arguments& arguments) {
  HEADROOM_RETURN_IF_ERROR(Bind(arguments, {}).status());
  return kIs(input);
}

bool IsDefined(const Value& value) { return !value.IsUndefined(); }
bool IsUndefined(const Value& value) { return value.IsUndefined(); }
bool IsNone(const Value& value) { return value.IsNone(); }
bool IsBool(const Value& value) { return value.Is<bool>(); }
bool IsTrueItself(const Value& value) { return value.Is<bool>() && value.As<bool>(); }
bool IsFalseItself(const Value& value) { return value.Is<bool>() && !value.As<bool>(); }
bool IsIntegerButNoBool(const Value& value) { return value.Is<int64_t>(); }
bool IsFloat(const Value& value) { return value.Is<double>(); }
bool IsNumber(const Value& value) { return value.IsNumber(); }
bool IsString(const Value& value) { return value.IsText(); }
bool IsMapping(const Value& value) { return value.IsDict(); }
bool IsSequence(const Value& value) {
  return value.IsUndefined() || value.IsText() || value.IsDict() || (value.IsList() && value.list().IsSequence());
}
bool IsIterable(const Value& value) {
  return value.IsUndefined() || value.IsText() || value.IsDict() || value.IsList();
}
bool IsCallable(const Value& value) { return value.IsUndefined() || value.Is<CallableRef>(); }
bool Never(const Value&) { return false; }

// Whether the text has letters of one case, and none of the other.
template <bool (*kCase)(char32_t), bool (*kOther)(char32_t)>
Result HasCase(Runtime& runtime, const Value& input, const Arguments&) {
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText text, ToText(input, runtime.allowance()));
  bool some = false;
  for (size_t position = 0; position < text.size();) {
    const char32_t c = NextCodePoint(text.bytes(), &position);
    if (kOther(c)) return false;
    some = some || kCase(c);
  }
  return some;
}

template <ComparisonOperator kOperator>
Result Relation(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"other"}));
  return Holds(runtime, kOperator, input, given[0]);
}

Result Remainder(Runtime& runtime, const Value& input, const Value& divisor, int64_t wanted) {
  HEADROOM_ASSIGN_OR_RETURN(const Value rest, Calculate(runtime, BinaryOperator::kModulo, input, divisor));
  return Equal(rest, Value(wanted), runtime.allowance());
}

Result Odd(Runtime& runtime, const Value& input, const Arguments&) {
  return Remainder(runtime, input, Value(int64_t{2}), 1);
}
Result Even(Runtime& runtime, const Value& input, const Arguments&) {
  return Remainder(runtime, input, Value(int64_t{2}), 0);
}
Result DivisibleBy(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"num"}));
  return Remainder(runtime, input, given[0], 0);
}

Result SameAs(Runtime& runtime, const Value& input, const Arguments& arguments) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<Value> given, Bind(arguments, {"other"}));
  const Value& other = given[0];
  if (input.IsList() && other.IsList()) return input.As<ListRef>() == other.As<ListRef>();
  if (input.IsDict() && other.IsDict()) return input.As<DictRef>() == other.As<DictRef>();
  if (TypeName(input) != TypeName(other)) return false;
  return Equal(input, other, runtime.allowance());
}

Result HasFilter(Runtime&, const Value& input, const Arguments&) {
  return input.IsText() && FindFilter(input.text().bytes()) != nullptr;
}
Result HasTest(Runtime&, const Value& input, const Arguments&) {
  return input.IsText() && FindTest(input.text().bytes()) != nullptr;
}

}  // namespace

TestFunction FindTest(std::string_view name) {
  using Op = ComparisonOperator;
  static constexpr std::pair<std::string_view, TestFunction> kTests[] = {{"defined", Is<IsDefined>},
                                                                         {"undefined", Is<IsUndefined>},
                                                                         {"none", Is<IsNone>},
                                                                         {"boolean", Is<IsBool>},
                                                                         {"true", Is<IsTrueItself>},
                                                                         {"false", Is<IsFalseItself>},
                                                                         {"integer", Is<IsIntegerButNoBool>},
                                                                         {"float", Is<IsFloat>},
                                                                         {"number", Is<IsNumber>},
                                                                         {"string", Is<IsString>},
                                                                         {"mapping", Is<IsMapping>},
                                                                         {"sequence", Is<IsSequence>},
                                                                         {"iterable", Is<IsIterable>},
                                                                         {"callable", Is<IsCallable>},
                                                                         {"escaped", Is<Never>},
                                                                         {"lower", HasCase<IsLower, IsUpper>},
                                                                         {"upper", HasCase<IsUpper, IsLower>},
                                                                         {"odd", Odd},
                                                                         {"even", Even},
                                                                         {"divisibleby", DivisibleBy},
                                                                         {"sameas", SameAs},
                                                                         {"filter", HasFilter},
                                                                         {"test", HasTest},
                                                                         {"in", Relation<Op::kIn>},
                                                                         {"==", Relation<Op::kEqual>},
                                                                         {"eq", Relation<Op::kEqual>},
                                                                         {"equalto", Relation<Op::kEqual>},
                                                                         {"!=", Relation<Op::kNotEqual>},
                                                                         {"ne", Relation<Op::kNotEqual>},
                                                                         {"<", Relation<Op::kLess>},
                                                                         {"lt", Relation<Op::kLess>},
                                                                         {"lessthan", Relation<Op::kLess>},
                                                                         {"<=", Relation<Op::kLessEqual>},
                                                                         {"le", Relation<Op::kLessEqual>},
                                                                         {">", Relation<Op::kGreater>},
                                                                         {"gt", Relation<Op::kGreater>},
                                                                         {"greaterthan", Relation<Op::kGreater>},
                                                                         {">=", Relation<Op::kGreaterEqual>},
                                                                         {"ge", Relation<Op::kGreaterEqual>}};
  const auto* const found =
      std::find_if(std::begin(kTests), std::end(kTests), [&](const auto& entry) { return entry.first == name; });
  return found == std::end(kTests) ? nullptr : found->second;
}

}  // namespace headroom::model::jinja
