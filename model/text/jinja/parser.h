// From the text of a template to its tree.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "model/text/jinja/ast.h"

namespace headroom::model::jinja {

// No expression or statement is nested deeper.
inline constexpr int kNestingMax = 200;

// Statements: if, for (also recursive), set, macro, call, filter, with, generation, raw, break, continue.
// INVALID_ARGUMENT naming the line for what is no Jinja or not supported (include, import, extends, block, …).
absl::StatusOr<Block> Parse(const std::string& source);

}  // namespace headroom::model::jinja
