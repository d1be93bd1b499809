// The "pattern" of a step in a tokenizer.json: {"String": …} or {"Regex": …}.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "model/text/split_regex.h"

namespace headroom::model {

struct Pattern {
  std::string literal = {};              // a text that is looked for as it is; empty for a regex
  std::optional<SplitRegex> regex = {};  // of a Regex, and of the empty String, which is before every character
};

// The member "pattern" of `step`. Errors: INVALID_ARGUMENT when it is neither, or a regex that is not supported.
absl::StatusOr<Pattern> ReadPattern(const nlohmann::json& step);

// `pattern` in Oniguruma's syntax, as tokenizer files write it.
absl::StatusOr<SplitRegex> CompileOniguruma(std::string_view pattern);

// Calls `emit` with [begin, end) of every match in `text` (valid UTF-8), in order. Errors: as SplitRegex::FindMatches.
absl::Status ForEachMatch(const Pattern& pattern, std::string_view text,
                          absl::FunctionRef<absl::Status(size_t, size_t)> emit);

}  // namespace headroom::model
