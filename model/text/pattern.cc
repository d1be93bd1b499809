#include "model/text/pattern.h"

#include "common/status.h"
#include "model/text/json_member.h"
#include "model/text/regex_syntax.h"

namespace headroom::model {

absl::StatusOr<SplitRegex> CompileOniguruma(std::string_view pattern) {
  HEADROOM_ASSIGN_OR_RETURN(const std::string translated, TranslateOniguruma(pattern));
  return SplitRegex::Compile(translated);
}

absl::StatusOr<Pattern> ReadPattern(const nlohmann::json& step) {
  const nlohmann::json& json = Member(step, "pattern");
  Pattern pattern;
  if (Member(json, "Regex").is_string()) {
    HEADROOM_ASSIGN_OR_RETURN(pattern.regex, CompileOniguruma(Member(json, "Regex").get<std::string>()));
  } else if (Member(json, "String").is_string()) {
    pattern.literal = Member(json, "String").get<std::string>();
    if (pattern.literal.empty()) {
      HEADROOM_ASSIGN_OR_RETURN(pattern.regex, SplitRegex::Compile(""));
    }
  } else {
    return absl::InvalidArgumentError("tokenizer: a pattern is neither a Regex nor a String");
  }
  return pattern;
}

absl::Status ForEachMatch(const Pattern& pattern, std::string_view text,
                          absl::FunctionRef<absl::Status(size_t, size_t)> emit) {
  if (pattern.regex.has_value()) return text.empty() ? absl::OkStatus() : pattern.regex->FindMatches(text, emit);
  const size_t size = pattern.literal.size();
  for (size_t begin = 0; (begin = text.find(pattern.literal, begin)) != std::string_view::npos; begin += size) {
    HEADROOM_RETURN_IF_ERROR(emit(begin, begin + size));
  }
  return absl::OkStatus();
}

}  // namespace headroom::model
