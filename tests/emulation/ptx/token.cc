#include "tests/emulation/ptx/token.h"

#include <cctype>
#include <string>

#include "tests/emulation/ptx/error.h"

namespace emulation::ptx {
namespace {

bool IsWord(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' || c == '.';
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  Token Next() {
    SkipBlanks();
    const size_t begin = at_;
    if (at_ == text_.size()) return {Token::Kind::kEnd, {}, line_};
    if (IsWord(text_[at_])) {
      while (at_ < text_.size() && (IsWord(text_[at_]) || SkipDoubleColon())) at_++;
      return {Token::Kind::kWord, text_.substr(begin, at_ - begin), line_};
    }
    if (text_[at_] == '"') return String();
    static constexpr std::string_view kPunctuation = "{}[]()<>,;:+-@!|=*";
    if (kPunctuation.find(text_[at_]) == std::string_view::npos) {
      throw Error("PTX line " + std::to_string(line_) + ": unexpected character '" + text_[at_] + "'");
    }
    at_++;
    return {Token::Kind::kPunctuation, text_.substr(begin, 1), line_};
  }

 private:
  bool At(std::string_view s) const { return text_.substr(at_, s.size()) == s; }

  // On "::" steps to its second colon; a single colon ends a label.
  bool SkipDoubleColon() {
    if (!At("::")) return false;
    at_++;
    return true;
  }

  void SkipBlanks() {
    while (at_ < text_.size()) {
      if (At("//")) {
        while (at_ < text_.size() && text_[at_] != '\n') at_++;
      } else if (At("/*")) {
        while (at_ < text_.size() && !At("*/")) line_ += text_[at_++] == '\n';
        at_ = at_ + 2 < text_.size() ? at_ + 2 : text_.size();
      } else if (std::isspace(static_cast<unsigned char>(text_[at_]))) {
        line_ += text_[at_++] == '\n';
      } else {
        return;
      }
    }
  }

  Token String() {
    const size_t begin = ++at_;
    while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
    if (at_ >= text_.size()) throw Error("PTX line " + std::to_string(line_) + ": string without an end");
    return {Token::Kind::kString, text_.substr(begin, at_++ - begin), line_};
  }

  std::string_view text_;
  size_t at_ = 0;
  int line_ = 1;
};

}  // namespace

std::vector<Token> Tokenize(std::string_view text) {
  Scanner scanner(text);
  std::vector<Token> tokens;
  do {
    tokens.push_back(scanner.Next());
  } while (tokens.back().kind != Token::Kind::kEnd);
  return tokens;
}

}  // namespace emulation::ptx
