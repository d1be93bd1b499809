#include "model/structured/structured_text.h"

#include <memory>
#include <optional>

#include "common/status.h"
#include "model/structured/rules.h"
#include "model/structured/schema_compiler.h"
#include "model/structured/schema_document.h"
#include "model/structured/schema_meaning.h"

namespace headroom::model {

absl::StatusOr<TextGrammar> GrammarOfSchema(const std::string& schema) {
  HEADROOM_ASSIGN_OR_RETURN(const std::unique_ptr<SchemaDocument> document, SchemaDocument::Parse(schema));
  SchemaMeaning meaning(*document);
  Rules rules;
  HEADROOM_ASSIGN_OR_RETURN(const Rules::Expression root, SchemaCompiler(meaning, rules).Compile());
  std::optional<std::string> shortest = rules.Shortest(root);
  if (!shortest) {
    return document->Error(
        SchemaDocument::kRoot, "",
        "no JSON text of up to 65536 bytes satisfies it: constraints contradict each other, or a reference never ends");
  }
  return TextGrammar{.ebnf = rules.Ebnf(root), .shortest = *std::move(shortest)};
}

absl::StatusOr<TextGrammar> GrammarOfObjects() { return GrammarOfSchema(R"({"type": "object"})"); }

}  // namespace headroom::model
