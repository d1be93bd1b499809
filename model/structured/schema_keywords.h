// The keywords of JSON Schema: which are understood, and what their values look like. schema_document.h checks schemas
// with them.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <unordered_map>

namespace headroom::model {

enum class KeywordShape : uint8_t {
  kAnnotation,  // says nothing about the text
  kContainer,   // schemas that count only where something refers to them
  kSchema,
  kSchemaList,  // at least one
  kSchemaMap,
  kItems,         // a schema, or a list as in drafts up to 2019-09
  kDependencies,  // names to schemas or lists of names
  kType,
  kValues,
  kAny,
  kCount,
  kNumber,
  kPositive,
  kLimit,  // a number, or true or false as in draft 4
  kString,
  kBoolean,
  kNames,
  kNameLists,
  kReference,
};

// Everything that is understood.
const std::unordered_map<std::string, KeywordShape>& SchemaKeywords();

// What some version of JSON Schema or OpenAPI says with these is a constraint, or changes what others mean.
bool IsUnsupportedKeyword(const std::string& keyword);

// JSON Schema gives keywords that it does not define no effect. One that is nearly a constraint is a slip of the pen,
// which would drop the constraint in silence.
const std::string* NearlyAConstraint(const std::string& keyword);

// What the value should be, when it is not; else null.
const char* WrongShape(KeywordShape shape, const nlohmann::ordered_json& value);

// Keyword by which a rewrite excludes strings: a list of them, or one pattern. Clients cannot say it.
inline constexpr const char kExcludedStrings[] =
    "\x01"
    "excludedStrings";
inline constexpr const char kExcludedPattern[] =
    "\x01"
    "excludedPattern";

}  // namespace headroom::model
