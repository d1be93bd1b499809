// What Headroom never calls and the rest of xgrammar refers to.
#include <stdexcept>
#include <string>

#include "json_schema_converter.h"
#include "lark_converter.h"
#include "structural_tag.h"
#include "testing.h"

namespace xgrammar {
namespace {

// Called by: the functions below, which xgrammar calls.
[[noreturn]] void LeftOut() { throw std::runtime_error("this notation is not built in"); }

}  // namespace

// Called by: xgrammar's own sources.
Grammar JSONSchemaToGrammar(const std::string&, bool, std::optional<int>,
                            std::optional<std::pair<std::string, std::string>>, bool, std::optional<int>, bool,
                            JSONFormat, std::vector<std::string>) {
  LeftOut();
}

// Called by: xgrammar's own sources.
Grammar LarkToGrammar(const std::string&, const std::optional<TokenizerInfo>&, const std::vector<NamedGrammar>&) {
  LeftOut();
}

// Called by: xgrammar's own sources.
Result<Grammar, StructuralTagError> StructuralTagToGrammar(const std::string&, const std::optional<TokenizerInfo>&) {
  LeftOut();
}

// Called by: xgrammar's own sources.
std::string PrintTokenByIds(const std::vector<int32_t>&, const TokenizerInfo&, int) { return {}; }

}  // namespace xgrammar
