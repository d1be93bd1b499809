#include "model/text/jinja/string_literal.h"

#include "common/status.h"
#include "common/utf8.h"

namespace headroom::model::jinja {
namespace {

// -1 where `c` is no digit of the base.
int DigitOf(char c, int base) {
  const int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : 16;
  return digit < base ? digit : -1;
}

// Reads up to `digits_max` digits at literal[*position].
char32_t ReadDigits(std::string_view literal, int base, int digits_max, size_t* position, int* digits) {
  char32_t code = 0;
  for (*digits = 0; *digits < digits_max && *position < literal.size(); ++*digits, ++*position) {
    const int digit = DigitOf(literal[*position], base);
    if (digit < 0) break;
    code = code * static_cast<char32_t>(base) + static_cast<char32_t>(digit);
  }
  return code;
}

// The character of a simple escape, or 0.
char SimpleEscape(char c) {
  constexpr std::string_view kLetters = "\\'\"abfnrtv";
  constexpr std::string_view kCharacters = "\\'\"\a\b\f\n\r\t\v";
  const size_t at = kLetters.find(c);
  return at == std::string_view::npos ? '\0' : kCharacters[at];
}

}  // namespace

absl::StatusOr<std::string> ResolveEscapes(std::string_view literal) {
  std::string text;
  for (size_t position = 0; position < literal.size();) {
    const char c = literal[position++];
    if (c != '\\' || position == literal.size()) {
      text += c;
      continue;
    }
    const char kind = literal[position++];
    if (kind == '\n') continue;
    if (const char simple = SimpleEscape(kind); simple != '\0') {
      text += simple;
      continue;
    }
    int digits = 0;
    char32_t code = 0;
    if (DigitOf(kind, 8) >= 0) {
      --position;
      code = ReadDigits(literal, 8, 3, &position, &digits);
    } else if (kind == 'x' || kind == 'u' || kind == 'U') {
      const int wanted = kind == 'x' ? 2 : kind == 'u' ? 4 : 8;
      code = ReadDigits(literal, 16, wanted, &position, &digits);
      if (digits != wanted)
        return absl::InvalidArgumentError(absl::StrCat("a string has a cut escape \\", std::string(1, kind)));
    } else if (kind == 'N') {
      return absl::InvalidArgumentError("a string names a character by \\N{…}, which is not supported");
    } else {
      text += '\\';
      text += kind;
      continue;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
      return absl::InvalidArgumentError("a string has an escape that is no character");
    }
    AppendUtf8(code, &text);
  }
  return text;
}

}  // namespace headroom::model::jinja
