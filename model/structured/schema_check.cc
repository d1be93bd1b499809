// Which values are valid, and which schemas no value can satisfy.
#include <algorithm>

#include "common/status.h"
#include "common/utf8.h"
#include "model/structured/schema_meaning.h"

namespace headroom::model {
namespace {

using Id = SchemaDocument::Id;
using Json = SchemaDocument::Json;

bool SameNumber(const Json& a, const Json& b) {
  const absl::StatusOr<Decimal> left = Decimal::Parse(a.dump()), right = Decimal::Parse(b.dump());
  return left.ok() && right.ok() && !Less(*left, *right) && !Less(*right, *left);
}

// As JSON Schema compares: numbers by value, objects whatever the order of their members.
bool SameValue(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) return SameNumber(a, b);
  if (a.type() != b.type()) return false;
  if (a.is_array()) return std::ranges::equal(a, b, SameValue);
  if (!a.is_object()) return a == b;
  if (a.size() != b.size()) return false;
  for (const auto& [name, value] : a.items()) {
    const auto other = b.find(name);
    if (other == b.end() || !SameValue(value, *other)) return false;
  }
  return true;
}

bool FitsNumber(const Json& value, const NumberRange& range) {
  const absl::StatusOr<Decimal> number = Decimal::Parse(value.dump());
  if (!number.ok()) return false;
  if (range.least &&
      (Less(*number, range.least->value) || (range.least->exclusive && !Less(range.least->value, *number)))) {
    return false;
  }
  if (range.most &&
      (Less(range.most->value, *number) || (range.most->exclusive && !Less(*number, range.most->value)))) {
    return false;
  }
  if (range.integers_only && !number->fraction.empty()) return false;
  if (range.fraction_digits_max && static_cast<int64_t>(number->fraction.size()) > *range.fraction_digits_max) {
    return false;
  }
  return number->integer % range.divisor == 0;
}

uint8_t TypeOf(const Json& value) {
  if (value.is_null()) return Types::kNull;
  if (value.is_boolean()) return Types::kBoolean;
  if (value.is_string()) return Types::kString;
  if (value.is_array()) return Types::kArray;
  if (value.is_object()) return Types::kObject;
  const absl::StatusOr<Decimal> number = Decimal::Parse(value.dump());
  return number.ok() && number->fraction.empty() ? Types::kInteger : Types::kNumber;
}

bool Within(size_t count, int64_t min, int64_t max) {
  return static_cast<int64_t>(count) >= min && (max == Rules::kUnbounded || static_cast<int64_t>(count) <= max);
}

bool IsEmptyRange(const NumberRange& range) {
  if (!range.least || !range.most) return false;
  return Less(range.most->value, range.least->value) ||
         (!Less(range.least->value, range.most->value) && (range.least->exclusive || range.most->exclusive));
}

}  // namespace

absl::StatusOr<bool> SchemaMeaning::IsValid(const Json& value, const Conjunction& all) {
  HEADROOM_ASSIGN_OR_RETURN(const SchemaFacts facts, FactsOf(all));
  HEADROOM_ASSIGN_OR_RETURN(const bool fits, FitsFacts(value, all, facts));
  if (!fits) return false;
  for (const int choice : all.choices) {
    bool some = false;
    for (const Id option : std::vector<Id>(Options(choice))) {
      HEADROOM_ASSIGN_OR_RETURN(const auto expanded, Expand({option}, {}));
      if (!expanded) continue;
      HEADROOM_ASSIGN_OR_RETURN(some, IsValid(value, *expanded));
      if (some) break;
    }
    if (!some) return false;
  }
  return true;
}

absl::StatusOr<bool> SchemaMeaning::FitsFacts(const Json& value, const Conjunction& all, const SchemaFacts& facts) {
  if (!facts.Has(TypeOf(value))) return false;
  for (const Id id : all.facts) {
    const Json& schema = document_.At(id);
    if (schema.contains("const") && !SameValue(schema["const"], value)) return false;
    if (schema.contains("enum") &&
        std::ranges::none_of(schema["enum"], [&value](const Json& one) { return SameValue(one, value); })) {
      return false;
    }
  }
  if (value.is_number()) return FitsNumber(value, facts.number);
  if (value.is_string()) return FitsString(value.get<std::string>(), facts);
  if (value.is_array()) return FitsArray(value, facts);
  if (value.is_object()) return FitsObject(value, facts);
  return true;
}

absl::StatusOr<bool> SchemaMeaning::FitsString(const std::string& value, const SchemaFacts& facts) {
  if (!Within(CountCharacters(value), facts.min_length, facts.max_length)) return false;
  for (const bool excluded : {false, true}) {
    for (const std::string& pattern : excluded ? facts.excluded_patterns : facts.patterns) {
      HEADROOM_ASSIGN_OR_RETURN(const Dfa* dfa, PatternDfa(pattern));
      if (dfa->Accepts(value) == excluded) return false;
    }
  }
  return std::ranges::find(facts.excluded_strings, value) == facts.excluded_strings.end();
}

absl::StatusOr<bool> SchemaMeaning::FitsArray(const Json& value, const SchemaFacts& facts) {
  if (!Within(value.size(), facts.min_items, facts.max_items)) return false;
  for (size_t i = 0; i < value.size(); ++i) {
    HEADROOM_ASSIGN_OR_RETURN(const auto all, Expand(ItemSchemas(facts, i), {}));
    if (!all) return false;
    HEADROOM_ASSIGN_OR_RETURN(const bool valid, IsValid(value[i], *all));
    if (!valid) return false;
  }
  return true;
}

absl::StatusOr<bool> SchemaMeaning::FitsObject(const Json& value, const SchemaFacts& facts) {
  if (!Within(value.size(), facts.min_properties, facts.max_properties)) return false;
  for (const std::string& name : facts.required) {
    if (!value.contains(name)) return false;
  }
  for (const auto& [name, member] : value.items()) {
    HEADROOM_ASSIGN_OR_RETURN(const auto schemas, MemberSchemas(facts, name));
    if (!schemas) return false;
    HEADROOM_ASSIGN_OR_RETURN(const auto all, Expand(*schemas, {}));
    if (!all) return false;
    HEADROOM_ASSIGN_OR_RETURN(const bool valid, IsValid(member, *all));
    if (!valid) return false;
  }
  return true;
}

absl::StatusOr<bool> SchemaMeaning::AreImpossible(const std::vector<Id>& schemas, int depth) {
  HEADROOM_ASSIGN_OR_RETURN(const auto all, Expand(schemas, {}));
  if (!all) return true;
  return IsImpossible(*all, depth - 1);
}

absl::StatusOr<bool> SchemaMeaning::IsImpossible(const Conjunction& all, int depth) {
  if (depth <= 0) return false;
  HEADROOM_ASSIGN_OR_RETURN(const SchemaFacts facts, FactsOf(all));
  if (facts.values) {
    for (const Json& value : *facts.values) {
      HEADROOM_ASSIGN_OR_RETURN(const bool valid, IsValid(value, all));
      if (valid) return false;
    }
    return true;
  }
  for (const int choice : all.choices) {
    Conjunction rest = all;
    std::erase(rest.choices, choice);
    bool some = false;
    for (const Id option : std::vector<Id>(Options(choice))) {
      HEADROOM_ASSIGN_OR_RETURN(const auto with, Expand({option}, rest));
      if (!with) continue;
      HEADROOM_ASSIGN_OR_RETURN(const bool impossible, IsImpossible(*with, depth - 1));
      some = !impossible;
      if (some) break;
    }
    if (!some) return true;
  }
  if (facts.Has(Types::kNull | Types::kBoolean)) return false;
  if (facts.Has(Types::kInteger | Types::kNumber) && !IsEmptyRange(facts.number)) return false;
  if (facts.Has(Types::kString)) {
    const bool lengths_alone =
        facts.patterns.empty() && facts.excluded_patterns.empty() && facts.excluded_strings.empty();
    const bool crossed = facts.max_length != Rules::kUnbounded && facts.max_length < facts.min_length;
    if (lengths_alone && !crossed) return false;
    if (!crossed) {
      HEADROOM_ASSIGN_OR_RETURN(const Dfa strings, StringsOf(facts));
      if (!strings.IsEmpty()) return false;
    }
  }
  if (facts.Has(Types::kArray)) {
    HEADROOM_ASSIGN_OR_RETURN(const bool impossible, ArrayIsImpossible(facts, depth));
    if (!impossible) return false;
  }
  if (!facts.Has(Types::kObject)) return true;
  return ObjectIsImpossible(facts, depth);
}

absl::StatusOr<bool> SchemaMeaning::ArrayIsImpossible(const SchemaFacts& facts, int depth) {
  if (facts.max_items != Rules::kUnbounded && facts.max_items < facts.min_items) return true;
  const auto looked_at = std::min<int64_t>(facts.min_items, static_cast<int64_t>(PrefixSize(facts)) + 1);
  for (int64_t i = 0; i < looked_at; ++i) {
    HEADROOM_ASSIGN_OR_RETURN(const bool impossible, AreImpossible(ItemSchemas(facts, static_cast<size_t>(i)), depth));
    if (impossible) return true;
  }
  return false;
}

absl::StatusOr<bool> SchemaMeaning::ObjectIsImpossible(const SchemaFacts& facts, int depth) {
  const auto required = static_cast<int64_t>(facts.required.size());
  if (facts.max_properties != Rules::kUnbounded && facts.max_properties < std::max(required, facts.min_properties)) {
    return true;
  }
  for (const std::string& name : facts.required) {
    HEADROOM_ASSIGN_OR_RETURN(const auto schemas, MemberSchemas(facts, name));
    if (!schemas) return true;
    HEADROOM_ASSIGN_OR_RETURN(const bool impossible, AreImpossible(*schemas, depth));
    if (impossible) return true;
  }
  return false;
}

}  // namespace headroom::model
