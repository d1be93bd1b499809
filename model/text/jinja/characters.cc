#include "model/text/jinja/characters.h"

#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include "common/utf8.h"

namespace headroom::model::jinja {
namespace {

icu::UnicodeString Decoded(std::string_view text) {
  return icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
}

std::string Encoded(const icu::UnicodeString& text) {
  std::string bytes;
  text.toUTF8String(bytes);
  return bytes;
}

int NumericType(char32_t character) {
  return u_getIntPropertyValue(static_cast<UChar32>(character), UCHAR_NUMERIC_TYPE);
}

bool HasProperty(char32_t character, UProperty property) {
  return u_hasBinaryProperty(static_cast<UChar32>(character), property) != 0;
}

}  // namespace

bool IsSpace(char32_t character) { return IsWhiteSpace(character) || (character >= 0x1C && character <= 0x1F); }

bool IsPrintable(char32_t character) {
  constexpr uint32_t kHidden = U_GC_C_MASK | U_GC_Z_MASK;
  return character == ' ' || (U_GET_GC_MASK(static_cast<UChar32>(character)) & kHidden) == 0;
}

bool IsAlpha(char32_t character) { return (U_GET_GC_MASK(static_cast<UChar32>(character)) & U_GC_L_MASK) != 0; }
bool IsDecimal(char32_t character) { return NumericType(character) == U_NT_DECIMAL; }
bool IsDigit(char32_t character) { return IsDecimal(character) || NumericType(character) == U_NT_DIGIT; }
bool IsNumeric(char32_t character) { return NumericType(character) != U_NT_NONE; }
bool IsUpper(char32_t character) { return HasProperty(character, UCHAR_UPPERCASE); }
bool IsLower(char32_t character) { return HasProperty(character, UCHAR_LOWERCASE); }

std::string ToUpper(std::string_view text) { return Encoded(Decoded(text).toUpper(icu::Locale::getRoot())); }
std::string ToLower(std::string_view text) { return Encoded(Decoded(text).toLower(icu::Locale::getRoot())); }

std::string ToTitle(std::string_view character) {
  icu::UnicodeString title = Decoded(character);
  title.toTitle(nullptr, icu::Locale::getRoot(), U_TITLECASE_NO_LOWERCASE | U_TITLECASE_NO_BREAK_ADJUSTMENT);
  return Encoded(title);
}

}  // namespace headroom::model::jinja
