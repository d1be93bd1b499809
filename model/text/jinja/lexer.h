// Cuts a template into tokens, as Jinja does with trim_blocks and lstrip_blocks: the newline behind a statement or
// comment goes, and so does white space before one that begins a line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace headroom::model::jinja {

struct Token {
  enum class Kind {
    kData,           // text outside of statements and expressions
    kBlockBegin,     // {%
    kBlockEnd,       // %}
    kVariableBegin,  // {{
    kVariableEnd,    // }}
    kName,
    kString,  // `text` without quotes, escapes resolved
    kInteger,
    kFloat,
    kOperator,  // `text` is its spelling
    kEnd,
  };
  Kind kind = Kind::kEnd;
  std::string text;
  int64_t integer = 0;
  double number = 0;
  int line = 1;
};

// The last token is kEnd. INVALID_ARGUMENT names the line.
absl::StatusOr<std::vector<Token>> Tokenize(const std::string& source);

// `message` with the line in front, as all errors about a template have it.
absl::Status ErrorAt(int line, const std::string& message);

}  // namespace headroom::model::jinja
