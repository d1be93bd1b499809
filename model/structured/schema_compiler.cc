#include "model/structured/schema_compiler.h"

#include <algorithm>

#include "common/status.h"

namespace headroom::model {
namespace {

// Beyond these a schema is refused: xgrammar's time and memory grow with them.
constexpr size_t kRulesSizeMax = 400'000;
constexpr size_t kConjunctionsMax = 5'000;
constexpr int64_t kIndentMax = 40;

std::string Dump(const SchemaDocument::Json& value) { return value.dump(); }

// What a string may hold in all spellings, but no half of a surrogate pair: one spelled character is one code point.
Rules::Expression AnyCharacter(Rules& rules) {
  const CodePoints hex = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
  const auto digit = rules.Class(hex);
  const auto unicode = rules.Choice(
      {rules.Sequence(
           {rules.Class({{'0', '9'}, {'A', 'C'}, {'E', 'F'}, {'a', 'c'}, {'e', 'f'}}), rules.Repeat(digit, 3, 3)}),
       rules.Sequence({rules.Class({{'D', 'D'}, {'d', 'd'}}), rules.Class({{'0', '7'}}), rules.Repeat(digit, 2, 2)})});
  const auto escape = rules.Choice(
      {rules.Class({{'"', '"'}, {'/', '/'}, {'\\', '\\'}, {'b', 'b'}, {'f', 'f'}, {'n', 'n'}, {'r', 'r'}, {'t', 't'}}),
       rules.Sequence({rules.Literal("u"), unicode})});
  return rules.Choice({rules.Class({{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0xD7FF}, {0xE000, kCodePointMax}}),
                       rules.Sequence({rules.Literal("\\"), escape})});
}

}  // namespace

SchemaCompiler::SchemaCompiler(SchemaMeaning& meaning, Rules& rules) : meaning_(meaning), rules_(rules) {
  const Expression indent = rules_.Repeat(rules_.Class({{'\t', '\t'}, {' ', ' '}}), 0, kIndentMax);
  space_ = rules_.Shared(
      rules_.Choice({Rules::Empty(), rules_.Literal(" "), rules_.Sequence({rules_.Literal("\n"), indent})}));
  comma_ = rules_.Sequence({rules_.Literal(","), space_});
  colon_ = rules_.Sequence({rules_.Literal(":"), rules_.Optional(rules_.Literal(" "))});
  character_ = AnyCharacter(rules_);
  any_string_ = rules_.Shared(Quoted(rules_.Repeat(character_, 0, Rules::kUnbounded)));
  any_number_ = NumberRules({}, rules_).value();
  NumberRange integers;
  integers.integers_only = true;
  any_integer_ = NumberRules(integers, rules_).value();
}

absl::StatusOr<Rules::Expression> SchemaCompiler::Compile() {
  HEADROOM_ASSIGN_OR_RETURN(const Expression root, Value({SchemaDocument::kRoot}));
  while (!open_.empty()) {
    const auto [all, rule] = std::move(open_.front());
    open_.pop_front();
    HEADROOM_ASSIGN_OR_RETURN(const Expression body, Body(all));
    rules_.Define(rule, body);
    if (rules_.size() > kRulesSizeMax || rule_of_.size() > kConjunctionsMax) {
      return meaning_.document().Error(SchemaDocument::kRoot, "", "the schema is too complex");
    }
  }
  return root;
}

absl::StatusOr<Rules::Expression> SchemaCompiler::Value(const std::vector<Id>& schemas) {
  HEADROOM_ASSIGN_OR_RETURN(const auto all, meaning_.Expand(schemas, {}));
  return all ? RuleFor(*all) : Rules::Never();
}

Rules::Expression SchemaCompiler::RuleFor(const Conjunction& all) {
  if (const auto found = rule_of_.find(all); found != rule_of_.end()) return found->second;
  const int32_t rule = rules_.NewRule();
  open_.emplace_back(all, rule);
  return rule_of_[all] = rules_.Reference(rule);
}

absl::StatusOr<Rules::Expression> SchemaCompiler::Body(const Conjunction& all) {
  HEADROOM_ASSIGN_OR_RETURN(const SchemaFacts facts, meaning_.FactsOf(all));
  if (facts.values) return Values(facts, all);
  if (all.choices.empty()) return Typed(facts);
  Conjunction rest = all;
  rest.choices.erase(rest.choices.begin());
  std::vector<Expression> options;
  for (const Id option : std::vector<Id>(meaning_.Options(all.choices.front()))) {
    HEADROOM_ASSIGN_OR_RETURN(const auto with, meaning_.Expand({option}, rest));
    if (with) options.push_back(RuleFor(*with));
  }
  return rules_.Choice(options);
}

absl::StatusOr<Rules::Expression> SchemaCompiler::Values(const SchemaFacts& facts, const Conjunction& all) {
  std::vector<Expression> options;
  for (const Json& value : *facts.values) {
    HEADROOM_ASSIGN_OR_RETURN(const bool valid, meaning_.IsValid(value, all));
    if (valid) options.push_back(Literal(value));
  }
  return rules_.Choice(options);
}

absl::StatusOr<Rules::Expression> SchemaCompiler::Typed(const SchemaFacts& facts) {
  std::vector<Expression> options;
  if (facts.Has(Types::kNull)) options.push_back(rules_.Literal("null"));
  if (facts.Has(Types::kBoolean)) {
    options.push_back(rules_.Literal("true"));
    options.push_back(rules_.Literal("false"));
  }
  if (facts.Has(Types::kInteger | Types::kNumber)) {
    NumberRange range = facts.number;
    range.integers_only = range.integers_only || !facts.Has(Types::kNumber);
    const bool bounded = range.least || range.most || range.divisor != 1 || range.fraction_digits_max;
    if (!bounded) {
      options.push_back(range.integers_only ? any_integer_ : any_number_);
    } else {
      HEADROOM_ASSIGN_OR_RETURN(const Expression number, NumberRules(range, rules_));
      options.push_back(number);
    }
  }
  if (facts.Has(Types::kString)) {
    HEADROOM_ASSIGN_OR_RETURN(const Expression text, String(facts));
    options.push_back(text);
  }
  if (facts.Has(Types::kArray)) {
    HEADROOM_ASSIGN_OR_RETURN(const Expression array, Array(facts));
    options.push_back(array);
  }
  if (facts.Has(Types::kObject)) {
    HEADROOM_ASSIGN_OR_RETURN(const Expression object, Object(facts));
    options.push_back(object);
  }
  return rules_.Choice(options);
}

Rules::Expression SchemaCompiler::Literal(const Json& value) {
  if (!value.is_structured()) return rules_.Literal(Dump(value));
  std::vector<Expression> parts;
  for (const auto& [name, inner] : value.items()) {
    if (!parts.empty()) parts.push_back(comma_);
    if (value.is_object()) {
      parts.push_back(rules_.Literal(Dump(Json(name))));
      parts.push_back(colon_);
    }
    parts.push_back(Literal(inner));
  }
  if (parts.empty()) return rules_.Literal(value.is_object() ? "{}" : "[]");
  parts.insert(parts.begin(), {rules_.Literal(value.is_object() ? "{" : "["), space_});
  parts.insert(parts.end(), {space_, rules_.Literal(value.is_object() ? "}" : "]")});
  return rules_.Sequence(parts);
}

Rules::Expression SchemaCompiler::Quoted(Expression characters) {
  return rules_.Sequence({rules_.Literal("\""), characters, rules_.Literal("\"")});
}

absl::StatusOr<Rules::Expression> SchemaCompiler::String(const SchemaFacts& facts) {
  const bool any_length = facts.min_length == 0 && facts.max_length == Rules::kUnbounded;
  const bool none_excluded = facts.excluded_patterns.empty() && facts.excluded_strings.empty();
  if (none_excluded && facts.patterns.empty()) {
    if (any_length) return any_string_;
    if (facts.max_length != Rules::kUnbounded && facts.max_length < facts.min_length) return Rules::Never();
    return Quoted(rules_.Repeat(character_, facts.min_length, facts.max_length));
  }
  if (none_excluded && facts.patterns.size() == 1 && any_length) {
    HEADROOM_ASSIGN_OR_RETURN(const Regex regex, ParsePattern(facts.patterns[0]));
    return Quoted(JsonCharacters(regex, rules_));
  }
  if (facts.max_length != Rules::kUnbounded && facts.max_length < facts.min_length) return Rules::Never();
  HEADROOM_ASSIGN_OR_RETURN(const Dfa strings, meaning_.StringsOf(facts));
  return Quoted(strings.ToRules([this](const CodePoints& set) { return JsonCharacter(set, rules_); }, rules_));
}

absl::StatusOr<Rules::Expression> SchemaCompiler::Array(const SchemaFacts& facts) {
  const int64_t min = facts.min_items, max = facts.max_items;
  if (max != Rules::kUnbounded && max < min) return Rules::Never();
  const auto wrap = [this](Expression inside) {
    return rules_.Sequence({rules_.Literal("["), space_, inside, rules_.Literal("]")});
  };
  const auto less = [](int64_t count, int64_t by) {
    return count == Rules::kUnbounded ? count : std::max<int64_t>(0, count - by);
  };
  auto prefix = static_cast<int64_t>(meaning_.PrefixSize(facts));
  if (max != Rules::kUnbounded) prefix = std::min(prefix, max);
  HEADROOM_ASSIGN_OR_RETURN(const Expression other, Value(meaning_.ItemSchemas(facts, static_cast<size_t>(prefix))));
  // From the end: what may follow `i` elements, all of them with a comma in front; the first has none.
  const Expression following = rules_.Shared(rules_.Sequence({comma_, other}));
  Expression tail;
  if (prefix > 0) {
    tail = rules_.Repeat(following, less(min, prefix), less(max, prefix));
  } else {
    const Expression more = rules_.Repeat(following, less(min, 1), less(max, 1));
    tail = max == 0 ? Rules::Never() : rules_.Sequence({other, more, space_});
  }
  for (int64_t i = prefix; i-- > 0;) {
    HEADROOM_ASSIGN_OR_RETURN(const Expression item, Value(meaning_.ItemSchemas(facts, static_cast<size_t>(i))));
    if (i + 1 >= min) tail = rules_.Optional(tail);
    tail = i > 0 ? rules_.Sequence({comma_, item, tail}) : rules_.Sequence({item, tail, space_});
    if (i % kInOneRule == 0) tail = rules_.Shared(tail);
  }
  return wrap(min == 0 ? rules_.Optional(tail) : tail);
}

}  // namespace headroom::model
