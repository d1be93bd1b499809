#include "model/text/jinja/lexer.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "common/status.h"
#include "common/utf8.h"
#include "model/text/jinja/characters.h"
#include "model/text/jinja/string_literal.h"

namespace headroom::model::jinja {
namespace {

using Kind = Token::Kind;

// All newlines as "\n"; the last one goes.
std::string WithPlainNewlines(const std::string& source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    text += source[i] == '\r' ? '\n' : source[i];
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool StartsName(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

size_t SpaceEnd(std::string_view text, size_t position) {
  while (position < text.size()) {
    size_t next = position;
    if (!IsSpace(NextCodePoint(text, &next))) break;
    position = next;
  }
  return position;
}

std::string_view WithoutSpaceBehind(std::string_view text) {
  while (!text.empty()) {
    const size_t last = CharacterStart(text, text.size() - 1);
    size_t position = last;
    if (!IsSpace(NextCodePoint(text, &position))) break;
    text = text.substr(0, last);
  }
  return text;
}

class Lexer {
 public:
  explicit Lexer(const std::string& source) : text_(WithPlainNewlines(source)), rest_(text_) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (position_ < text_.size()) HEADROOM_RETURN_IF_ERROR(ReadData());
    Add(Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  void Add(Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), 0, 0, line_}); }

  bool At(std::string_view word) const { return rest_.substr(position_).starts_with(word); }

  void Advance(size_t end) {
    line_ += static_cast<int>(std::count(text_.begin() + static_cast<ptrdiff_t>(position_),
                                         text_.begin() + static_cast<ptrdiff_t>(end), '\n'));
    begins_line_ = end > position_ ? text_[end - 1] == '\n' : begins_line_;
    position_ = end;
  }

  // Text up to the next tag, and that tag.
  absl::Status ReadData() {
    size_t tag = position_;
    while (true) {
      tag = rest_.find('{', tag);
      if (tag == std::string_view::npos || tag + 1 >= text_.size()) {
        AddData(rest_.substr(position_));
        Advance(text_.size());
        return absl::OkStatus();
      }
      const char kind = text_[tag + 1];
      if (kind == '{' || kind == '%' || kind == '#') break;
      ++tag;
    }
    const char kind = text_[tag + 1];
    const char sign = tag + 2 < text_.size() ? text_[tag + 2] : '\0';
    AddData(BeforeTag(rest_.substr(position_, tag - position_), kind, sign));
    Advance(tag + 2 + (sign == '-' || sign == '+' ? 1 : 0));
    if (kind == '#') return SkipComment();
    if (kind == '%' && TakeRawBegin()) return ReadRaw();
    return ReadTag(kind == '%' ? Kind::kBlockBegin : Kind::kVariableBegin);
  }

  void AddData(std::string_view data) {
    if (!data.empty()) Add(Kind::kData, std::string(data));
  }

  // White space that the tag takes from the text before it.
  std::string_view BeforeTag(std::string_view data, char kind, char sign) const {
    if (sign == '-') return WithoutSpaceBehind(data);
    if (sign == '+' || kind == '{') return data;
    const size_t newline = data.rfind('\n');
    const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
    if (line == 0 && !begins_line_) return data;
    return SpaceEnd(data, line) == data.size() ? data.substr(0, line) : data;
  }

  // Behind the end of a statement or comment whose closing sign, if any, is `sign`.
  void SkipBehindTag(char sign) {
    if (sign == '-') {
      Advance(SpaceEnd(text_, position_));
    } else if (sign != '+' && position_ < text_.size() && text_[position_] == '\n') {
      Advance(position_ + 1);
    }
  }

  absl::Status SkipComment() {
    const size_t end = rest_.find("#}", position_);
    if (end == std::string_view::npos) return ErrorAt(line_, "a comment has no end");
    const char sign = end > position_ ? text_[end - 1] : '\0';
    Advance(end + 2);
    SkipBehindTag(sign);
    return absl::OkStatus();
  }

  // `raw %}` and the like: what "{%" begins here.
  bool TakeRawBegin() {
    const size_t name = SpaceEnd(text_, position_);
    if (!rest_.substr(name).starts_with("raw")) return false;
    const size_t end = SpaceEnd(text_, name + 3);
    const bool strips = rest_.substr(end).starts_with("-%}");
    if (!strips && !rest_.substr(end).starts_with("%}")) return false;
    Advance(end + (strips ? 3 : 2));
    if (strips) Advance(SpaceEnd(text_, position_));
    return true;
  }

  absl::Status ReadRaw() {
    for (size_t tag = rest_.find("{%", position_); tag != std::string_view::npos; tag = rest_.find("{%", tag + 2)) {
      const char sign = tag + 2 < text_.size() ? text_[tag + 2] : '\0';
      size_t end = SpaceEnd(text_, tag + 2 + (sign == '-' || sign == '+' ? 1 : 0));
      if (!rest_.substr(end).starts_with("endraw")) continue;
      end = SpaceEnd(text_, end + 6);
      const char closing = end < text_.size() ? text_[end] : '\0';
      if (closing == '-' || closing == '+') ++end;
      if (!rest_.substr(end).starts_with("%}")) continue;
      AddData(BeforeTag(rest_.substr(position_, tag - position_), '%', sign));
      Advance(end + 2);
      SkipBehindTag(closing);
      return absl::OkStatus();
    }
    return ErrorAt(line_, "a raw block has no end");
  }

  absl::Status ReadTag(Kind begin) {
    const int line = line_;
    const bool block = begin == Kind::kBlockBegin;
    const std::string_view close = block ? "%}" : "}}";
    Add(begin, block ? "{%" : "{{");
    std::string open;  // brackets
    while (true) {
      Advance(SpaceEnd(text_, position_));
      if (position_ >= text_.size())
        return ErrorAt(line, block ? "a statement has no end" : "an expression has no end");
      const char sign = text_[position_];
      const bool has_sign = sign == '-' || (block && sign == '+');
      if (open.empty() && rest_.substr(position_ + (has_sign ? 1 : 0)).starts_with(close)) {
        Add(block ? Kind::kBlockEnd : Kind::kVariableEnd, std::string(close));
        Advance(position_ + (has_sign ? 3 : 2));
        if (block || has_sign) SkipBehindTag(has_sign ? sign : '\0');
        return absl::OkStatus();
      }
      HEADROOM_RETURN_IF_ERROR(ReadToken(&open));
    }
  }

  absl::Status ReadToken(std::string* open) {
    const char first = text_[position_];
    if (IsDigit(first)) return ReadNumber();
    if (first == '\'' || first == '"') return ReadString(first);
    if (StartsName(first)) {
      size_t end = position_;
      while (end < text_.size() && (StartsName(text_[end]) || IsDigit(text_[end]))) ++end;
      Add(Kind::kName, text_.substr(position_, end - position_));
      Advance(end);
      return absl::OkStatus();
    }
    return ReadOperator(open);
  }

  absl::Status ReadOperator(std::string* open) {
    static constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                      "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                      ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    const auto* const found =
        std::find_if(std::begin(kOperators), std::end(kOperators), [&](std::string_view word) { return At(word); });
    if (found == std::end(kOperators)) {
      size_t end = position_;
      NextCodePoint(text_, &end);
      return ErrorAt(line_, "unexpected character '" + text_.substr(position_, end - position_) + "'");
    }
    const char bracket = (*found)[0];
    if (bracket == '(' || bracket == '[' || bracket == '{') {
      *open += bracket == '(' ? ')' : bracket == '[' ? ']' : '}';
    } else if (bracket == ')' || bracket == ']' || bracket == '}') {
      if (!open->ends_with(bracket)) return ErrorAt(line_, std::string("unexpected '") + bracket + "'");
      open->pop_back();
    }
    Add(Kind::kOperator, std::string(*found));
    Advance(position_ + found->size());
    return absl::OkStatus();
  }

  absl::Status ReadString(char quote) {
    size_t end = position_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) return ErrorAt(line_, "a string has no end");
    absl::StatusOr<std::string> content = ResolveEscapes(rest_.substr(position_ + 1, end - position_ - 1));
    if (!content.ok()) return ErrorAt(line_, std::string(content.status().message()));
    Add(Kind::kString, *std::move(content));
    Advance(end + 1);
    return absl::OkStatus();
  }

  // Digits with "_" between them; where they end.
  size_t DigitsEnd(size_t position) const {
    const auto digit_at = [&](size_t at) { return at < text_.size() && IsDigit(text_[at]); };
    while (digit_at(position) || (position < text_.size() && text_[position] == '_' && digit_at(position + 1)))
      ++position;
    return position;
  }

  absl::Status ReadNumber() {
    const std::string_view radix = rest_.substr(position_, 2);
    for (const auto& [prefix, base] : {std::pair("0x", 16), {"0X", 16}, {"0o", 8}, {"0O", 8}, {"0b", 2}, {"0B", 2}}) {
      if (radix == prefix) return ReadInteger(position_ + 2, base);
    }
    size_t end = DigitsEnd(position_);
    const size_t whole = end;
    const auto digit_at = [&](size_t at) { return at < text_.size() && IsDigit(text_[at]); };
    // "x.1.2" are two subscripts.
    const bool subscript = position_ > 0 && text_[position_ - 1] == '.';
    if (!subscript && end < text_.size() && text_[end] == '.' && digit_at(end + 1)) end = DigitsEnd(end + 1);
    if (!subscript && end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
      const bool sign = end + 1 < text_.size() && (text_[end + 1] == '+' || text_[end + 1] == '-');
      if (digit_at(end + (sign ? 2 : 1))) end = DigitsEnd(end + (sign ? 2 : 1));
    }
    if (end == whole) return ReadInteger(position_, 10);
    std::string digits = text_.substr(position_, end - position_);
    std::erase(digits, '_');
    Add(Kind::kFloat, digits);
    std::from_chars(digits.data(), digits.data() + digits.size(), tokens_.back().number);
    Advance(end);
    return absl::OkStatus();
  }

  absl::Status ReadInteger(size_t begin, int base) {
    size_t end = begin;
    while (end < text_.size() && (StartsName(text_[end]) || IsDigit(text_[end]))) ++end;
    std::string digits = text_.substr(begin, end - begin);
    std::erase(digits, '_');
    int64_t value = 0;
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    const bool leading_zero = base == 10 && digits.size() > 1 && digits[0] == '0' && value != 0;
    if (result.ec != std::errc() || result.ptr != digits.data() + digits.size() || leading_zero) {
      return ErrorAt(line_, "'" + CutText(digits, 64) + "' is no integer of at most 64 bits");
    }
    Add(Kind::kInteger, digits);
    tokens_.back().integer = value;
    Advance(end);
    return absl::OkStatus();
  }

  const std::string text_;
  const std::string_view rest_;  // all of text_
  size_t position_ = 0;
  int line_ = 1;
  bool begins_line_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

absl::Status ErrorAt(int line, const std::string& message) {
  return absl::InvalidArgumentError(absl::StrCat("chat template, line ", line, ": ", CutText(message, 512)));
}

absl::StatusOr<std::vector<Token>> Tokenize(const std::string& source) {
  if (!IsValidUtf8(source)) return absl::InvalidArgumentError("chat template: not valid UTF-8");
  return Lexer(source).Run();
}

}  // namespace headroom::model::jinja
