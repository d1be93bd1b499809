#include "model/structured/schema_rewrite.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/status.h"
#include "model/structured/schema_keywords.h"

namespace headroom::model {
namespace {

using Json = SchemaDocument::Json;

constexpr int kNestingMax = 12;

const char* const kTypes[] = {"null", "boolean", "integer", "number", "string", "array", "object"};

bool Carries(const std::string& keyword) {  // says something about the text
  static const char* const silent[] = {"$comment",        "$schema",          "$id",      "id",
                                       "title",           "description",      "default",  "example",
                                       "examples",        "deprecated",       "readOnly", "writeOnly",
                                       "contentEncoding", "contentMediaType", "$defs",    "definitions"};
  return std::ranges::find(silent, keyword) == std::end(silent) && SchemaDocument::IsKeyword(keyword);
}

absl::Status CannotNegate(const std::string& keyword) {
  return absl::InvalidArgumentError(absl::StrCat("\"", keyword, "\" cannot be negated (not, if, overlapping oneOf)"));
}

absl::StatusOr<Json> NegateAt(const Json& schema, int depth);

absl::StatusOr<Json> NegateType(const Json& type) {
  const auto has = [&type](const std::string& name) {
    return type.is_string() ? type == name : std::ranges::find(type, Json(name)) != type.end();
  };
  if (has("integer") && !has("number")) return CannotNegate("type: integer");
  Json others = Json::array();
  for (const char* name : kTypes) {
    if (!has(name) && !(std::string(name) == "integer")) others.push_back(name);
  }
  if (others.empty()) return Json(false);
  return Json{{"type", others}};
}

absl::StatusOr<Json> NegateValues(const Json& values) {
  Json strings = Json::array(), others = Json::array({"null", "boolean", "number", "array", "object"});
  const auto drop = [&others](const char* type) {
    if (const auto found = std::ranges::find(others, Json(type)); found != others.end()) others.erase(found);
  };
  bool booleans[2] = {false, false}, null = false;
  for (const Json& value : values) {
    if (value.is_string()) {
      strings.push_back(value);
    } else if (value.is_boolean()) {
      booleans[value.get<bool>() ? 1 : 0] = true;
    } else if (value.is_null()) {
      null = true;
    } else {
      return CannotNegate("enum of numbers, arrays or objects");
    }
  }
  Json options = Json::array();
  if (null) drop("null");
  if (booleans[0] || booleans[1]) drop("boolean");
  if (booleans[0] != booleans[1]) options.push_back({{"const", !booleans[1]}});
  options.push_back({{"type", others}});
  Json text = {{"type", "string"}};
  if (!strings.empty()) text[kExcludedStrings] = strings;
  options.push_back(text);
  return Json{{"anyOf", options}};
}

absl::StatusOr<Json> NegateCount(const std::string& type, const std::string& opposite, const Json& count, int step) {
  const int64_t limit = static_cast<int64_t>(count.get<double>()) + step;
  if (limit < 0) return Json(false);
  return Json{{"type", type}, {opposite, limit}};
}

absl::StatusOr<Json> NegateProperties(const Json& properties, int depth) {
  Json options = Json::array();
  for (const auto& [name, property] : properties.items()) {
    HEADROOM_ASSIGN_OR_RETURN(Json other, NegateAt(property, depth + 1));
    if (other == Json(false)) continue;
    options.push_back(
        {{"type", "object"}, {"required", Json::array({name})}, {"properties", {{name, std::move(other)}}}});
  }
  if (options.empty()) return Json(false);
  return Json{{"anyOf", options}};
}

absl::StatusOr<Json> NegateList(const char* joined_by, const Json& list, int depth) {
  Json parts = Json::array();
  for (const Json& one : list) {
    HEADROOM_ASSIGN_OR_RETURN(Json other, NegateAt(one, depth + 1));
    parts.push_back(std::move(other));
  }
  return Json{{joined_by, parts}};
}

absl::StatusOr<Json> NegateKeyword(const std::string& keyword, const Json& value, int depth) {
  if (keyword == "type") return NegateType(value);
  if (keyword == "enum") return NegateValues(value);
  if (keyword == "const") return NegateValues(Json::array({value}));
  if (keyword == "not") return value;
  if (keyword == "allOf") return NegateList("anyOf", value, depth);
  if (keyword == "anyOf") return NegateList("allOf", value, depth);
  if (keyword == "properties") return NegateProperties(value, depth);
  if (keyword == "pattern") return Json{{"type", "string"}, {kExcludedPattern, value}};
  if (keyword == "minimum") return Json{{"type", "number"}, {"exclusiveMaximum", value}};
  if (keyword == "maximum") return Json{{"type", "number"}, {"exclusiveMinimum", value}};
  if (keyword == "exclusiveMinimum" && value.is_number()) return Json{{"type", "number"}, {"maximum", value}};
  if (keyword == "exclusiveMaximum" && value.is_number()) return Json{{"type", "number"}, {"minimum", value}};
  if (keyword == "minLength") return NegateCount("string", "maxLength", value, -1);
  if (keyword == "maxLength") return NegateCount("string", "minLength", value, 1);
  if (keyword == "minItems") return NegateCount("array", "maxItems", value, -1);
  if (keyword == "maxItems") return NegateCount("array", "minItems", value, 1);
  if (keyword == "required") {
    Json options = Json::array();
    for (const Json& name : value) {
      options.push_back({{"type", "object"}, {"properties", {{name.get<std::string>(), false}}}});
    }
    if (options.empty()) return Json(false);
    return Json{{"anyOf", options}};
  }
  return CannotNegate(keyword);
}

absl::StatusOr<Json> NegateAt(const Json& schema, int depth) {
  if (schema.is_boolean()) return Json(!schema.get<bool>());
  if (depth > kNestingMax) return CannotNegate("deep nesting");
  // With the draft 4 form of a limit one keyword changes another.
  for (const char* limit : {"exclusiveMinimum", "exclusiveMaximum"}) {
    if (schema.contains(limit) && schema[limit].is_boolean()) return CannotNegate(limit);
  }
  Json options = Json::array();
  for (const auto& [keyword, value] : schema.items()) {
    if (!Carries(keyword)) continue;
    HEADROOM_ASSIGN_OR_RETURN(Json other, NegateKeyword(keyword, value, depth));
    if (other == Json(true)) return Json(true);
    if (other != Json(false)) options.push_back(std::move(other));
  }
  if (options.empty()) return Json(false);
  if (options.size() == 1) return std::move(options[0]);
  return Json{{"anyOf", options}};
}

}  // namespace

absl::StatusOr<Json> Negate(const Json& schema, const SchemaDocument& document) {
  // A schema that is only a reference says what its target says.
  if (schema.is_object() && schema.contains("$ref")) {
    size_t carrying = 0;
    for (const auto& [keyword, value] : schema.items()) carrying += Carries(keyword) ? 1 : 0;
    if (carrying == 1 || document.ignores_beside_ref()) {
      const Json& target = document.At(document.Target(document.IdOf(schema)));
      if (target.is_object() && target.contains("$ref")) return CannotNegate("$ref");
      return NegateAt(target, 0);
    }
  }
  return NegateAt(schema, 0);
}

}  // namespace headroom::model
