#include "model/structured/schema_keywords.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>
#include <vector>

namespace headroom::model {
namespace {

using Json = nlohmann::ordered_json;

// Letters to insert, delete or replace between two words, without regard to case.
size_t Distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t above = row[j + 1];
      const bool same = (a[i] | 0x20) == (b[j] | 0x20);
      row[j + 1] = std::min({above + 1, row[j] + 1, diagonal + (same ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

bool IsCount(const Json& value) {
  if (value.is_number_unsigned()) return value.get<uint64_t>() <= (uint64_t{1} << 53);
  return value.is_number_float() && value.get<double>() >= 0 && value.get<double>() <= 9e15 &&
         value.get<double>() == static_cast<double>(static_cast<int64_t>(value.get<double>()));
}

bool AreNames(const Json& value) {
  return value.is_array() && std::ranges::all_of(value, [](const Json& name) { return name.is_string(); });
}

}  // namespace

const std::unordered_map<std::string, KeywordShape>& SchemaKeywords() {
  static const auto* const keywords = new std::unordered_map<std::string, KeywordShape>{
      {"$comment", KeywordShape::kAnnotation},
      {"$schema", KeywordShape::kAnnotation},
      {"$id", KeywordShape::kAnnotation},
      {"id", KeywordShape::kAnnotation},
      {"title", KeywordShape::kAnnotation},
      {"description", KeywordShape::kAnnotation},
      {"default", KeywordShape::kAnnotation},
      {"example", KeywordShape::kAnnotation},
      {"examples", KeywordShape::kAnnotation},
      {"deprecated", KeywordShape::kAnnotation},
      {"readOnly", KeywordShape::kAnnotation},
      {"writeOnly", KeywordShape::kAnnotation},
      {"contentEncoding", KeywordShape::kAnnotation},
      {"contentMediaType", KeywordShape::kAnnotation},
      {"$defs", KeywordShape::kContainer},
      {"definitions", KeywordShape::kContainer},
      {"$ref", KeywordShape::kReference},
      {"allOf", KeywordShape::kSchemaList},
      {"anyOf", KeywordShape::kSchemaList},
      {"oneOf", KeywordShape::kSchemaList},
      {"not", KeywordShape::kSchema},
      {"if", KeywordShape::kSchema},
      {"then", KeywordShape::kSchema},
      {"else", KeywordShape::kSchema},
      {"type", KeywordShape::kType},
      {"enum", KeywordShape::kValues},
      {"const", KeywordShape::kAny},
      {"minimum", KeywordShape::kNumber},
      {"maximum", KeywordShape::kNumber},
      {"exclusiveMinimum", KeywordShape::kLimit},
      {"exclusiveMaximum", KeywordShape::kLimit},
      {"multipleOf", KeywordShape::kPositive},
      {"minLength", KeywordShape::kCount},
      {"maxLength", KeywordShape::kCount},
      {"pattern", KeywordShape::kString},
      {"format", KeywordShape::kString},
      {"items", KeywordShape::kItems},
      {"prefixItems", KeywordShape::kSchemaList},
      {"additionalItems", KeywordShape::kSchema},
      {"minItems", KeywordShape::kCount},
      {"maxItems", KeywordShape::kCount},
      {"uniqueItems", KeywordShape::kBoolean},
      {"properties", KeywordShape::kSchemaMap},
      {"patternProperties", KeywordShape::kSchemaMap},
      {"additionalProperties", KeywordShape::kSchema},
      {"propertyNames", KeywordShape::kSchema},
      {"required", KeywordShape::kNames},
      {"minProperties", KeywordShape::kCount},
      {"maxProperties", KeywordShape::kCount},
      {"dependentRequired", KeywordShape::kNameLists},
      {"dependentSchemas", KeywordShape::kSchemaMap},
      {"dependencies", KeywordShape::kDependencies},
      {kExcludedStrings, KeywordShape::kValues},
      {kExcludedPattern, KeywordShape::kString},
  };
  return *keywords;
}

bool IsUnsupportedKeyword(const std::string& keyword) {
  static const std::unordered_set<std::string> unsupported = {
      "contains",    "minContains",   "maxContains",    "unevaluatedProperties", "unevaluatedItems", "$anchor",
      "$dynamicRef", "$recursiveRef", "$dynamicAnchor", "$recursiveAnchor",      "$vocabulary",      "extends",
      "disallow",    "divisibleBy",   "nullable",       "contentSchema",         "requires",         "maxDecimal",
      "minDecimal",  "$data"};
  return unsupported.contains(keyword);
}

const std::string* NearlyAConstraint(const std::string& keyword) {
  // Taken out on purpose, as in "_format".
  if (keyword.starts_with('_')) return nullptr;
  for (const auto& [known, shape] : SchemaKeywords()) {
    if (shape == KeywordShape::kAnnotation || shape == KeywordShape::kContainer || known[0] == '\x01') continue;
    const size_t tolerance = known.size() < 4 ? 0 : known.size() < 7 ? 1 : 2;
    if (keyword.size() < 64 && Distance(keyword, known) <= tolerance) return &known;
  }
  return nullptr;
}

const char* WrongShape(KeywordShape shape, const Json& value) {
  static const std::unordered_set<std::string> types = {"null",   "boolean", "integer", "number",
                                                        "string", "array",   "object"};
  const auto is_type = [](const Json& type) { return type.is_string() && types.contains(type.get<std::string>()); };
  const auto is_schema = [](const Json& schema) { return schema.is_object() || schema.is_boolean(); };
  switch (shape) {
    case KeywordShape::kAnnotation:
    case KeywordShape::kAny:
      return nullptr;
    case KeywordShape::kContainer:
      return value.is_object() ? nullptr : "an object";
    case KeywordShape::kSchema:
      return is_schema(value) ? nullptr : "a schema";
    case KeywordShape::kSchemaList:
      return value.is_array() && !value.empty() && std::ranges::all_of(value, is_schema) ? nullptr
                                                                                         : "a list of schemas";
    case KeywordShape::kItems:
      return is_schema(value) || (value.is_array() && std::ranges::all_of(value, is_schema)) ? nullptr : "a schema";
    case KeywordShape::kSchemaMap:
      return value.is_object() && std::ranges::all_of(value, is_schema) ? nullptr : "an object of schemas";
    case KeywordShape::kDependencies:
      return value.is_object() &&
                     std::ranges::all_of(value, [&](const Json& one) { return is_schema(one) || AreNames(one); })
                 ? nullptr
                 : "an object of schemas or lists of names";
    case KeywordShape::kType:
      return is_type(value) || (value.is_array() && !value.empty() && std::ranges::all_of(value, is_type))
                 ? nullptr
                 : "a type or a list of types";
    case KeywordShape::kValues:
      return value.is_array() && !value.empty() ? nullptr : "a list of values";
    case KeywordShape::kCount:
      return IsCount(value) ? nullptr : "an integer from 0 on";
    case KeywordShape::kNumber:
      return value.is_number() ? nullptr : "a number";
    case KeywordShape::kPositive:
      return value.is_number() && value.get<double>() > 0 ? nullptr : "a number above 0";
    case KeywordShape::kLimit:
      return value.is_number() || value.is_boolean() ? nullptr : "a number";
    case KeywordShape::kString:
    case KeywordShape::kReference:
      return value.is_string() ? nullptr : "a string";
    case KeywordShape::kBoolean:
      return value.is_boolean() ? nullptr : "true or false";
    case KeywordShape::kNames:
      return AreNames(value) ? nullptr : "a list of names";
    case KeywordShape::kNameLists:
      return value.is_object() && std::ranges::all_of(value, AreNames) ? nullptr : "an object of lists of names";
  }
  return nullptr;
}

}  // namespace headroom::model
