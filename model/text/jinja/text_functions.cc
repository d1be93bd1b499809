#include "model/text/jinja/text_functions.h"

#include <string.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "common/utf8.h"
#include "model/text/jinja/characters.h"

namespace headroom::model::jinja {
namespace {

constexpr size_t kNone = std::string_view::npos;

bool IsStripped(char32_t character, std::optional<std::string_view> characters) {
  if (!characters.has_value()) return IsSpace(character);
  for (size_t position = 0; position < characters->size();) {
    if (NextCodePoint(*characters, &position) == character) return true;
  }
  return false;
}

char32_t CharacterAt(std::string_view text, size_t position) { return NextCodePoint(text, &position); }

int64_t Bound(int64_t count) { return count < 0 ? std::numeric_limits<int64_t>::max() : count; }

}  // namespace

absl::StatusOr<MarkedText> Strip(const MarkedText& text, std::optional<std::string_view> characters, Side side,
                                 Allowance& allowance) {
  HEADROOM_RETURN_IF_ERROR(allowance.WorkOnText(text.size() * (1 + characters.value_or("").size())));
  const std::string& bytes = text.bytes();
  size_t begin = 0;
  size_t end = bytes.size();
  while (side != Side::kRight && begin < end) {
    size_t next = begin;
    if (!IsStripped(NextCodePoint(bytes, &next), characters)) break;
    begin = next;
  }
  while (side != Side::kLeft && begin < end) {
    const size_t last = CharacterStart(bytes, end - 1);
    if (!IsStripped(CharacterAt(bytes, last), characters)) break;
    end = last;
  }
  return text.Cut(begin, end);
}

absl::StatusOr<size_t> Find(std::string_view text, std::string_view word, size_t from, Allowance& allowance) {
  if (from > text.size()) return kNone;
  HEADROOM_RETURN_IF_ERROR(allowance.WorkOnText(word.size()));
  // Linear in both, which string_view::find is not.
  const void* const found = memmem(text.data() + from, text.size() - from, word.data(), word.size());
  const size_t at = found == nullptr ? kNone : static_cast<size_t>(static_cast<const char*>(found) - text.data());
  HEADROOM_RETURN_IF_ERROR(allowance.WorkOnText((at == kNone ? text.size() : at) - from));
  return at;
}

absl::StatusOr<size_t> FindLast(std::string_view text, std::string_view word, Allowance& allowance) {
  HEADROOM_RETURN_IF_ERROR(allowance.WorkOnText(text.size() * std::max<size_t>(1, word.size())));
  return text.rfind(word);
}

absl::StatusOr<MarkedText> Replace(const MarkedText& text, const MarkedText& from, const MarkedText& to, int64_t count,
                                   Allowance& allowance) {
  MarkedText replaced;
  size_t done = 0;
  const std::string& bytes = text.bytes();
  for (int64_t left = Bound(count); left > 0; --left) {
    size_t at = done;
    if (from.empty()) {
      // Before each character and at the end.
      if (left == Bound(count)) {
        replaced.Append(to);
        continue;
      }
      if (done >= bytes.size()) break;
      NextCodePoint(bytes, &at);
    } else {
      HEADROOM_ASSIGN_OR_RETURN(at, Find(bytes, from.bytes(), done, allowance));
      if (at == kNone) break;
    }
    replaced.Append(text, done, at);
    replaced.Append(to);
    done = at + from.size();
    HEADROOM_RETURN_IF_ERROR(allowance.WorkOnText(to.size()));
    HEADROOM_RETURN_IF_ERROR(allowance.CheckRoom(replaced.size() + bytes.size()));
  }
  replaced.Append(text, done, text.size());
  return replaced;
}

absl::StatusOr<std::vector<MarkedText>> Split(const MarkedText& text, std::string_view separator, int64_t splits_max,
                                              Side side, Allowance& allowance) {
  std::vector<MarkedText> parts;
  const std::string_view bytes = text.bytes();
  size_t begin = 0;
  size_t end = bytes.size();
  for (int64_t left = Bound(splits_max); left > 0; --left) {
    size_t at = 0;
    if (side == Side::kRight) {
      HEADROOM_ASSIGN_OR_RETURN(at, FindLast(bytes.substr(0, end), separator, allowance));
    } else {
      HEADROOM_ASSIGN_OR_RETURN(at, Find(bytes, separator, begin, allowance));
    }
    if (at == kNone) break;
    parts.push_back(side == Side::kRight ? text.Cut(at + separator.size(), end) : text.Cut(begin, at));
    (side == Side::kRight ? end : begin) = side == Side::kRight ? at : at + separator.size();
    HEADROOM_RETURN_IF_ERROR(allowance.CheckRoom(parts.size() * sizeof(MarkedText) + bytes.size()));
  }
  parts.push_back(text.Cut(begin, end));
  if (side == Side::kRight) std::reverse(parts.begin(), parts.end());
  return parts;
}

absl::StatusOr<std::vector<MarkedText>> SplitAtSpace(const MarkedText& text, int64_t splits_max, Side side,
                                                     Allowance& allowance) {
  const std::string& bytes = text.bytes();
  HEADROOM_RETURN_IF_ERROR(allowance.WorkOnText(bytes.size()));
  HEADROOM_RETURN_IF_ERROR(allowance.CheckRoom(bytes.size() * sizeof(MarkedText)));
  std::vector<std::pair<size_t, size_t>> words;
  bool in_word = false;
  for (size_t position = 0; position < bytes.size();) {
    const size_t begin = position;
    if (IsSpace(NextCodePoint(bytes, &position))) {
      in_word = false;
    } else if (std::exchange(in_word, true)) {
      words.back().second = position;
    } else {
      words.emplace_back(begin, position);
    }
  }
  const auto cuts = static_cast<size_t>(std::min<int64_t>(Bound(splits_max), static_cast<int64_t>(words.size())));
  std::vector<MarkedText> parts;
  if (side == Side::kRight) {
    const size_t whole = words.size() - cuts;  // words that stay together
    if (whole > 0) parts.push_back(text.Cut(0, words[whole - 1].second));
    for (size_t i = whole; i < words.size(); ++i) parts.push_back(text.Cut(words[i].first, words[i].second));
  } else {
    for (size_t i = 0; i < cuts; ++i) parts.push_back(text.Cut(words[i].first, words[i].second));
    if (cuts < words.size()) parts.push_back(text.Cut(words[cuts].first, bytes.size()));
  }
  return parts;
}

absl::StatusOr<std::vector<MarkedText>> SplitLines(const MarkedText& text, bool keep_ends, Allowance& allowance) {
  const std::string& bytes = text.bytes();
  HEADROOM_RETURN_IF_ERROR(allowance.WorkOnText(bytes.size()));
  HEADROOM_RETURN_IF_ERROR(allowance.CheckRoom(bytes.size() * sizeof(MarkedText)));
  std::vector<MarkedText> lines;
  size_t begin = 0;
  for (size_t position = 0; position < bytes.size();) {
    const size_t end = position;
    const char32_t c = NextCodePoint(bytes, &position);
    const bool breaks = (c >= '\n' && c <= '\r') || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (!breaks) continue;
    if (c == '\r' && position < bytes.size() && bytes[position] == '\n') ++position;
    lines.push_back(text.Cut(begin, keep_ends ? position : end));
    begin = position;
  }
  if (begin < bytes.size()) lines.push_back(text.Cut(begin, bytes.size()));
  return lines;
}

absl::StatusOr<MarkedText> Map(const MarkedText& text, Mapping mapping, Allowance& allowance) {
  HEADROOM_RETURN_IF_ERROR(allowance.WorkOnText(16 * text.size()));
  MarkedText mapped;
  size_t begin = 0;
  for (const OriginRun& run : text.runs()) {
    mapped.Append(mapping(std::string_view(text.bytes()).substr(begin, run.end - begin)), run.origin);
    begin = run.end;
  }
  return mapped;
}

absl::StatusOr<MarkedText> MapCharacters(const MarkedText& text, const CharacterMapping& mapping,
                                         Allowance& allowance) {
  HEADROOM_RETURN_IF_ERROR(allowance.WorkOnText(64 * text.size()));
  MarkedText mapped;
  auto run = text.runs().begin();
  for (size_t position = 0; position < text.size();) {
    const size_t begin = position;
    const char32_t code_point = NextCodePoint(text.bytes(), &position);
    if (begin >= run->end) ++run;
    mapped.Append(mapping(code_point, std::string_view(text.bytes()).substr(begin, position - begin)), run->origin);
  }
  return mapped;
}

absl::StatusOr<MarkedText> Capitalized(const MarkedText& text, Allowance& allowance) {
  size_t first = 0;
  if (!text.empty()) NextCodePoint(text.bytes(), &first);
  HEADROOM_ASSIGN_OR_RETURN(MarkedText capitalized, Map(text.Cut(0, first), ToTitle, allowance));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText rest, Map(text.Cut(first, text.size()), ToLower, allowance));
  capitalized.Append(rest);
  return capitalized;
}

std::string EscapeHtml(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    const char* const entity = c == '&'    ? "&amp;"
                               : c == '<'  ? "&lt;"
                               : c == '>'  ? "&gt;"
                               : c == '"'  ? "&#34;"
                               : c == '\'' ? "&#39;"
                                           : nullptr;
    entity == nullptr ? escaped.push_back(c) : static_cast<void>(escaped.append(entity));
  }
  return escaped;
}

absl::StatusOr<MarkedText> Repeat(const MarkedText& text, int64_t times, Allowance& allowance) {
  MarkedText repeated;
  if (times <= 0 || text.empty()) return repeated;
  constexpr int64_t kTimesMax = int64_t{1} << 32;
  const size_t bytes = text.size() * static_cast<size_t>(std::min(times, kTimesMax));
  HEADROOM_RETURN_IF_ERROR(allowance.CheckRoom(bytes));
  HEADROOM_RETURN_IF_ERROR(allowance.Work(static_cast<size_t>(times)));
  HEADROOM_RETURN_IF_ERROR(allowance.WorkOnText(bytes));
  for (int64_t i = 0; i < times; ++i) repeated.Append(text);
  return repeated;
}

absl::StatusOr<MarkedText> Pad(const MarkedText& text, int64_t width, const MarkedText& fill, Side side,
                               Allowance& allowance) {
  const int64_t missing = width - static_cast<int64_t>(CountCharacters(text.bytes()));
  if (missing <= 0) return text;
  // As Python's str.center puts the odd one.
  const int64_t left = side == Side::kLeft ? missing : side == Side::kRight ? 0 : missing / 2 + (missing & width & 1);
  HEADROOM_ASSIGN_OR_RETURN(MarkedText padded, Repeat(fill, left, allowance));
  HEADROOM_ASSIGN_OR_RETURN(const MarkedText behind, Repeat(fill, missing - left, allowance));
  padded.Append(text);
  padded.Append(behind);
  return padded;
}

size_t CharacterPosition(std::string_view text, size_t index) {
  size_t position = 0;
  while (index > 0 && position < text.size()) {
    NextCodePoint(text, &position);
    --index;
  }
  return position;
}

}  // namespace headroom::model::jinja
