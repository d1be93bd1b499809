// What Python's string methods know of characters, from ICU's tables (Unicode 15). Text is valid UTF-8. Thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace headroom::model::jinja {

bool IsSpace(char32_t character);      // str.isspace
bool IsPrintable(char32_t character);  // str.isprintable: what repr does not escape
bool IsAlpha(char32_t character);      // str.isalpha
bool IsDecimal(char32_t character);    // str.isdecimal
bool IsDigit(char32_t character);      // str.isdigit: decimals, superscripts and the like
bool IsNumeric(char32_t character);    // str.isnumeric
bool IsUpper(char32_t character);
bool IsLower(char32_t character);

// Full mappings, which can change the number of characters.
std::string ToUpper(std::string_view text);
std::string ToLower(std::string_view text);
// One character as it begins a word of a title.
std::string ToTitle(std::string_view character);

}  // namespace headroom::model::jinja
