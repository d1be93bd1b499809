// Several schemas that hold at once, as one statement for each type of value. Combinators (anyOf and the like) are not
// in it: SchemaCompiler resolves them before.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/structured/number_ranges.h"
#include "model/structured/schema_document.h"

namespace headroom::model {

// A set of JSON types.
struct Types {
  static constexpr uint8_t kNull = 1, kBoolean = 2, kInteger = 4, kNumber = 8, kString = 16, kArray = 32, kObject = 64;
  static constexpr uint8_t kAll = 127;  // kNumber: integers or not; always with kInteger
};

struct SchemaFacts {
  using Json = SchemaDocument::Json;
  using Id = SchemaDocument::Id;

  uint8_t types = Types::kAll;
  std::optional<std::vector<Json>> values;  // one of these; still to be held against everything else
  NumberRange number;
  // Strings.
  int64_t min_length = 0, max_length = Rules::kUnbounded;
  std::vector<std::string> patterns;           // all of them, formats included
  std::vector<std::string> excluded_patterns;  // none of them
  std::vector<std::string> excluded_strings;
  // Arrays.
  int64_t min_items = 0, max_items = Rules::kUnbounded;
  std::vector<Id> array_schemas;  // those with items, prefixItems or additionalItems
  // Objects.
  int64_t min_properties = 0, max_properties = Rules::kUnbounded;
  std::vector<std::string> required;  // no name twice
  std::vector<Id> object_schemas;     // those with properties, patternProperties, additionalProperties, propertyNames

  bool Has(uint8_t type) const { return (types & type) != 0; }
};

// INVALID_ARGUMENT with the pointer of what is not supported.
absl::StatusOr<SchemaFacts> CollectFacts(const SchemaDocument& document,
                                         const std::vector<SchemaDocument::Id>& schemas);

}  // namespace headroom::model
