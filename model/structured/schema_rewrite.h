// The keywords that say "not", "if" and "exactly one", said with the others: exactly, or refused.
#pragma once

#include "absl/status/statusor.h"
#include "model/structured/schema_document.h"

namespace headroom::model {

// What no value of `schema` is and every other value is. INVALID_ARGUMENT naming the keyword that cannot be negated.
absl::StatusOr<SchemaDocument::Json> Negate(const SchemaDocument::Json& schema, const SchemaDocument& document);

}  // namespace headroom::model
