#include "tests/emulation/ptx/cursor.h"

#include <cctype>
#include <cstdlib>
#include <cstring>

#include "tests/emulation/ptx/error.h"

namespace emulation::ptx {

bool Cursor::Accept(std::string_view text) {
  if (!Peek().Is(text)) return false;
  Next();
  return true;
}

void Cursor::Expect(std::string_view text) {
  if (!Accept(text)) Fail("expected '" + std::string(text) + "'");
}

std::string_view Cursor::Word() {
  if (Peek().kind != Token::Kind::kWord) Fail("expected a word");
  return Next().text;
}

int64_t Cursor::Integer() {
  const bool negative = Accept("-");
  const std::string_view word = Word();
  if (!IsInteger(word)) Fail("expected an integer");
  return negative ? -ToInteger(word) : ToInteger(word);
}

std::vector<Token> Cursor::RestOfLine() {
  const int line = tokens_[at_ - 1].line;
  std::vector<Token> rest;
  while (!AtEnd() && Peek().line == line) rest.push_back(Next());
  return rest;
}

void Cursor::SkipBraces() {
  Expect("{");
  for (int depth = 1; depth > 0;) {
    if (AtEnd()) Fail("'{' without '}'");
    const Token& token = Next();
    depth += token.Is("{") ? 1 : token.Is("}") ? -1 : 0;
  }
}

void Cursor::Fail(const std::string& what) const {
  throw Error("PTX line " + std::to_string(Peek().line) + ": " + what + " at '" + std::string(Peek().text) + "'");
}

bool IsInteger(std::string_view word) {
  return !word.empty() && std::isdigit(static_cast<unsigned char>(word[0])) && !IsFloat(word);
}

bool IsFloat(std::string_view word) {
  if (word.size() < 3 || word[0] != '0') return false;
  return (std::tolower(word[1]) == 'f' && word.size() == 10) || (std::tolower(word[1]) == 'd' && word.size() == 18);
}

int64_t ToInteger(std::string_view word) {
  if (IsFloat(word)) return static_cast<int64_t>(std::strtoull(std::string(word.substr(2)).c_str(), nullptr, 16));
  if (word.back() == 'U') word.remove_suffix(1);
  if (word.size() > 2 && (word.substr(0, 2) == "0b" || word.substr(0, 2) == "0B")) {
    return static_cast<int64_t>(std::strtoull(std::string(word.substr(2)).c_str(), nullptr, 2));
  }
  return static_cast<int64_t>(std::strtoull(std::string(word).c_str(), nullptr, 0));
}

std::vector<std::string_view> SplitDots(std::string_view word) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t dot = word.find('.');
    parts.push_back(word.substr(0, dot));
    if (dot == std::string_view::npos) return parts;
    word.remove_prefix(dot + 1);
  }
}

namespace {

void ReadInitialValue(Cursor& cursor, Variable& variable, int64_t offset, int size) {
  const bool negative = cursor.Accept("-");
  const std::string_view word = cursor.Word();
  if (IsInteger(word) || IsFloat(word)) {
    int64_t value = ToInteger(word);
    if (negative) value = -value;
    // 0xFF00(name) picks one byte of an address; nvcc writes it only for packed structures.
    if (cursor.Peek().Is("(")) cursor.Fail("byte of an address in an initial value is not known");
    std::memcpy(variable.initial.data() + offset, &value, size);
    return;
  }
  const bool generic = word == "generic" && cursor.Accept("(");
  std::string symbol(generic ? cursor.Word() : word);
  const int64_t addend = cursor.Accept("+") ? cursor.Integer() : 0;
  if (generic) cursor.Expect(")");
  if (size != 8) cursor.Fail("an address needs 8 bytes");
  variable.pointers.push_back({offset, std::move(symbol), addend, generic});
}

void ReadInitialValues(Cursor& cursor, Variable& variable) {
  const int size = SizeOf(variable.type);
  variable.initial.resize(variable.bytes);
  int64_t offset = 0;
  auto value = [&] {
    if (offset + size > variable.bytes) cursor.Fail("more initial values than " + variable.name + " holds");
    ReadInitialValue(cursor, variable, offset, size);
    offset += size;
  };
  if (!cursor.Accept("{")) return value();
  int depth = 1;
  while (depth > 0) {
    if (cursor.Accept("{")) {
      depth++;
    } else if (cursor.Accept("}")) {
      depth--;
    } else if (!cursor.Accept(",")) {
      value();
    }
  }
}

}  // namespace

Variable ReadVariable(Cursor& cursor, Space space) {
  Variable variable;
  variable.space = space;
  bool aligned = false;
  int elements = 1;
  while (cursor.Peek().kind == Token::Kind::kWord && cursor.Peek().text[0] == '.') {
    const std::string_view word = cursor.Word().substr(1);
    if (word == "align") {
      const int64_t alignment = cursor.Integer();
      // After .ptr the alignment is that of what the parameter points to.
      if (!aligned) variable.alignment = alignment;
      aligned = true;
    } else if (word == "ptr") {
      aligned = true;
      variable.alignment = SizeOf(variable.type);
    } else if (word == "v2" || word == "v4") {
      elements = word[1] - '0';
    } else if (TypeFromName(word) != Type::kNone) {
      variable.type = TypeFromName(word);
    } else if (word == "attribute") {
      cursor.Fail("managed variables are not known");
    }  // else .global, .shared, … as the space a .ptr parameter points into
  }
  if (!aligned) variable.alignment = static_cast<int64_t>(SizeOf(variable.type)) * elements;
  variable.name = cursor.Word();
  variable.bytes = static_cast<int64_t>(SizeOf(variable.type)) * elements;
  while (cursor.Accept("[")) {
    variable.bytes *= cursor.Peek().Is("]") ? 0 : cursor.Integer();
    cursor.Expect("]");
  }
  if (cursor.Accept("=")) ReadInitialValues(cursor, variable);
  return variable;
}

}  // namespace emulation::ptx
