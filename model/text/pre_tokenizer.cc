#include "model/text/pre_tokenizer.h"

#include <string>
#include <utility>

#include "common/status.h"
#include "model/text/json_member.h"
#include "model/text/regex_syntax.h"

namespace headroom::model {
namespace {

constexpr int kSequenceDepthMax = 8;
constexpr size_t kStepsMax = 64;

// What ByteLevel with use_regex cuts by (GPT-2's pattern), in Oniguruma syntax as in the reference.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

absl::StatusOr<SplitRegex> CompileOniguruma(std::string_view pattern) {
  HEADROOM_ASSIGN_OR_RETURN(const std::string translated, TranslateOniguruma(pattern));
  return SplitRegex::Compile(translated);
}

absl::StatusOr<SplitRegex> ReadPattern(const nlohmann::json& split) {
  const nlohmann::json& pattern = Member(split, "pattern");
  if (Member(pattern, "Regex").is_string()) return CompileOniguruma(Member(pattern, "Regex").get<std::string>());
  if (Member(pattern, "String").is_string())
    return SplitRegex::Compile(QuoteRegex(Member(pattern, "String").get<std::string>()));
  return absl::InvalidArgumentError("tokenizer: the pattern of a Split is neither a Regex nor a String");
}

}  // namespace

absl::StatusOr<PreTokenizer> PreTokenizer::FromJson(const nlohmann::json& json) {
  PreTokenizer pre_tokenizer;
  HEADROOM_RETURN_IF_ERROR(pre_tokenizer.Add(json, 0));
  if (!pre_tokenizer.byte_level_) {
    return absl::InvalidArgumentError("tokenizer: pre_tokenizer without ByteLevel is not supported");
  }
  return pre_tokenizer;
}

absl::Status PreTokenizer::Add(const nlohmann::json& json, int depth) {
  if (depth > kSequenceDepthMax || steps_.size() >= kStepsMax) {
    return absl::InvalidArgumentError("tokenizer: pre_tokenizer has too many steps");
  }
  HEADROOM_ASSIGN_OR_RETURN(const std::string type, StringMember(json, "type"));
  if (byte_level_) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer: pre_tokenizer ", type, " after ByteLevel is not supported"));
  }
  if (type == "Sequence") {
    const nlohmann::json& parts = Member(json, "pretokenizers");
    if (!parts.is_array()) return absl::InvalidArgumentError("tokenizer: \"pretokenizers\" is not a list");
    for (const nlohmann::json& part : parts) HEADROOM_RETURN_IF_ERROR(Add(part, depth + 1));
    return absl::OkStatus();
  }
  if (type == "Split") {
    HEADROOM_ASSIGN_OR_RETURN(const std::string behavior, StringMember(json, "behavior"));
    // Isolated keeps matches and gaps alike, so "invert", which swaps the two, changes nothing.
    if (behavior != "Isolated") {
      return absl::InvalidArgumentError(absl::StrCat("tokenizer: Split behavior ", behavior, " is not supported"));
    }
    HEADROOM_RETURN_IF_ERROR(BoolMember(json, "invert").status());
    HEADROOM_ASSIGN_OR_RETURN(SplitRegex regex, ReadPattern(json));
    steps_.push_back({/*add_prefix_space=*/false, std::move(regex)});
    return absl::OkStatus();
  }
  if (type == "ByteLevel") {
    byte_level_ = true;
    Step step;
    HEADROOM_ASSIGN_OR_RETURN(step.add_prefix_space, BoolMember(json, "add_prefix_space"));
    HEADROOM_ASSIGN_OR_RETURN(const bool use_regex, BoolMember(json, "use_regex", /*absent=*/true));
    if (use_regex) {
      HEADROOM_ASSIGN_OR_RETURN(step.regex, CompileOniguruma(kGpt2Pattern));
    }
    if (step.add_prefix_space || use_regex) steps_.push_back(std::move(step));
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("tokenizer: pre_tokenizer ", type, " is not supported"));
}

absl::Status PreTokenizer::Split(std::string_view text, absl::FunctionRef<absl::Status(std::string_view)> emit) const {
  return SplitFrom(0, text, emit);
}

absl::Status PreTokenizer::SplitFrom(size_t index, std::string_view piece,
                                     absl::FunctionRef<absl::Status(std::string_view)> emit) const {
  if (piece.empty()) return absl::OkStatus();
  if (index == steps_.size()) return emit(piece);
  const Step& step = steps_[index];
  std::string prefixed;
  if (step.add_prefix_space && piece.front() != ' ') {
    prefixed = " ";
    prefixed.append(piece);
    piece = prefixed;
  }
  if (!step.regex.has_value()) return SplitFrom(index + 1, piece, emit);
  if (index + 1 == steps_.size()) return step.regex->Split(piece, emit);
  return step.regex->Split(piece, [&](std::string_view part) { return SplitFrom(index + 1, part, emit); });
}

}  // namespace headroom::model
