// The gate in front of structured output: whatever the schema, a refusal that a client may read, or a grammar whose
// shortest text is JSON.
#include <nlohmann/json.hpp>

#include "common/check.h"
#include "model/structured/structured_text.h"
#include "tests/fuzz/fuzz_target.h"

namespace headroom::fuzz {
namespace {

void Run(const std::string& input) {
  const auto grammar = model::GrammarOfSchema(input);
  if (!grammar.ok()) return CheckClientError(grammar.status());
  HEADROOM_CHECK(nlohmann::json::accept(grammar->shortest)) << grammar->shortest;
  HEADROOM_CHECK(grammar->ebnf.starts_with("root ::= "));
}

std::vector<std::string> Seeds() {
  return {
      R"({"type": "object", "properties": {"a": {"type": "integer", "minimum": -3, "exclusiveMaximum": 2.5e1}, "b~/": {"type": ["string", "null"],
          "minLength": 1, "maxLength": 9}}, "required": ["a", "z"], "additionalProperties": {"enum": [1, "x", null, [true], {"k": 1.50}]}})",
      R"({"$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}, "patternProperties": {"^x-[a-f\\d]{2,3}": false}}},
          "$ref": "#/$defs/n", "minProperties": 1, "maxProperties": 2, "propertyNames": {"pattern": "e|x"}})",
      R"({"oneOf": [{"type": "array", "prefixItems": [true, {"const": 1}], "items": {"multipleOf": 0.01}, "minItems": 1}, {"required": ["a"]},
          {"required": ["b"]}], "not": {"properties": {"c": {"type": "string"}}}, "if": {"required": ["d"]}, "then": {"maxProperties": 3}})",
      R"({"anyOf": [{"format": "date-time"}, {"type": "string", "pattern": "^(a|[^b-d]+?)\\.\\u00e9$"}], "dependentRequired": {"a": ["b"]},
          "allOf": [{"maxLength": 40}, {"type": ["string", "object"]}]})"};
}

const Registration registration({"json_schema", Run, Seeds});

}  // namespace
}  // namespace headroom::fuzz
