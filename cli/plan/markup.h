// SVG and HTML as text: elements that are well-formed XML whatever their values hold.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace headroom::cli {

struct Attribute {
  Attribute(const char* attribute, std::string text) : name(attribute), value(std::move(text)) {}  // NOLINT: a pair
  Attribute(const char* attribute, double number);                                                 // two decimals

  const char* name;
  std::string value;
};

// <name attributes>content</name>, or <name attributes/> around nothing. `content` is markup; values are escaped, and
// an attribute of an empty value is left out.
std::string Element(const char* name, const std::vector<Attribute>& attributes, const std::string& content = "");

// Text as content: & < > " ' are escaped, and what XML cannot carry (control characters, bytes that are not UTF-8,
// noncharacters) is replaced by U+FFFD.
std::string Escaped(std::string_view text);

}  // namespace headroom::cli
