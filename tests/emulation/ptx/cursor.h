// The parser's view of the tokens, and what both of its halves (module level, function bodies) read in the same way.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tests/emulation/ptx/module.h"
#include "tests/emulation/ptx/token.h"

namespace emulation::ptx {

class Cursor {
 public:
  explicit Cursor(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& Peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  const Token& Next() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool AtEnd() const { return Peek().kind == Token::Kind::kEnd; }
  bool Accept(std::string_view text);
  void Expect(std::string_view text);
  std::string_view Word();
  int64_t Integer();
  // Consumes what stands on the line of the token that was read last.
  std::vector<Token> RestOfLine();
  void SkipBraces();  // from "{" to its "}"
  [[noreturn]] void Fail(const std::string& what) const;

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

bool IsInteger(std::string_view word);
bool IsFloat(std::string_view word);  // 0f3F800000, 0d…
int64_t ToInteger(std::string_view word);
std::vector<std::string_view> SplitDots(std::string_view word);

// `.align 4 .b8 name[12] = {…}` after the words of linkage and space; stops before "," ";" or ")".
Variable ReadVariable(Cursor& cursor, Space space);

}  // namespace emulation::ptx
