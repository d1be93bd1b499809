#include "model/structured/token_grammar.h"

namespace headroom::model {

bool TokenGrammarCompiler::IsAvailable() { return false; }

absl::StatusOr<std::unique_ptr<TokenGrammarCompiler>> TokenGrammarCompiler::Create(const Tokenizer&, int64_t) {
  return absl::UnimplementedError("this build has no grammar library");
}

}  // namespace headroom::model
