#include "model/text/pre_tokenizer.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "common/status.h"
#include "model/text/byte_level.h"
#include "model/text/json_member.h"

namespace headroom::model {
namespace {

constexpr int kSequenceDepthMax = 8;
constexpr size_t kStepsMax = 64;

// What ByteLevel with use_regex cuts by (GPT-2's pattern), in Oniguruma syntax as in the reference.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// ASCII's printable characters that are neither letters nor digits count as punctuation.
constexpr std::string_view kPunctuation = R"([\p{P}$+<=>^`|~])";
// Words of Unicode TR18, which Oniguruma's \w is not; for PCRE2.
constexpr std::string_view kWordOrMarks =
    R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}]+|)"
    R"([^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a})"
    R"(\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+)";

// A stretch of text that a pattern found, or that lies between two such.
struct Span {
  uint32_t begin;
  uint32_t end;
  bool match;
};

absl::StatusOr<std::vector<Span>> FindSpans(const Pattern& pattern, bool invert, std::string_view text) {
  std::vector<Span> spans;
  size_t done = 0;
  const auto add = [&](size_t begin, size_t end, bool match) {
    spans.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end), match != invert});
  };
  HEADROOM_RETURN_IF_ERROR(ForEachMatch(pattern, text, [&](size_t begin, size_t end) {
    if (begin > done) add(done, begin, false);
    add(begin, end, true);
    done = end;
    return absl::OkStatus();
  }));
  if (done < text.size()) add(done, text.size(), false);
  return spans;
}

// `spans` with a match joined to the stretch before it, unless that is a match as well.
std::vector<Span> JoinMatches(const std::vector<Span>& spans) {
  std::vector<Span> joined;
  bool after_match = false;
  for (const Span& span : spans) {
    if (span.match && !after_match && !joined.empty()) {
      joined.back().begin = std::min(joined.back().begin, span.begin);
      joined.back().end = std::max(joined.back().end, span.end);
    } else {
      joined.push_back(span);
    }
    after_match = span.match;
  }
  return joined;
}

std::vector<Span> JoinEqual(const std::vector<Span>& spans) {
  std::vector<Span> joined;
  for (const Span& span : spans) {
    if (!joined.empty() && joined.back().match == span.match) {
      joined.back().end = span.end;
    } else {
      joined.push_back(span);
    }
  }
  return joined;
}

}  // namespace

absl::StatusOr<PreTokenizer> PreTokenizer::FromJson(const nlohmann::json& json) {
  PreTokenizer pre_tokenizer;
  if (!json.is_null()) HEADROOM_RETURN_IF_ERROR(pre_tokenizer.Add(json, 0));
  std::vector<Step>& steps = pre_tokenizer.steps_;
  pre_tokenizer.words_are_bytes_ = !steps.empty() && steps.back().spells;
  if (pre_tokenizer.words_are_bytes_) steps.back().spells = false;
  if (pre_tokenizer.growth_max() > kGrowthMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer: the pre_tokenizer makes a text more than ", kGrowthMax, " times as long"));
  }
  return pre_tokenizer;
}

absl::Status PreTokenizer::Add(const nlohmann::json& json, int depth) {
  if (depth > kSequenceDepthMax || steps_.size() >= kStepsMax) {
    return absl::InvalidArgumentError("tokenizer: pre_tokenizer has too many steps");
  }
  HEADROOM_ASSIGN_OR_RETURN(const std::string type, StringMember(json, "type"));
  if (type == "Sequence") {
    const nlohmann::json& parts = Member(json, "pretokenizers");
    if (!parts.is_array()) return absl::InvalidArgumentError("tokenizer: \"pretokenizers\" is not a list");
    for (const nlohmann::json& part : parts) HEADROOM_RETURN_IF_ERROR(Add(part, depth + 1));
    return absl::OkStatus();
  }
  if (type == "Split") return AddSplit(json);
  if (type == "ByteLevel") return AddByteLevel(json);
  if (type == "Metaspace") return AddMetaspace(json);
  if (type == "Digits") {
    HEADROOM_ASSIGN_OR_RETURN(const bool each, BoolMember(json, "individual_digits", /*absent=*/false));
    return AddCut(R"(\p{N})", each ? Behavior::kIsolated : Behavior::kContiguous);
  }
  if (type == "Punctuation") {
    const bool given = !Member(json, "behavior").is_null();
    HEADROOM_ASSIGN_OR_RETURN(const std::string name, given ? StringMember(json, "behavior") : "Isolated");
    HEADROOM_ASSIGN_OR_RETURN(const Behavior behavior, ReadBehavior(name));
    return AddCut(kPunctuation, behavior);
  }
  if (type == "WhitespaceSplit") return AddCut(R"(\s)", Behavior::kRemoved);
  if (type == "BertPreTokenizer") {
    HEADROOM_RETURN_IF_ERROR(AddCut(R"(\s)", Behavior::kRemoved));
    return AddCut(kPunctuation, Behavior::kIsolated);
  }
  if (type == "Whitespace") {
    Step step{.cuts = true, .behavior = Behavior::kRemoved, .invert = true};
    HEADROOM_ASSIGN_OR_RETURN(step.pattern.regex, SplitRegex::Compile(std::string(kWordOrMarks)));
    steps_.push_back(std::move(step));
    return absl::OkStatus();
  }
  if (type == "CharDelimiterSplit") {
    Step step{.cuts = true, .behavior = Behavior::kRemoved};
    HEADROOM_ASSIGN_OR_RETURN(step.pattern.literal, CharacterMember(json, "delimiter"));
    steps_.push_back(std::move(step));
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("tokenizer: pre_tokenizer ", type, " is not supported"));
}

absl::StatusOr<PreTokenizer::Behavior> PreTokenizer::ReadBehavior(const std::string& name) {
  constexpr std::pair<const char*, Behavior> kBehaviors[] = {{"Isolated", Behavior::kIsolated},
                                                             {"Removed", Behavior::kRemoved},
                                                             {"Contiguous", Behavior::kContiguous},
                                                             {"MergedWithPrevious", Behavior::kMergedWithPrevious},
                                                             {"MergedWithNext", Behavior::kMergedWithNext}};
  for (const auto& [known, behavior] : kBehaviors) {
    if (name == known) return behavior;
  }
  return absl::InvalidArgumentError(absl::StrCat("tokenizer: Split behavior ", name, " is not supported"));
}

absl::Status PreTokenizer::AddCut(std::string_view oniguruma, Behavior behavior) {
  Step step{.cuts = true, .behavior = behavior};
  HEADROOM_ASSIGN_OR_RETURN(step.pattern.regex, CompileOniguruma(oniguruma));
  steps_.push_back(std::move(step));
  return absl::OkStatus();
}

absl::Status PreTokenizer::AddSplit(const nlohmann::json& json) {
  Step step{.cuts = true};
  HEADROOM_ASSIGN_OR_RETURN(const std::string behavior, StringMember(json, "behavior"));
  HEADROOM_ASSIGN_OR_RETURN(step.behavior, ReadBehavior(behavior));
  HEADROOM_ASSIGN_OR_RETURN(step.invert, BoolMember(json, "invert"));
  HEADROOM_ASSIGN_OR_RETURN(step.pattern, ReadPattern(json));
  steps_.push_back(std::move(step));
  return absl::OkStatus();
}

absl::Status PreTokenizer::AddByteLevel(const nlohmann::json& json) {
  Step step{.prefix = " ", .spells = true};
  HEADROOM_ASSIGN_OR_RETURN(const bool prefix, BoolMember(json, "add_prefix_space"));
  if (prefix) step.prefix_where = Prefix::kAlways;
  HEADROOM_ASSIGN_OR_RETURN(step.cuts, BoolMember(json, "use_regex", /*absent=*/true));
  if (step.cuts) {
    HEADROOM_ASSIGN_OR_RETURN(step.pattern.regex, CompileOniguruma(kGpt2Pattern));
  }
  steps_.push_back(std::move(step));
  return absl::OkStatus();
}

absl::Status PreTokenizer::AddMetaspace(const nlohmann::json& json) {
  HEADROOM_ASSIGN_OR_RETURN(const MetaspaceFields fields, ReadMetaspace(json));
  Step step{.space = fields.replacement, .prefix = fields.replacement, .behavior = Behavior::kMergedWithNext};
  step.prefix_where = fields.prepend_scheme == "always"  ? Prefix::kAlways
                      : fields.prepend_scheme == "first" ? Prefix::kFirst
                                                         : Prefix::kNever;
  step.cuts = fields.split;
  step.pattern.literal = fields.replacement;
  steps_.push_back(std::move(step));
  return absl::OkStatus();
}

int64_t PreTokenizer::growth_max() const {
  // A space becomes up to 4 bytes once, and is none any more; a byte is spelled in up to two bytes.
  int64_t growth = 1;
  for (const Step& step : steps_) {
    growth = std::max(growth, static_cast<int64_t>(step.space.size()));
    if (step.spells) growth = std::min(2 * growth, kGrowthMax + 1);
  }
  return growth;
}

bool PreTokenizer::drops_text() const {
  return std::any_of(steps_.begin(), steps_.end(),
                     [](const Step& step) { return step.cuts && step.behavior == Behavior::kRemoved; });
}

absl::Status PreTokenizer::Cut(const Step& step, std::string_view text, Emit emit) {
  if (!step.cuts) return emit(text);
  // Matches and gaps alike: what is which does not matter.
  if (step.behavior == Behavior::kIsolated && step.pattern.regex.has_value()) {
    return step.pattern.regex->Split(text, emit);
  }
  HEADROOM_ASSIGN_OR_RETURN(std::vector<Span> spans, FindSpans(step.pattern, step.invert, text));
  switch (step.behavior) {
    case Behavior::kIsolated:
      break;
    case Behavior::kRemoved:
      std::erase_if(spans, [](const Span& span) { return span.match; });
      break;
    case Behavior::kContiguous:
      spans = JoinEqual(spans);
      break;
    case Behavior::kMergedWithPrevious:
      spans = JoinMatches(spans);
      break;
    case Behavior::kMergedWithNext:
      std::reverse(spans.begin(), spans.end());
      spans = JoinMatches(spans);
      std::reverse(spans.begin(), spans.end());
      break;
  }
  for (const Span& span : spans) {
    if (span.begin < span.end) HEADROOM_RETURN_IF_ERROR(emit(text.substr(span.begin, span.end - span.begin)));
  }
  return absl::OkStatus();
}

absl::Status PreTokenizer::Split(std::string_view text, bool at_start, Emit emit) const {
  return SplitFrom(0, {text, at_start}, emit);
}

absl::Status PreTokenizer::SplitFrom(size_t index, Piece piece, Emit emit) const {
  if (piece.text.empty()) return absl::OkStatus();
  if (index == steps_.size()) return emit(piece.text);
  const Step& step = steps_[index];
  std::string replaced;
  if (!step.space.empty() && piece.text.find(' ') != std::string_view::npos) {
    for (const char c : piece.text) c == ' ' ? replaced += step.space : replaced += c;
    piece.text = replaced;
  }
  const bool prefixes = step.prefix_where == Prefix::kAlways || (step.prefix_where == Prefix::kFirst && piece.at_start);
  if (prefixes && !piece.text.starts_with(step.prefix)) {
    replaced = absl::StrCat(step.prefix, std::string(piece.text));
    piece.text = replaced;
  }
  if (index + 1 == steps_.size() && !step.spells) return Cut(step, piece.text, emit);
  return Cut(step, piece.text, [&](std::string_view part) {
    const bool at_start = piece.at_start && part.data() == piece.text.data();
    if (!step.spells) return SplitFrom(index + 1, {part, at_start}, emit);
    return SplitFrom(index + 1, {SpellBytes(part), at_start}, emit);
  });
}

}  // namespace headroom::model
