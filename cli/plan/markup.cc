#include "cli/plan/markup.h"

#include "absl/strings/str_format.h"
#include "common/utf8.h"

namespace headroom::cli {
namespace {

// For a character that stands for itself: nothing.
const char* Replacement(char32_t c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    case '\n':
    case '\t':
      return nullptr;
    default:
      return c < 0x20 || c == 0x7F || c == 0xFFFE || c == 0xFFFF ? "\xEF\xBF\xBD" : nullptr;
  }
}

}  // namespace

Attribute::Attribute(const char* attribute, double number) : name(attribute), value(absl::StrFormat("%.2f", number)) {}

std::string Element(const char* name, const std::vector<Attribute>& attributes, const std::string& content) {
  std::string element = std::string("<") + name;
  for (const Attribute& attribute : attributes) {
    if (!attribute.value.empty())
      element += std::string(" ") + attribute.name + "=\"" + Escaped(attribute.value) + "\"";
  }
  return element + (content.empty() ? "/>" : ">" + content + "</" + name + ">");
}

std::string Escaped(std::string_view text) {
  std::string valid, escaped;
  Utf8Stream stream;
  stream.Feed(text, &valid);
  stream.Finish(&valid);
  for (size_t at = 0; at < valid.size();) {
    const size_t start = at;
    const char* const replacement = Replacement(NextCodePoint(valid, &at));
    escaped += replacement != nullptr ? replacement : valid.substr(start, at - start);
  }
  return escaped;
}

}  // namespace headroom::cli
