// Hugging Face chat templates are Jinja programs. We do not run them: this reads one into a list of text, expressions
// and statements in a canonical spelling, so that chat_template.h can compare it with the families it knows whatever
// the names of the loop variable, the quotes, the white space and the way strings are joined.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace headroom::model {

struct TemplateNode {
  enum class Kind { kText, kExpression, kStatement };
  Kind kind = Kind::kText;
  // Text as it is written out. Of the others the tokens, one space between two, strings in single quotes with escapes
  // resolved, x.name as x [ 'name' ], and the variable of the first loop called `message`.
  std::string value;

  bool operator==(const TemplateNode&) const = default;
};

// Reads `jinja` with the settings of transformers (trim_blocks, lstrip_blocks). "a" + b in an expression becomes two
// nodes; neighbouring text becomes one. Error: INVALID_ARGUMENT for an unclosed tag or string.
absl::StatusOr<std::vector<TemplateNode>> ReadTemplate(std::string_view jinja);

}  // namespace headroom::model
