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
std::string OrderMarks(std::string_view marks, const icu::Normalizer2& nfc) {
  std::vector<std::pair<uint8_t, UChar32>> parts;
  icu::UnicodeString decomposed;
  for (size_t position = 0; position < marks.size();) {
    const auto mark = static_cast<UChar32>(NextCodePoint(marks, &position));
    if (nfc.getDecomposition(mark, decomposed) == 0) decomposed.setTo(mark);
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
std::string WithLongMarksOrdered(std::string_view text, const icu::Normalizer2& nfc) {
  std::string ordered;
  size_t copied = 0;
  for (size_t position = 0; position < text.size();) {
    const size_t end = MarksEnd(text, position);
    if (end - position > kMarkBytesMax) {
      ordered.append(text.substr(copied, position - copied));
      ordered.append(OrderMarks(text.substr(position, end - position), nfc));
      copied = end;
    }
    position = end;
    if (position < text.size()) NextCodePoint(text, &position);
  }
  return ordered.append(text.substr(copied));
}

}  // namespace

bool MayNeedNfc(std::string_view text) {
  // Below U+0300, whose first byte is CC, no character composes, decomposes or moves.
  return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) >= 0xCC; });
}

absl::StatusOr<std::string> ToNfc(std::string_view text) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* nfc = icu::Normalizer2::getNFCInstance(error);
  if (U_FAILURE(error)) return absl::InternalError(absl::StrCat("ICU has no NFC data: ", u_errorName(error)));
  const std::string ordered = WithLongMarksOrdered(text, *nfc);
  const icu::StringPiece piece(ordered.data(), static_cast<int32_t>(ordered.size()));
  if (nfc->isNormalizedUTF8(piece, error) && U_SUCCESS(error)) return ordered;
  error = U_ZERO_ERROR;
  std::string normalized;
  icu::StringByteSink<std::string> sink(&normalized, piece.length());
  nfc->normalizeUTF8(0, piece, sink, nullptr, error);
  if (U_FAILURE(error)) return absl::InternalError(absl::StrCat("NFC failed: ", u_errorName(error)));
  return normalized;
}

bool IsWordCharacter(char32_t code_point) {
  const UChar32 c = static_cast<UChar32>(code_point);
  if (u_hasBinaryProperty(c, UCHAR_ALPHABETIC) || u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL)) return true;
  return (U_GET_GC_MASK(c) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0;
}

}  // namespace headroom::model
