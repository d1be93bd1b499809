// The Unicode tables that tokenizing needs; the only place that includes ICU (Unicode 15). Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace headroom::model {

// False when `text` (valid UTF-8) is certainly in Normalization Form C already; decided from its bytes alone.
bool MayNeedNfc(std::string_view text);

// `text` (valid UTF-8) in Normalization Form C.
absl::StatusOr<std::string> ToNfc(std::string_view text);

// A character of a word in the sense of Unicode TR18: alphabetic, mark, decimal digit, connector punctuation, join
// control.
bool IsWordCharacter(char32_t code_point);

}  // namespace headroom::model
