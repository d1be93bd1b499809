// The tokens of a template as both halves of the parser read them.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/status.h"
#include "common/utf8.h"
#include "model/text/jinja/lexer.h"

namespace headroom::model::jinja {

class TokenStream {
 public:
  // `tokens` ends with kEnd.
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[position_]; }
  const Token& next() const { return tokens_[position_ + 1 < tokens_.size() ? position_ + 1 : position_]; }
  int line() const { return current().line; }

  Token Take() {
    Token token = current();
    if (position_ + 1 < tokens_.size()) ++position_;
    return token;
  }

  bool Is(Token::Kind kind) const { return current().kind == kind; }
  bool IsOperator(std::string_view word) const { return Is(Token::Kind::kOperator) && current().text == word; }
  bool IsName(std::string_view word) const { return Is(Token::Kind::kName) && current().text == word; }

  bool TakeOperator(std::string_view word) { return IsOperator(word) && (Take(), true); }
  bool TakeName(std::string_view word) { return IsName(word) && (Take(), true); }

  absl::Status ExpectOperator(std::string_view word) {
    return TakeOperator(word) ? absl::OkStatus() : Unexpected("'" + std::string(word) + "'");
  }
  absl::Status ExpectName(std::string_view word) {
    return TakeName(word) ? absl::OkStatus() : Unexpected("'" + std::string(word) + "'");
  }
  absl::Status Expect(Token::Kind kind, std::string_view what) {
    if (!Is(kind)) return Unexpected(what);
    Take();
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> TakeAnyName() {
    if (!Is(Token::Kind::kName)) return Unexpected("a name");
    return Take().text;
  }

  absl::Status Unexpected(std::string_view wanted) const {
    const std::string found =
        Is(Token::Kind::kEnd) ? "the template ends" : "found '" + CutText(current().text, 64) + "'";
    return ErrorAt(line(), found + " where " + std::string(wanted) + " was expected");
  }

 private:
  std::vector<Token> tokens_;
  size_t position_ = 0;
};

}  // namespace headroom::model::jinja
