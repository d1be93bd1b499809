// What a client may tell a chat template beside messages and tools: whether to think, and how much. A closed list,
// because a template may read anything that it is given.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/text/jinja/evaluator.h"
#include "model/text/jinja/template.h"

namespace headroom::model {

struct TemplateArgument {
  const char* name;
  const char* type;  // as JSON Schema calls it: boolean, integer, string
};
const std::vector<TemplateArgument>& TemplateArguments();

// `json`: an object of the names above, or empty. INVALID_ARGUMENT for a name that is not among them or that the
// template does not read, another type, an integer outside of [-1, 2147483647], a string above 64 bytes; `*culprit` is
// then the name.
absl::StatusOr<jinja::Evaluator::Variables> ReadTemplateArguments(jinja::Workspace& workspace,
                                                                  const jinja::Template& jinja, const std::string& json,
                                                                  std::string* culprit);

}  // namespace headroom::model
