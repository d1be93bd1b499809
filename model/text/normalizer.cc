#include "model/text/normalizer.h"

#include <algorithm>
#include <utility>

#include "common/status.h"
#include "common/utf8.h"
#include "model/text/json_member.h"

namespace headroom::model {
namespace {

constexpr int kSequenceDepthMax = 8;
constexpr size_t kStepsMax = 64;
constexpr size_t kPrependedBytesMax = 64;

// How much a text can grow and shrink in UTF-8: U+0390 becomes three characters, U+FDFA eighteen; three conjoining jamo
// compose to one syllable, a mathematical letter becomes an ASCII one before it composes.
struct Factors {
  int64_t growth;
  int64_t shrink;
};
Factors FactorsOf(NormalForm form) {
  switch (form) {
    case NormalForm::kNfc:
    case NormalForm::kNfd:
      return {3, 3};
    case NormalForm::kNfkc:
      return {11, 12};
    case NormalForm::kNfkd:
      return {11, 4};
  }
  return {1, 1};
}

// The steps of Nmt, a step of converted SentencePiece models: what it leaves out, and what it makes a space.
bool NmtDrops(char32_t c) {
  return (c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
}
bool NmtSpaces(char32_t c) {
  return c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 || (c >= 0x200B && c <= 0x200F) ||
         c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
}

// Calls change(character, its bytes, out) for each character of `text`.
template <typename Change>
void EachCharacter(std::string_view text, std::string* out, Change change) {
  for (size_t position = 0; position < text.size();) {
    const size_t start = position;
    const char32_t character = NextCodePoint(text, &position);
    change(character, text.substr(start, position - start), out);
  }
}

}  // namespace

absl::StatusOr<Normalizer> Normalizer::FromJson(const nlohmann::json& json) {
  Normalizer normalizer;
  if (!json.is_null()) HEADROOM_RETURN_IF_ERROR(normalizer.Add(json, 0));
  if (normalizer.growth_max_ > kGrowthMax) {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer: the normalizer makes a text up to ",
                                                   normalizer.growth_max_, " times as long, the limit is ",
                                                   kGrowthMax));
  }
  return normalizer;
}

void Normalizer::AddStep(Step step, int64_t growth, std::optional<int64_t> shrink) {
  steps_.push_back(std::move(step));
  // Bounded so that no product of factors overflows; shorter by more than that is as good as gone.
  growth_max_ = std::min(growth_max_ * growth, kGrowthMax + 1);
  constexpr int64_t kShrinkMax = 1 << 20;
  if (!shrink.has_value() || !shrink_max_.has_value() || *shrink_max_ * *shrink > kShrinkMax) {
    shrink_max_.reset();
  } else {
    *shrink_max_ *= *shrink;
  }
}

absl::Status Normalizer::Add(const nlohmann::json& json, int depth) {
  if (depth > kSequenceDepthMax || steps_.size() >= kStepsMax) {
    return absl::InvalidArgumentError("tokenizer: normalizer has too many steps");
  }
  HEADROOM_ASSIGN_OR_RETURN(const std::string type, StringMember(json, "type"));
  constexpr std::pair<const char*, NormalForm> kForms[] = {
      {"NFC", NormalForm::kNfc}, {"NFD", NormalForm::kNfd}, {"NFKC", NormalForm::kNfkc}, {"NFKD", NormalForm::kNfkd}};
  for (const auto& [name, form] : kForms) {
    if (type != name) continue;
    const Factors factors = FactorsOf(form);
    AddStep({.kind = Kind::kForm, .form = form}, factors.growth, factors.shrink);
    return absl::OkStatus();
  }
  if (type == "Sequence") {
    const nlohmann::json& parts = Member(json, "normalizers");
    if (!parts.is_array()) return absl::InvalidArgumentError("tokenizer: \"normalizers\" is not a list");
    for (const nlohmann::json& part : parts) HEADROOM_RETURN_IF_ERROR(Add(part, depth + 1));
  } else if (type == "Lowercase") {
    AddStep({.kind = Kind::kLowercase}, 2, 3);
  } else if (type == "StripAccents") {
    AddStep({.kind = Kind::kStripAccents}, 1, std::nullopt);
  } else if (type == "Nmt") {
    AddStep({.kind = Kind::kNmt}, 1, std::nullopt);
  } else if (type == "Strip") {
    Step step{.kind = Kind::kStrip};
    HEADROOM_ASSIGN_OR_RETURN(step.left, BoolMember(json, "strip_left"));
    HEADROOM_ASSIGN_OR_RETURN(step.right, BoolMember(json, "strip_right"));
    AddStep(std::move(step), 1, std::nullopt);
  } else if (type == "Prepend") {
    Step step{.kind = Kind::kPrepend};
    HEADROOM_ASSIGN_OR_RETURN(step.content, StringMember(json, "prepend"));
    if (step.content.size() > kPrependedBytesMax) {
      return absl::InvalidArgumentError("tokenizer: what Prepend puts before a text is too long");
    }
    AddStep(std::move(step), 1, 1);
  } else if (type == "Replace") {
    return AddReplace(json);
  } else {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer: normalizer ", type, " is not supported"));
  }
  return absl::OkStatus();
}

absl::Status Normalizer::AddReplace(const nlohmann::json& json) {
  Step step{.kind = Kind::kReplace};
  HEADROOM_ASSIGN_OR_RETURN(step.content, StringMember(json, "content"));
  HEADROOM_ASSIGN_OR_RETURN(step.pattern, ReadPattern(json));
  const auto content = static_cast<int64_t>(step.content.size());
  const auto replaced = static_cast<int64_t>(step.pattern.literal.size());
  // A regex may match one byte, or nothing before every character.
  const int64_t growth = replaced > 0 ? (content + replaced - 1) / replaced : content + 1;
  std::optional<int64_t> shrink;
  if (replaced > 0 && content > 0) shrink = std::max<int64_t>(1, (replaced + content - 1) / content);
  AddStep(std::move(step), std::max<int64_t>(1, growth), shrink);
  return absl::OkStatus();
}

absl::StatusOr<Normalizer::Result> Normalizer::Apply(std::string_view text, std::string* storage) const {
  Result result{.text = text};
  for (const Step& step : steps_) {
    if (result.text.empty()) break;
    if (step.kind == Kind::kForm && !MayNeed(step.form, result.text)) continue;
    const std::string& literal = step.pattern.literal;
    if (!literal.empty() && result.text.find(literal) == std::string_view::npos) continue;
    std::string out;
    HEADROOM_RETURN_IF_ERROR(ApplyStep(step, result.text, &out, &result.from_start));
    *storage = std::move(out);
    result.text = *storage;
  }
  return result;
}

absl::Status Normalizer::ApplyStep(const Step& step, std::string_view text, std::string* out, bool* from_start) {
  out->reserve(text.size() + step.content.size());
  switch (step.kind) {
    case Kind::kPrepend:
      *out = step.content;
      out->append(text);
      return absl::OkStatus();
    case Kind::kForm: {
      HEADROOM_ASSIGN_OR_RETURN(*out, ToForm(step.form, text));
      return absl::OkStatus();
    }
    case Kind::kLowercase:
      EachCharacter(text, out, [](char32_t c, std::string_view, std::string* to) { AppendLowercase(c, to); });
      return absl::OkStatus();
    case Kind::kStripAccents:
      EachCharacter(text, out, [](char32_t c, std::string_view bytes, std::string* to) {
        if (!IsMark(c)) to->append(bytes);
      });
      break;
    case Kind::kNmt:
      EachCharacter(text, out, [](char32_t c, std::string_view bytes, std::string* to) {
        if (!NmtDrops(c)) to->append(NmtSpaces(c) ? std::string_view(" ") : bytes);
      });
      break;
    case Kind::kStrip: {
      const size_t before = step.left ? LeadingSpaceBytes(text) : 0;
      text.remove_prefix(before);
      if (step.right) text.remove_suffix(TrailingSpaceBytes(text));
      *out = text;
      *from_start = *from_start && before == 0;
      return absl::OkStatus();
    }
    case Kind::kReplace: {
      size_t done = 0;
      const auto replace = [&](size_t begin, size_t end) {
        if (begin == 0 && end > 0 && step.content.empty()) *from_start = false;
        out->append(text.substr(done, begin - done)).append(step.content);
        done = end;
        return absl::OkStatus();
      };
      HEADROOM_RETURN_IF_ERROR(ForEachMatch(step.pattern, text, replace));
      out->append(text.substr(done));
      return absl::OkStatus();
    }
  }
  // Of the steps that leave characters out: the first one is gone.
  size_t position = 0;
  const char32_t first = NextCodePoint(text, &position);
  if (step.kind == Kind::kStripAccents ? IsMark(first) : NmtDrops(first)) *from_start = false;
  return absl::OkStatus();
}

}  // namespace headroom::model
