// For tests: is a text well-formed XML? Strict where our own writers could go wrong: nesting, quotes, entities,
// repeated attributes, one root. No DTDs, CDATA, comments or processing instructions, which we do not write.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace headroom::cli {

struct XmlElement {
  std::string name;
  std::map<std::string, std::string> attributes;  // as written
  std::string text;                               // directly inside, as written
};

class XmlReader {
 public:
  explicit XmlReader(std::string text) : text_(std::move(text)) {}

  // What is wrong first, or "" with all elements in the order of their start.
  std::string Read(std::vector<XmlElement>* elements) {
    constexpr char kDoctype[] = "<!DOCTYPE html>\n";
    if (text_.rfind(kDoctype, 0) == 0) at_ = sizeof(kDoctype) - 1;
    std::vector<size_t> open;
    bool had_root = false;
    while (at_ < text_.size()) {
      if (text_[at_] != '<') {
        const size_t end = std::min(text_.find('<', at_), text_.size());
        const std::string words = text_.substr(at_, end - at_);
        if (open.empty() && words.find_first_not_of(" \n") != std::string::npos) return "text outside the root";
        if (auto wrong = CheckText(words)) return *wrong;
        if (!open.empty()) (*elements)[open.back()].text += words;
        at_ = end;
      } else if (text_.compare(at_, 2, "</") == 0) {
        const size_t end = text_.find('>', at_);
        if (end == std::string::npos || open.empty()) return "stray end tag";
        if (text_.substr(at_ + 2, end - at_ - 2) != (*elements)[open.back()].name)
          return Near("end tag does not match");
        open.pop_back();
        at_ = end + 1;
      } else {
        if (open.empty() && had_root) return "second root";
        had_root = true;
        XmlElement element{.name = {}, .attributes = {}, .text = {}};
        bool closed = false;
        if (auto wrong = ReadTag(&element, &closed)) return *wrong;
        elements->push_back(std::move(element));
        if (!closed) open.push_back(elements->size() - 1);
      }
    }
    return !open.empty() ? "unclosed " + (*elements)[open.back()].name : had_root ? "" : "no root";
  }

 private:
  static bool NameByte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == ':';
  }
  std::string Near(const std::string& what) const { return what + " near: " + text_.substr(at_, 60); }
  std::string Name() {
    const size_t start = at_;
    while (at_ < text_.size() && NameByte(text_[at_])) ++at_;
    return text_.substr(start, at_ - start);
  }

  std::optional<std::string> ReadTag(XmlElement* element, bool* closed) {
    ++at_;
    element->name = Name();
    if (element->name.empty()) return Near("tag without name");
    while (at_ < text_.size()) {
      if (text_[at_] == '>') return ++at_, std::nullopt;
      if (text_.compare(at_, 2, "/>") == 0) {
        *closed = true;
        return at_ += 2, std::nullopt;
      }
      if (text_[at_] != ' ') return Near("no space before an attribute");
      ++at_;
      const std::string name = Name();
      if (name.empty() || text_.compare(at_, 2, "=\"") != 0) return Near("attribute without a quoted value");
      at_ += 2;
      const size_t end = text_.find('"', at_);
      if (end == std::string::npos) return Near("unclosed attribute");
      const std::string value = text_.substr(at_, end - at_);
      if (value.find('<') != std::string::npos) return Near("< in an attribute");
      if (auto wrong = CheckText(value)) return wrong;
      if (!element->attributes.emplace(name, value).second) return Near("repeated attribute " + name);
      at_ = end + 1;
    }
    return "unclosed tag";
  }

  std::optional<std::string> CheckText(const std::string& words) const {
    for (size_t i = 0; i < words.size(); ++i) {
      const auto byte = static_cast<unsigned char>(words[i]);
      if (byte < 0x20 && byte != '\n' && byte != '\t') return Near("control character");
      if (byte != '&') continue;
      bool known = false;
      for (const char* entity : {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"})
        known = known || words.compare(i, std::string(entity).size(), entity) == 0;
      if (!known) return Near("bare &");
    }
    return std::nullopt;
  }

  std::string text_;
  size_t at_ = 0;
};

}  // namespace headroom::cli
