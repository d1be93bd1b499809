// Tokenizer files write their regular expressions for Oniguruma (its default syntax, UTF-8). This translates the part
// of that syntax which tokenizers use into a PCRE2 pattern (UTF, UCP, multi-line) that matches the same texts, and
// refuses the rest.
//
// What differs between the two and is spelled out in the result: white space (PCRE2 adds U+180E), word characters, word
// boundaries, a{n,m}+ (a repetition of a repetition in Oniguruma, possessive in PCRE2), a{,m}, scripts (PCRE2 means
// extensions), classes inside a class and intersections of them (alternatives and lookaheads in PCRE2). Refused, among
// others: back-references, POSIX classes, inline options other than (?i:…), case-insensitive text that could fold to
// several characters ("ss" and ß).
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace headroom::model {

// Errors: INVALID_ARGUMENT naming what is not supported and its place. `pattern` is valid UTF-8.
absl::StatusOr<std::string> TranslateOniguruma(std::string_view pattern);

}  // namespace headroom::model
