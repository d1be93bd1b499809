#include "model/structured/number_ranges.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/status.h"
#include "model/structured/dfa.h"

namespace headroom::model {
namespace {

constexpr int64_t kIntegerMax = 1'000'000'000'000'000'000;

Regex Digit(int first, int last) {
  return first > last ? Regex::Choice({})
                      : Regex::Set({{static_cast<char32_t>('0' + first), static_cast<char32_t>('0' + last)}});
}
Regex Digits(int64_t min, int64_t max) { return max < min ? Regex::Choice({}) : Regex::Repeat(Digit(0, 9), min, max); }
Regex Optional(Regex regex) { return Regex::Choice({{}, std::move(regex)}); }

// Integers without sign.
Regex AnyInteger() {
  return Regex::Choice({Regex::Of('0'), Regex::Sequence({Digit(1, 9), Digits(0, kIntegerDigitsMax - 1)})});
}
Regex AnyFraction(int64_t digits_max) { return Optional(Regex::Sequence({Regex::Of('.'), Digits(1, digits_max)})); }

// Digits of the same number as `digits` that spell no less (no more) than it.
Regex SameLength(const std::string& digits, bool no_less) {
  Regex choice = Regex::Choice({Regex::Text(digits)});
  for (size_t i = 0; i < digits.size(); ++i) {
    const int digit = digits[i] - '0';
    const auto rest = static_cast<int64_t>(digits.size() - i - 1);
    choice.parts.push_back(Regex::Sequence(
        {Regex::Text(digits.substr(0, i)), no_less ? Digit(digit + 1, 9) : Digit(0, digit - 1), Digits(rest, rest)}));
  }
  return choice;
}

Regex IntegerAtLeast(int64_t least) {
  if (least <= 0) return AnyInteger();
  if (least >= kIntegerMax) return Regex::Choice({});
  const std::string digits = std::to_string(least);
  const auto longer = static_cast<int64_t>(digits.size());
  return Regex::Choice(
      {SameLength(digits, true), Regex::Sequence({Digit(1, 9), Digits(longer, kIntegerDigitsMax - 1)})});
}

Regex IntegerAtMost(int64_t most) {
  if (most < 0) return Regex::Choice({});
  if (most >= kIntegerMax) return AnyInteger();
  const std::string digits = std::to_string(most);
  const auto shorter = static_cast<int64_t>(digits.size()) - 1;
  Regex same = SameLength(digits, false);
  // No zero in front of others.
  Regex choice = Regex::Choice({Regex::Of('0')});
  if (shorter > 0) choice.parts.push_back(Regex::Sequence({Digit(1, 9), Digits(0, shorter - 1)}));
  for (Regex& option : same.parts) choice.parts.push_back(std::move(option));
  return choice;
}

// What may stand behind an integer equal to the bound's: the empty text, or a point and digits.
Regex FractionAtLeast(const std::string& fraction, bool exclusive) {
  const Regex above_zero = Regex::Sequence(
      {Regex::Repeat(Regex::Of('0'), 0, kFractionDigitsMax), Digit(1, 9), Digits(0, kFractionDigitsMax)});
  if (fraction.empty()) {
    return exclusive ? Regex::Sequence({Regex::Of('.'), above_zero}) : AnyFraction(kFractionDigitsMax);
  }
  Regex choice =
      Regex::Choice({Regex::Sequence({Regex::Text(fraction), exclusive ? above_zero : Digits(0, kFractionDigitsMax)})});
  for (size_t i = 0; i < fraction.size(); ++i) {
    choice.parts.push_back(Regex::Sequence(
        {Regex::Text(fraction.substr(0, i)), Digit(fraction[i] - '0' + 1, 9), Digits(0, kFractionDigitsMax)}));
  }
  return Regex::Sequence({Regex::Of('.'), std::move(choice)});
}

Regex FractionAtMost(const std::string& fraction, bool exclusive) {
  const Regex zeros = Regex::Repeat(Regex::Of('0'), fraction.empty() ? 1 : 0, kFractionDigitsMax);
  if (fraction.empty()) {
    return exclusive ? Regex::Choice({}) : Optional(Regex::Sequence({Regex::Of('.'), zeros}));
  }
  Regex choice = Regex::Choice({});
  if (!exclusive) choice.parts.push_back(Regex::Sequence({Regex::Text(fraction), zeros}));
  for (size_t i = 0; i < fraction.size(); ++i) {
    if (i > 0) choice.parts.push_back(Regex::Text(fraction.substr(0, i)));
    choice.parts.push_back(Regex::Sequence(
        {Regex::Text(fraction.substr(0, i)), Digit(0, fraction[i] - '0' - 1), Digits(0, kFractionDigitsMax)}));
  }
  return Optional(Regex::Sequence({Regex::Of('.'), std::move(choice)}));
}

// Of numbers without sign, against the bound's absolute value.
Regex MagnitudeAtLeast(const Bound& bound) {
  return Regex::Choice({Regex::Sequence({IntegerAtLeast(bound.value.integer + 1), AnyFraction(kFractionDigitsMax)}),
                        Regex::Sequence({Regex::Text(std::to_string(bound.value.integer)),
                                         FractionAtLeast(bound.value.fraction, bound.exclusive)})});
}
Regex MagnitudeAtMost(const Bound& bound) {
  return Regex::Choice({Regex::Sequence({IntegerAtMost(bound.value.integer - 1), AnyFraction(kFractionDigitsMax)}),
                        Regex::Sequence({Regex::Text(std::to_string(bound.value.integer)),
                                         FractionAtMost(bound.value.fraction, bound.exclusive)})});
}

Regex AnyMagnitude() { return Regex::Sequence({AnyInteger(), AnyFraction(kFractionDigitsMax)}); }
Regex Negative(Regex magnitude) { return Regex::Sequence({Regex::Of('-'), std::move(magnitude)}); }

Regex AtLeast(const Bound& bound) {
  if (bound.value.negative) return Regex::Choice({AnyMagnitude(), Negative(MagnitudeAtMost(bound))});
  return MagnitudeAtLeast(bound);
}
Regex AtMost(const Bound& bound) {
  if (bound.value.negative) return Negative(MagnitudeAtLeast(bound));
  return Regex::Choice(
      {Negative(bound.value.IsZero() && bound.exclusive ? MagnitudeAtLeast({.value = {}, .exclusive = true})
                                                        : AnyMagnitude()),
       MagnitudeAtMost(bound)});
}

Regex Exponent() {
  return Optional(Regex::Sequence(
      {Regex::Set({{'E', 'E'}, {'e', 'e'}}), Optional(Regex::Set({{'+', '+'}, {'-', '-'}})), Digits(1, 3)}));
}

}  // namespace

absl::StatusOr<Decimal> Decimal::Parse(const std::string& number) {
  Decimal decimal;
  size_t at = 0;
  if (at < number.size() && number[at] == '-') {
    decimal.negative = true;
    ++at;
  }
  std::string digits;
  int64_t point = -1, exponent = 0;
  for (; at < number.size(); ++at) {
    if (number[at] == '.') {
      point = static_cast<int64_t>(digits.size());
    } else if (number[at] == 'e' || number[at] == 'E') {
      exponent = std::stoll(number.substr(at + 1));  // a JSON number: at most a few digits after parsing to double
      break;
    } else {
      digits.push_back(number[at]);
    }
  }
  if (point < 0) point = static_cast<int64_t>(digits.size());
  point = std::clamp<int64_t>(point + exponent, -400, 400);
  if (point < 0) digits.insert(0, static_cast<size_t>(-point), '0');
  point = std::max<int64_t>(point, 0);
  if (static_cast<size_t>(point) > digits.size()) digits.append(static_cast<size_t>(point) - digits.size(), '0');
  std::string integer = digits.substr(0, static_cast<size_t>(point));
  integer.erase(0, std::min(integer.find_first_not_of('0'), integer.size()));
  decimal.fraction = digits.substr(static_cast<size_t>(point));
  decimal.fraction.erase(decimal.fraction.find_last_not_of('0') + 1);
  if (integer.size() > static_cast<size_t>(kIntegerDigitsMax)) {
    decimal.integer = kIntegerMax;
    decimal.fraction.clear();
  } else {
    decimal.integer = integer.empty() ? 0 : std::stoll(integer);
  }
  if (decimal.fraction.size() > static_cast<size_t>(kFractionDigitsMax)) {
    return absl::InvalidArgumentError(absl::StrCat("number ", number, ": more than ", kFractionDigitsMax,
                                                   " digits behind the point are not supported"));
  }
  if (decimal.IsZero()) decimal.negative = false;
  return decimal;
}

bool Less(const Decimal& a, const Decimal& b) {
  if (a.negative != b.negative) return a.negative;
  const Decimal& small = a.negative ? b : a;
  const Decimal& large = a.negative ? a : b;
  if (small.integer != large.integer) return small.integer < large.integer;
  return small.fraction < large.fraction;
}

absl::StatusOr<Rules::Expression> NumberRules(const NumberRange& range, Rules& rules) {
  const bool integers = range.integers_only || range.divisor != 1;
  Regex any = integers ? Regex::Sequence({Optional(Regex::Of('-')), AnyInteger()})
                       : Regex::Sequence({Optional(Regex::Of('-')), AnyInteger(),
                                          AnyFraction(range.fraction_digits_max.value_or(kFractionDigitsMax))});
  if (!range.least && !range.most && range.divisor == 1) {
    if (!integers && !range.fraction_digits_max) any = Regex::Sequence({std::move(any), Exponent()});
    return rules.Shared(JsonCharacters(any, rules));
  }
  HEADROOM_ASSIGN_OR_RETURN(Dfa dfa, Dfa::FromRegex(any));
  for (const Regex& regex : {range.least ? AtLeast(*range.least) : any, range.most ? AtMost(*range.most) : any}) {
    HEADROOM_ASSIGN_OR_RETURN(const Dfa other, Dfa::FromRegex(regex));
    HEADROOM_ASSIGN_OR_RETURN(dfa, Dfa::Combine(dfa, other, Dfa::Operation::kBoth));
  }
  if (range.divisor != 1) {
    HEADROOM_ASSIGN_OR_RETURN(
        dfa, Dfa::Combine(dfa, Dfa::MultiplesOf(static_cast<int>(range.divisor)), Dfa::Operation::kBoth));
  }
  return dfa.ToRules([&rules](const CodePoints& set) { return JsonCharacter(set, rules); }, rules);
}

}  // namespace headroom::model
