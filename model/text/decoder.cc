#include "model/text/decoder.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "common/status.h"
#include "model/text/byte_level.h"
#include "model/text/json_member.h"

namespace headroom::model {
namespace {

constexpr int kSequenceDepthMax = 8;
constexpr size_t kStepsMax = 64;
constexpr int64_t kStripMax = 1024;
constexpr std::string_view kReplacementCharacter = "\uFFFD";

// The byte that a token such as <0x0A> stands for.
std::optional<uint8_t> ByteOfFallback(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with(">")) return std::nullopt;
  std::string_view digits = token.substr(3, 2);
  // As in the reference, whose parser of numbers takes a sign.
  if (digits[0] == '+') digits.remove_prefix(1);
  uint8_t value = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) return std::nullopt;
  return value;
}

absl::StatusOr<int64_t> CountMember(const nlohmann::json& json, const char* name) {
  const nlohmann::json& value = Member(json, name);
  if (!value.is_number_unsigned() || value.get<uint64_t>() > static_cast<uint64_t>(kStripMax)) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer: \"", name, "\" of Strip is not a whole number from 0 to ", kStripMax));
  }
  return value.get<int64_t>();
}

}  // namespace

absl::StatusOr<Decoder> Decoder::FromJson(const nlohmann::json& json) {
  Decoder decoder;
  if (json.is_null()) {
    decoder.steps_.push_back({.kind = Kind::kJoin});
  } else {
    HEADROOM_RETURN_IF_ERROR(decoder.Add(json, 0));
  }
  return decoder;
}

Decoder Decoder::ByteLevel() {
  Decoder decoder;
  decoder.steps_.push_back({.kind = Kind::kByteLevel});
  return decoder;
}

bool Decoder::fused() const {
  return std::any_of(steps_.begin(), steps_.end(),
                     [](const Step& step) { return step.kind == Kind::kFuse || step.kind == Kind::kByteLevel; });
}

absl::Status Decoder::Add(const nlohmann::json& json, int depth) {
  if (depth > kSequenceDepthMax || steps_.size() >= kStepsMax) {
    return absl::InvalidArgumentError("tokenizer: decoder has too many steps");
  }
  HEADROOM_ASSIGN_OR_RETURN(const std::string type, StringMember(json, "type"));
  if (type == "Sequence") {
    const nlohmann::json& parts = Member(json, "decoders");
    if (!parts.is_array()) return absl::InvalidArgumentError("tokenizer: \"decoders\" is not a list");
    for (const nlohmann::json& part : parts) HEADROOM_RETURN_IF_ERROR(Add(part, depth + 1));
    return absl::OkStatus();
  }
  if (type == "Fuse") {
    steps_.push_back({.kind = Kind::kFuse});
  } else if (type == "Strip") {
    return AddStrip(json);
  } else if (type == "Metaspace") {
    HEADROOM_ASSIGN_OR_RETURN(const MetaspaceFields fields, ReadMetaspace(json));
    steps_.push_back(
        {.kind = Kind::kMetaspace, .content = fields.replacement, .drops_first = fields.prepend_scheme != "never"});
  } else if (type == "Replace") {
    Step step{.kind = Kind::kReplace};
    HEADROOM_ASSIGN_OR_RETURN(step.content, StringMember(json, "content"));
    HEADROOM_ASSIGN_OR_RETURN(step.pattern, ReadPattern(json));
    if (fused() && step.pattern.regex.has_value()) {
      return absl::InvalidArgumentError("tokenizer: decoder Replace with a Regex behind Fuse is not supported");
    }
    steps_.push_back(std::move(step));
  } else if (type == "ByteLevel" || type == "ByteFallback") {
    if (fused()) {
      return absl::InvalidArgumentError(absl::StrCat("tokenizer: decoder ", type, " behind Fuse is not supported"));
    }
    steps_.push_back({.kind = type == "ByteLevel" ? Kind::kByteLevel : Kind::kByteFallback});
  } else {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer: decoder ", type, " is not supported"));
  }
  return absl::OkStatus();
}

absl::Status Decoder::AddStrip(const nlohmann::json& json) {
  Step step{.kind = Kind::kStrip};
  HEADROOM_ASSIGN_OR_RETURN(step.content, CharacterMember(json, "content"));
  HEADROOM_ASSIGN_OR_RETURN(step.start, CountMember(json, "start"));
  HEADROOM_ASSIGN_OR_RETURN(step.stop, CountMember(json, "stop"));
  steps_.push_back(std::move(step));
  return absl::OkStatus();
}

std::string Decoder::Prepare(const std::string& token) const {
  const bool bytes = !steps_.empty() && steps_[0].kind == Kind::kByteLevel;
  return bytes ? BytesOfToken(token).value_or(token) : token;
}

void Decoder::Stream::Add(std::string_view token, std::string* text) {
  if (decoder_->steps_.empty() || decoder_->steps_[0].kind != Kind::kByteLevel) return AddString(0, token, text);
  std::string valid;
  states_[0].utf8.Feed(token, &valid);
  AddPart(1, valid, text);
}

std::string_view Decoder::ContentOf(const Step& step, bool first) {
  if (step.kind == Kind::kReplace) return step.content;
  return first && step.drops_first ? std::string_view() : std::string_view(" ");
}

void Decoder::Stream::AddString(size_t index, std::string_view string, std::string* text) {
  if (index == decoder_->steps_.size()) {
    text->append(string);
    return;
  }
  const Step& step = decoder_->steps_[index];
  State& state = states_[index];
  const bool first = !std::exchange(state.began, true);
  switch (step.kind) {
    case Kind::kJoin:
      if (!first) text->append(" ");
      text->append(string);
      return;
    case Kind::kFuse:
      AddPart(index + 1, string, text);
      return;
    case Kind::kByteLevel: {
      std::string valid;
      state.utf8.Feed(BytesOfToken(string).value_or(std::string(string)), &valid);
      AddPart(index + 1, valid, text);
      return;
    }
    case Kind::kByteFallback:
      if (const std::optional<uint8_t> byte = ByteOfFallback(string)) {
        state.held.push_back(static_cast<char>(*byte));
      } else {
        FlushBytes(index, text);
        AddString(index + 1, string, text);
      }
      return;
    case Kind::kMetaspace:
    case Kind::kReplace: {
      std::string replaced;
      size_t done = 0;
      const std::string_view content = ContentOf(step, first);
      const auto replace = [&](size_t begin, size_t end) {
        replaced.append(string.substr(done, begin - done)).append(content);
        done = end;
        return absl::OkStatus();
      };
      const Pattern character{.literal = step.kind == Kind::kMetaspace ? step.content : ""};
      // A regex that needs too many steps for one token leaves the rest of it as it is.
      ForEachMatch(step.kind == Kind::kMetaspace ? character : step.pattern, string, replace).IgnoreError();
      AddString(index + 1, replaced.append(string.substr(done)), text);
      return;
    }
    case Kind::kStrip: {
      for (int64_t i = 0; i < step.start && string.starts_with(step.content); ++i) {
        string.remove_prefix(step.content.size());
      }
      for (int64_t i = 0; i < step.stop && string.ends_with(step.content); ++i) {
        string.remove_suffix(step.content.size());
      }
      AddString(index + 1, string, text);
      return;
    }
  }
}

// The bytes so far are text if all of them together are valid UTF-8, else one U+FFFD each: so none of them is certain
// before a token that is no byte.
void Decoder::Stream::FlushBytes(size_t index, std::string* text) {
  const std::string bytes = std::exchange(states_[index].held, "");
  if (bytes.empty()) return;
  if (IsValidUtf8(bytes)) return AddString(index + 1, bytes, text);
  for (size_t i = 0; i < bytes.size(); ++i) AddString(index + 1, kReplacementCharacter, text);
}

void Decoder::Stream::AddPart(size_t index, std::string_view part, std::string* text) {
  if (index == decoder_->steps_.size()) {
    text->append(part);
    return;
  }
  switch (decoder_->steps_[index].kind) {
    case Kind::kMetaspace:
    case Kind::kReplace:
      return ReplaceInPart(index, part, text);
    case Kind::kStrip:
      return StripPart(index, part, text);
    default:
      return AddPart(index + 1, part, text);
  }
}

void Decoder::Stream::ReplaceInPart(size_t index, std::string_view part, std::string* text) {
  const Step& step = decoder_->steps_[index];
  const bool metaspace = step.kind == Kind::kMetaspace;
  const std::string& literal = metaspace ? step.content : step.pattern.literal;
  const std::string_view content = ContentOf(step, /*first=*/true);  // all is one string now
  std::string all = std::exchange(states_[index].held, "");
  all.append(part);
  std::string replaced;
  size_t done = 0;
  for (size_t begin = 0; (begin = all.find(literal, done)) != std::string::npos; done = begin + literal.size()) {
    replaced.append(all, done, begin - done).append(content);
  }
  // What may be the start of another match waits.
  size_t hold = std::min(all.size() - done, literal.size() - 1);
  while (hold > 0 && !literal.starts_with(std::string_view(all).substr(all.size() - hold))) --hold;
  replaced.append(all, done, all.size() - done - hold);
  states_[index].held = all.substr(all.size() - hold);
  AddPart(index + 1, replaced, text);
}

void Decoder::Stream::StripPart(size_t index, std::string_view part, std::string* text) {
  const Step& step = decoder_->steps_[index];
  State& state = states_[index];
  while (!part.empty() && !state.past_start) {
    if (state.stripped < step.start && part.starts_with(step.content)) {
      part.remove_prefix(step.content.size());
      ++state.stripped;
    } else {
      state.past_start = true;
    }
  }
  if (part.empty()) return;
  std::string all = std::exchange(state.held, "");
  all.append(part);
  size_t hold = 0;
  for (int64_t i = 0; i < step.stop; ++i) {
    if (!std::string_view(all).substr(0, all.size() - hold).ends_with(step.content)) break;
    hold += step.content.size();
  }
  state.held = all.substr(all.size() - hold);
  all.erase(all.size() - hold);
  AddPart(index + 1, all, text);
}

void Decoder::Stream::End(size_t index, std::string* text) {
  State& state = states_[index];
  switch (decoder_->steps_[index].kind) {
    case Kind::kByteFallback:
      return FlushBytes(index, text);
    case Kind::kByteLevel: {
      std::string rest;
      state.utf8.Finish(&rest);
      return AddPart(index + 1, rest, text);
    }
    case Kind::kReplace:
    case Kind::kMetaspace:
      return AddPart(index + 1, std::exchange(state.held, ""), text);
    default:
      return;  // what Strip holds is what it strips
  }
}

void Decoder::Stream::Finish(std::string* text) {
  for (size_t i = 0; i < states_.size(); ++i) End(i, text);
  states_.assign(states_.size(), State());
}

}  // namespace headroom::model
