#include "model/structured/schema_facts.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

#include "common/status.h"
#include "model/structured/schema_keywords.h"
#include "model/structured/string_formats.h"

namespace headroom::model {
namespace {

using Json = SchemaDocument::Json;

uint8_t TypeOf(const std::string& name) {
  if (name == "null") return Types::kNull;
  if (name == "boolean") return Types::kBoolean;
  if (name == "integer") return Types::kInteger;
  if (name == "number") return Types::kInteger | Types::kNumber;
  if (name == "string") return Types::kString;
  return name == "array" ? Types::kArray : Types::kObject;
}

int64_t Count(const Json& value) { return static_cast<int64_t>(value.get<double>()); }

// Reads the keywords of one schema into the facts.
class Reader {
 public:
  Reader(const SchemaDocument& document, SchemaDocument::Id id, SchemaFacts* facts)
      : document_(document), id_(id), schema_(document.At(id)), facts_(*facts) {}

  absl::Status Read() {
    HEADROOM_RETURN_IF_ERROR(ReadValues());
    HEADROOM_RETURN_IF_ERROR(ReadNumbers());
    HEADROOM_RETURN_IF_ERROR(ReadStrings());
    HEADROOM_RETURN_IF_ERROR(ReadArrays());
    return ReadObjects();
  }

 private:
  const Json* Find(const char* keyword) const {
    const auto found = schema_.find(keyword);
    return found == schema_.end() ? nullptr : &*found;
  }
  absl::Status Error(const char* keyword, const std::string& what) const { return document_.Error(id_, keyword, what); }

  // The larger of two lower bounds; the smaller of two upper ones.
  void AtLeast(const char* keyword, int64_t* min) const {
    if (const Json* value = Find(keyword)) *min = std::max(*min, Count(*value));
  }
  void AtMost(const char* keyword, int64_t* max) const {
    const Json* value = Find(keyword);
    if (value != nullptr && (*max == Rules::kUnbounded || Count(*value) < *max)) *max = Count(*value);
  }

  absl::Status ReadValues() {
    if (const Json* type = Find("type")) {
      uint8_t types = 0;
      if (type->is_string()) {
        types = TypeOf(type->get<std::string>());
      } else {
        for (const Json& one : *type) types |= TypeOf(one.get<std::string>());
      }
      facts_.types &= types;
    }
    for (const char* keyword : {"enum", "const"}) {
      const Json* value = Find(keyword);
      if (value == nullptr || facts_.values)
        continue;  // the others are held against the first, by SchemaMeaning::IsValid
      facts_.values.emplace();
      if (std::string(keyword) == "const") {
        facts_.values->push_back(*value);
      } else {
        facts_.values->assign(value->begin(), value->end());
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadBound(const char* keyword, const char* exclusive_keyword, bool least) {
    std::optional<Bound>& bound = least ? facts_.number.least : facts_.number.most;
    const Json* exclusive = Find(exclusive_keyword);
    const bool draft_4 = exclusive != nullptr && exclusive->is_boolean();
    for (const bool strict : {false, true}) {
      const Json* value = Find(strict ? exclusive_keyword : keyword);
      if (value == nullptr || value->is_boolean()) continue;
      absl::StatusOr<Decimal> decimal = Decimal::Parse(value->dump());
      if (!decimal.ok()) return Error(strict ? exclusive_keyword : keyword, std::string(decimal.status().message()));
      const Bound other = {*std::move(decimal), strict || (draft_4 && exclusive->get<bool>())};
      const bool tighter = !bound || (least ? Less(bound->value, other.value) : Less(other.value, bound->value)) ||
                           (!Less(bound->value, other.value) && !Less(other.value, bound->value) && other.exclusive);
      if (tighter) bound = other;
    }
    return absl::OkStatus();
  }

  absl::Status ReadNumbers() {
    HEADROOM_RETURN_IF_ERROR(ReadBound("minimum", "exclusiveMinimum", /*least=*/true));
    HEADROOM_RETURN_IF_ERROR(ReadBound("maximum", "exclusiveMaximum", /*least=*/false));
    const Json* multiple = Find("multipleOf");
    if (multiple == nullptr) return absl::OkStatus();
    absl::StatusOr<Decimal> decimal = Decimal::Parse(multiple->dump());
    if (!decimal.ok()) return Error("multipleOf", std::string(decimal.status().message()));
    NumberRange& number = facts_.number;
    if (decimal->fraction.empty() && decimal->integer <= 1000) {
      number.integers_only = true;
      number.divisor = std::lcm(number.divisor, decimal->integer);
      if (number.divisor <= 1000) return absl::OkStatus();
    } else if (decimal->integer == 0 && decimal->fraction.find_first_not_of('0') == decimal->fraction.size() - 1 &&
               decimal->fraction.back() == '1') {
      const auto digits = static_cast<int64_t>(decimal->fraction.size());
      number.fraction_digits_max = std::min(digits, number.fraction_digits_max.value_or(digits));
      return absl::OkStatus();
    }
    return Error("multipleOf",
                 absl::StrCat(multiple->dump(), ": supported are integers up to 1000, 0.1, 0.01 and so on"));
  }

  absl::Status ReadStrings() {
    AtLeast("minLength", &facts_.min_length);
    AtMost("maxLength", &facts_.max_length);
    const auto add = [this](const std::string& pattern) {
      if (std::ranges::find(facts_.patterns, pattern) == facts_.patterns.end()) facts_.patterns.push_back(pattern);
    };
    if (const Json* pattern = Find("pattern")) {
      if (const absl::Status status = ParsePattern(pattern->get<std::string>()).status(); !status.ok()) {
        return Error("pattern", std::string(status.message()));
      }
      add(pattern->get<std::string>());
    }
    if (const Json* format = Find("format")) {
      if (const char* pattern = PatternOfFormat(format->get<std::string>()); pattern != nullptr) {
        if (*pattern == '\0') return Error("format", absl::StrCat(format->dump(), " is not supported"));
        add(pattern);
      }
    }
    if (const Json* pattern = Find(kExcludedPattern)) {
      if (const absl::Status status = ParsePattern(pattern->get<std::string>()).status(); !status.ok()) {
        return Error("not", std::string(status.message()));
      }
      facts_.excluded_patterns.push_back(pattern->get<std::string>());
    }
    if (const Json* strings = Find(kExcludedStrings)) {
      for (const Json& one : *strings) facts_.excluded_strings.push_back(one.get<std::string>());
    }
    return absl::OkStatus();
  }

  absl::Status ReadArrays() {
    AtLeast("minItems", &facts_.min_items);
    AtMost("maxItems", &facts_.max_items);
    if (Find("items") || Find("prefixItems") || Find("additionalItems")) facts_.array_schemas.push_back(id_);
    const Json* unique = Find("uniqueItems");
    if (unique == nullptr || !unique->get<bool>() || !facts_.Has(Types::kArray)) return absl::OkStatus();
    if (const Json* max = Find("maxItems"); max != nullptr && Count(*max) <= 1) return absl::OkStatus();
    return Error("uniqueItems", "is supported with maxItems up to 1 only");
  }

  absl::Status ReadObjects() {
    AtLeast("minProperties", &facts_.min_properties);
    AtMost("maxProperties", &facts_.max_properties);
    if (const Json* required = Find("required")) {
      for (const Json& one : *required) {
        const std::string name = one.get<std::string>();
        if (std::ranges::find(facts_.required, name) == facts_.required.end()) facts_.required.push_back(name);
      }
    }
    if (Find("properties") || Find("patternProperties") || Find("additionalProperties") || Find("propertyNames")) {
      facts_.object_schemas.push_back(id_);
    }
    if (const Json* patterns = Find("patternProperties")) {
      for (const auto& [pattern, schema] : patterns->items()) {
        if (const absl::Status status = ParsePattern(pattern).status(); !status.ok()) {
          return Error("patternProperties", std::string(status.message()));
        }
      }
    }
    return absl::OkStatus();
  }

  const SchemaDocument& document_;
  const SchemaDocument::Id id_;
  const Json& schema_;
  SchemaFacts& facts_;
};

}  // namespace

absl::StatusOr<SchemaFacts> CollectFacts(const SchemaDocument& document,
                                         const std::vector<SchemaDocument::Id>& schemas) {
  SchemaFacts facts;
  for (const SchemaDocument::Id id : schemas) HEADROOM_RETURN_IF_ERROR(Reader(document, id, &facts).Read());
  for (const auto& [min, max, keyword] : {std::tuple(facts.min_length, &facts.max_length, "minLength"),
                                          std::tuple(facts.min_items, &facts.max_items, "minItems"),
                                          std::tuple(facts.min_properties, &facts.max_properties, "minProperties")}) {
    if (min > kRepetitionMax) {
      return document.Error(schemas.back(), "", absl::StrCat(keyword, " ", min, ", limit ", kRepetitionMax));
    }
    if (*max > kRepetitionMax) *max = kRepetitionMax;
  }
  return facts;
}

}  // namespace headroom::model
