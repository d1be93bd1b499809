#include "model/text/unicode.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "common/status.h"
#include "common/utf8.h"

namespace headroom::model {
namespace {

// Bytes of combining marks in a row that are left to ICU: far above what any script or ornament stacks.
constexpr size_t kMarkBytesMax = 256;

// Marks in canonical order: decomposed, then sorted by class, equal classes as they stood.
std::string OrderMarks(std::string_view marks, const icu::Normalizer2& normalizer) {
  std::vector<std::pair<uint8_t, UChar32>> parts;
  icu::UnicodeString decomposed;
  for (size_t position = 0; position < marks.size();) {
    const auto mark = static_cast<UChar32>(NextCodePoint(marks, &position));
    if (normalizer.getDecomposition(mark, decomposed) == 0) decomposed.setTo(mark);
    for (int32_t i = 0; i < decomposed.length(); i = decomposed.moveIndex32(i, 1)) {
      parts.emplace_back(u_getCombiningClass(decomposed.char32At(i)), decomposed.char32At(i));
    }
  }
  std::stable_sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string ordered;
  for (const auto& [mark_class, mark] : parts) AppendUtf8(static_cast<char32_t>(mark), &ordered);
  return ordered;
}

// Where the row of combining marks that starts at `position` ends: at `position` when there is none.
size_t MarksEnd(std::string_view text, size_t position) {
  size_t end = position;
  while (position < text.size()) {
    const auto character = static_cast<UChar32>(NextCodePoint(text, &position));
    if (u_getIntPropertyValue(character, UCHAR_LEAD_CANONICAL_COMBINING_CLASS) == 0) break;
    end = position;
  }
  return end;
}

// `text` with long rows of combining marks in canonical order, which its normal form does not depend on. ICU orders
// them by insertion, in time by the square of their number: a message of nothing else would take hours.
std::string WithLongMarksOrdered(std::string_view text, const icu::Normalizer2& normalizer) {
  std::string ordered;
  size_t copied = 0;
  for (size_t position = 0; position < text.size();) {
    const size_t end = MarksEnd(text, position);
    if (end - position > kMarkBytesMax) {
      ordered.append(text.substr(copied, position - copied));
      ordered.append(OrderMarks(text.substr(position, end - position), normalizer));
      copied = end;
    }
    position = end;
    if (position < text.size()) NextCodePoint(text, &position);
  }
  return ordered.append(text.substr(copied));
}

absl::StatusOr<const icu::Normalizer2*> Instance(NormalForm form) {
  UErrorCode error = U_ZERO_ERROR;
  const bool composed = form == NormalForm::kNfc;
  const icu::Normalizer2* instance =
      composed ? icu::Normalizer2::getNFCInstance(error) : icu::Normalizer2::getNFDInstance(error);
  if (U_FAILURE(error)) return absl::InternalError(absl::StrCat("ICU has no tables: ", u_errorName(error)));
  return instance;
}

// `text` with compatibility characters taken apart. The canonical form of the result is the compatibility form of
// `text`; ICU's own would order long rows of marks that come from such characters by insertion as well.
absl::StatusOr<std::string> TakeApart(std::string_view text) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* nfkd = icu::Normalizer2::getNFKDInstance(error);
  if (U_FAILURE(error)) return absl::InternalError(absl::StrCat("ICU has no tables: ", u_errorName(error)));
  std::string out;
  out.reserve(text.size());
  icu::UnicodeString parts;
  for (size_t position = 0; position < text.size();) {
    const size_t start = position;
    const auto character = static_cast<UChar32>(NextCodePoint(text, &position));
    if (character >= 0x80 && nfkd->getDecomposition(character, parts) != 0) {
      parts.toUTF8String(out);
    } else {
      out.append(text.substr(start, position - start));
    }
  }
  return out;
}

}  // namespace

bool MayNeed(NormalForm form, std::string_view text) {
  // First bytes of U+0300, U+00C0 and U+00A0: below, no character composes, decomposes or moves.
  const uint8_t first = form == NormalForm::kNfc ? 0xCC : form == NormalForm::kNfd ? 0xC3 : 0xC2;
  return std::any_of(text.begin(), text.end(), [first](char c) { return static_cast<uint8_t>(c) >= first; });
}

absl::StatusOr<std::string> ToForm(NormalForm form, std::string_view text) {
  std::string apart;
  if (form == NormalForm::kNfkc || form == NormalForm::kNfkd) {
    HEADROOM_ASSIGN_OR_RETURN(apart, TakeApart(text));
    text = apart;
    form = form == NormalForm::kNfkc ? NormalForm::kNfc : NormalForm::kNfd;
  }
  HEADROOM_ASSIGN_OR_RETURN(const icu::Normalizer2* const normalizer, Instance(form));
  std::string ordered = WithLongMarksOrdered(text, *normalizer);
  UErrorCode error = U_ZERO_ERROR;
  const icu::StringPiece piece(ordered.data(), static_cast<int32_t>(ordered.size()));
  if (normalizer->isNormalizedUTF8(piece, error) && U_SUCCESS(error)) return ordered;
  error = U_ZERO_ERROR;
  std::string normalized;
  icu::StringByteSink<std::string> sink(&normalized, piece.length());
  normalizer->normalizeUTF8(0, piece, sink, nullptr, error);
  if (U_FAILURE(error)) return absl::InternalError(absl::StrCat("normalizing failed: ", u_errorName(error)));
  return normalized;
}

void AppendLowercase(char32_t code_point, std::string* out) {
  if (code_point == 0x130) {
    out->append("i\xCC\x87");  // the only one whose lower case is two characters
  } else {
    AppendUtf8(static_cast<char32_t>(u_tolower(static_cast<UChar32>(code_point))), out);
  }
}

bool IsMark(char32_t code_point) { return (U_GET_GC_MASK(static_cast<UChar32>(code_point)) & U_GC_M_MASK) != 0; }

bool IsWordCharacter(char32_t code_point) {
  const UChar32 c = static_cast<UChar32>(code_point);
  if (u_hasBinaryProperty(c, UCHAR_ALPHABETIC) || u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL)) return true;
  return (U_GET_GC_MASK(c) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0;
}

size_t TrailingSpaceBytes(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    const size_t start = CharacterStart(text, end - 1);
    size_t position = start;
    if (!IsWhiteSpace(NextCodePoint(text, &position))) break;
    end = start;
  }
  return text.size() - end;
}

size_t LeadingSpaceBytes(std::string_view text) {
  size_t spaces = 0;
  for (size_t position = 0; position < text.size(); spaces = position) {
    if (!IsWhiteSpace(NextCodePoint(text, &position))) break;
  }
  return spaces;
}

}  // namespace headroom::model
