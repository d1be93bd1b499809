#include "common/utf8.h"

#include <algorithm>
#include <cstring>

namespace headroom {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

enum class Sequence { kValid, kInvalid, kUnfinished };

struct Step {
  Sequence sequence;
  size_t bytes;  // valid: of the sequence; invalid: those that one U+FFFD replaces; unfinished: all that are left
};

// The sequence at the start of the non-empty `text` (Unicode 15, table 3-7: the first continuation byte has narrower
// bounds after E0, ED, F0 and F4).
Step ReadSequence(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {Sequence::kValid, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Sequence::kInvalid, 1};
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  for (size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {Sequence::kUnfinished, i};
    uint8_t low = 0x80;
    uint8_t high = 0xBF;
    if (i == 1) {
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;
    }
    if (byte(i) < low || byte(i) > high) return {Sequence::kInvalid, i};
  }
  return {Sequence::kValid, length};
}

// Number of leading ASCII bytes, a word at a time.
size_t AsciiPrefix(std::string_view text) {
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if ((word & 0x8080808080808080u) != 0) break;
  }
  while (i < text.size() && static_cast<uint8_t>(text[i]) < 0x80) ++i;
  return i;
}

bool IsPythonSpace(char32_t c) { return IsWhiteSpace(c) || (c >= 0x1C && c <= 0x1F); }

}  // namespace

bool IsValidUtf8(std::string_view text) {
  while (!text.empty()) {
    text.remove_prefix(AsciiPrefix(text));
    if (text.empty()) break;
    const Step step = ReadSequence(text);
    if (step.sequence != Sequence::kValid) return false;
    text.remove_prefix(step.bytes);
  }
  return true;
}

size_t CharacterStart(std::string_view text, size_t position) {
  while (position > 0 && IsContinuationByte(text[position])) --position;
  return position;
}

size_t CountCharacters(std::string_view text) {
  return text.size() - static_cast<size_t>(std::count_if(text.begin(), text.end(), IsContinuationByte));
}

std::string CutText(std::string_view text, size_t bytes_max) {
  return std::string(text.substr(0, text.size() <= bytes_max ? text.size() : CharacterStart(text, bytes_max)));
}

char32_t NextCodePoint(std::string_view text, size_t* position) {
  const uint8_t lead = static_cast<uint8_t>(text[*position]);
  ++*position;
  if (lead < 0x80) return lead;
  int continuation = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
  char32_t code_point = lead & (0x3F >> continuation);
  for (; continuation > 0 && *position < text.size(); --continuation) {
    code_point = (code_point << 6) | (static_cast<uint8_t>(text[*position]) & 0x3F);
    ++*position;
  }
  return code_point;
}

void AppendUtf8(char32_t c, std::string* out) {
  const auto put = [&](char32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3F));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

bool IsWhiteSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

std::string_view TrimWhiteSpace(std::string_view text) {
  size_t begin = text.size();
  size_t end = 0;
  for (size_t position = 0; position < text.size();) {
    const size_t start = position;
    if (IsPythonSpace(NextCodePoint(text, &position))) continue;
    if (begin == text.size()) begin = start;
    end = position;
  }
  return end == 0 ? std::string_view() : text.substr(begin, end - begin);
}

void Utf8Stream::Feed(std::string_view bytes, std::string* out) {
  std::string joined;
  if (!held_.empty()) {
    joined = held_;
    joined.append(bytes);
    held_.clear();
    bytes = joined;
  }
  while (!bytes.empty()) {
    const size_t ascii = AsciiPrefix(bytes);
    out->append(bytes.substr(0, ascii));
    bytes.remove_prefix(ascii);
    if (bytes.empty()) break;
    const Step step = ReadSequence(bytes);
    if (step.sequence == Sequence::kUnfinished) {
      held_ = std::string(bytes);
      break;
    }
    out->append(step.sequence == Sequence::kValid ? bytes.substr(0, step.bytes) : kReplacement);
    bytes.remove_prefix(step.bytes);
  }
}

void Utf8Stream::Finish(std::string* out) {
  if (!held_.empty()) out->append(kReplacement);
  held_.clear();
}

}  // namespace headroom
