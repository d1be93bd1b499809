// The gate in front of constrained decoding: JSON Schemas that can be kept exactly become a grammar of JSON texts, all
// others are refused with the place and the reason. Text that the grammar admits is valid for the schema, always;
// docs/structured-output.md says which valid texts it does not admit.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace headroom::model {

struct TextGrammar {
  std::string ebnf;      // in xgrammar's notation, root rule "root"
  std::string shortest;  // text of the fewest bytes that the grammar admits
};

// `schema`: JSON. Time and memory are bounded by limits on the schema (schema_document.h) and on what it becomes.
// Thread-safe. INVALID_ARGUMENT with JSON pointer, value and limit; also for a schema that no text satisfies.
absl::StatusOr<TextGrammar> GrammarOfSchema(const std::string& schema);

// Any JSON object.
absl::StatusOr<TextGrammar> GrammarOfObjects();

}  // namespace headroom::model
