// The Unicode tables that tokenizing needs, from ICU (Unicode 15); those of templates: jinja/characters.h. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace headroom::model {

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

// False when `text` (valid UTF-8) is certainly in `form` already; decided from its bytes alone.
bool MayNeed(NormalForm form, std::string_view text);

// `text` (valid UTF-8) in `form`, in time by its length.
absl::StatusOr<std::string> ToForm(NormalForm form, std::string_view text);

// Appends the lower case of one character by itself, whatever stands around it.
void AppendLowercase(char32_t code_point, std::string* out);

// General category Mark.
bool IsMark(char32_t code_point);

// Bytes of the white space (IsWhiteSpace) that `text` (valid UTF-8) begins and ends with.
size_t LeadingSpaceBytes(std::string_view text);
size_t TrailingSpaceBytes(std::string_view text);

// A character of a word in the sense of Unicode TR18: alphabetic, mark, decimal digit, connector punctuation, join
// control.
bool IsWordCharacter(char32_t code_point);

}  // namespace headroom::model
