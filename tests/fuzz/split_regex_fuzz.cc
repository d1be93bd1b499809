// Regular expressions of tokenizer files: from Oniguruma's syntax to PCRE2's, then at work on a text.
#include "common/check.h"
#include "common/utf8.h"
#include "model/text/regex_syntax.h"
#include "model/text/split_regex.h"
#include "tests/fuzz/fuzz_target.h"

namespace headroom::fuzz {
namespace {

constexpr const char kText[] = "It's  12 \xC3\x9Clf\n\n\xE4\xBD\xA0\xE5\xA5\xBD ss";

void CheckSplit(const std::string& pattern) {
  HEADROOM_CHECK(IsValidUtf8(pattern)) << pattern;
  const auto regex = model::SplitRegex::Compile(pattern);
  if (!regex.ok()) return;
  std::string joined;
  const absl::Status status = regex->Split(kText, [&](std::string_view word) {
    HEADROOM_CHECK(!word.empty() && IsValidUtf8(word));
    joined += word;
    return absl::OkStatus();
  });
  HEADROOM_CHECK(!status.ok() || joined == kText) << joined;
}

void Run(const std::string& input) {
  if (!IsValidUtf8(input)) return;  // such a JSON string does not parse
  const auto pattern = model::TranslateOniguruma(input);
  if (pattern.ok()) {
    CheckSplit(*pattern);
  } else {
    CheckClientError(pattern.status());
  }
}

std::vector<std::string> Seeds() {
  return {
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
      R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
      R"([\w\-a-f\x41-\x5a&&]+\b(?:x|y*?){2,5}+\W\D(?<=a)$)", R"(\p{Han}{,3}[^\S\n]??(?>.)\B^)",
      R"([\p{L}\W&&[^\p{Han}x[a-c]]&&[^[\d]]]+|[^[a]b])"};
}

const Registration registration({"split_regex", Run, Seeds});

}  // namespace
}  // namespace headroom::fuzz
