#include "model/text/template_shape.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "common/status.h"

namespace headroom::model {
namespace {

constexpr std::string_view kBlank = " \t\n\r\f\v";

struct Token {
  bool is_string = false;
  std::string text;
};

class TemplateReader {
 public:
  explicit TemplateReader(std::string_view in) : in_(in) {
    // Jinja drops one newline at the end of a template.
    if (!in_.empty() && in_.back() == '\n') in_.remove_suffix(1);
  }

  absl::StatusOr<std::vector<TemplateNode>> Run() {
    while (true) {
      const size_t open = FindTag();
      AddText(open);
      if (open == std::string_view::npos) return std::move(nodes_);
      position_ = open;
      HEADROOM_RETURN_IF_ERROR(ReadTag());
    }
  }

 private:
  absl::Status Refuse(const std::string& what) const {
    return absl::InvalidArgumentError(absl::StrCat("chat_template: ", what, " at byte ", position_));
  }

  size_t FindTag() const {
    size_t at = in_.find('{', position_);
    while (at != std::string_view::npos &&
           (at + 1 == in_.size() || std::string_view("{%#").find(in_[at + 1]) == std::string_view::npos)) {
      at = in_.find('{', at + 1);
    }
    return at;
  }

  // Text from position_ up to the tag at `open` (npos: the end), with the white space taken off that tags take off.
  void AddText(size_t open) {
    std::string_view text = in_.substr(position_, open == std::string_view::npos ? open : open - position_);
    if (strip_next_) text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
    if (open != std::string_view::npos) {
      if (open + 2 < in_.size() && in_[open + 2] == '-') {
        text = text.substr(0, text.find_last_not_of(kBlank) + 1);
      } else if (in_[open + 1] != '{') {
        const size_t line = text.rfind('\n') + 1;
        if ((line > 0 || line_start_) && text.find_first_not_of(kBlank, line) == std::string_view::npos)
          text = text.substr(0, line);
      }
    }
    Append(TemplateNode::Kind::kText, std::string(text));
  }

  void Append(TemplateNode::Kind kind, std::string value) {
    const bool is_text = kind == TemplateNode::Kind::kText;
    if (is_text && value.empty()) return;
    if (is_text && !nodes_.empty() && nodes_.back().kind == kind) {
      nodes_.back().value += value;
    } else {
      nodes_.push_back({kind, std::move(value)});
    }
  }

  absl::Status ReadTag() {
    const char kind = in_[position_ + 1];
    position_ += 2;
    if (position_ < in_.size() && in_[position_] == '-') ++position_;
    if (kind == '#') {
      const size_t close = in_.find("#}", position_);
      if (close == std::string_view::npos) return Refuse("an unclosed comment");
      EndTag(close, in_[close - 1] == '-', /*is_block=*/true);
      return absl::OkStatus();
    }
    const std::string_view end = kind == '{' ? "}}" : "%}";
    std::vector<Token> tokens;
    while (true) {
      position_ = in_.find_first_not_of(kBlank, position_);
      if (position_ == std::string_view::npos) {
        position_ = in_.size();
        return Refuse("an unclosed tag");
      }
      const bool strips = in_[position_] == '-' && in_.substr(position_ + 1, 2) == end;
      if (strips || in_.substr(position_, 2) == end) {
        EndTag(position_ + (strips ? 1 : 0), strips, kind == '%');
        break;
      }
      HEADROOM_ASSIGN_OR_RETURN(Token token, ReadToken());
      tokens.push_back(std::move(token));
    }
    Canonicalize(&tokens);
    if (kind == '%') {
      Append(TemplateNode::Kind::kStatement, Join(tokens, 0, tokens.size()));
    } else {
      AddExpression(tokens);
    }
    return absl::OkStatus();
  }

  // `close`: where the two closing characters begin.
  void EndTag(size_t close, bool strips, bool is_block) {
    position_ = close + 2;
    strip_next_ = strips;
    line_start_ = is_block && position_ < in_.size() && in_[position_] == '\n';
    if (line_start_) ++position_;
  }

  absl::StatusOr<Token> ReadToken() {
    const char c = in_[position_];
    if (c == '\'' || c == '"') return ReadString(c);
    const auto is_word = [](char w) { return std::isalnum(static_cast<unsigned char>(w)) != 0 || w == '_'; };
    size_t length = 1;
    if (is_word(c)) {
      while (position_ + length < in_.size() && is_word(in_[position_ + length])) ++length;
    } else if ((c == '=' || c == '!' || c == '<' || c == '>') && in_.substr(position_ + 1, 1) == "=") {
      length = 2;
    }
    Token token{false, std::string(in_.substr(position_, length))};
    position_ += length;
    return token;
  }

  absl::StatusOr<Token> ReadString(char quote) {
    Token token{true, ""};
    for (++position_; position_ < in_.size(); ++position_) {
      char c = in_[position_];
      if (c == quote) {
        ++position_;
        return token;
      }
      if (c == '\\' && position_ + 1 < in_.size()) {
        c = in_[++position_];
        if (c == 'n') {
          c = '\n';
        } else if (c == 't') {
          c = '\t';
        } else if (c != '\\' && c != '\'' && c != '"') {
          return Refuse("an escape that is not supported");
        }
      }
      token.text += c;
    }
    return Refuse("an unclosed string");
  }

  void Canonicalize(std::vector<Token>* tokens) {
    const auto is = [&](size_t i, const char* text) {
      return i < tokens->size() && !(*tokens)[i].is_string && (*tokens)[i].text == text;
    };
    if (loop_variable_.empty() && tokens->size() >= 4 && is(0, "for") && is(2, "in"))
      loop_variable_ = (*tokens)[1].text;
    std::vector<Token> result;
    for (size_t i = 0; i < tokens->size(); ++i) {
      if (is(i, ".") && i > 0 && i + 1 < tokens->size() && !is(i - 1, "loop")) {
        result.push_back({false, "["});
        result.push_back({true, (*tokens)[++i].text});
        result.push_back({false, "]"});
        continue;
      }
      Token token = (*tokens)[i];
      if (!token.is_string && token.text == loop_variable_) token.text = "message";
      result.push_back(std::move(token));
    }
    *tokens = std::move(result);
  }

  // The terms of a sum, each as text or as an expression of its own.
  void AddExpression(const std::vector<Token>& tokens) {
    size_t start = 0;
    int depth = 0;
    for (size_t i = 0; i <= tokens.size(); ++i) {
      const std::string text = i < tokens.size() && !tokens[i].is_string ? tokens[i].text : "";
      if (text == "(" || text == "[") ++depth;
      if (text == ")" || text == "]") --depth;
      if (i < tokens.size() && (depth != 0 || text != "+")) continue;
      if (i - start == 1 && tokens[start].is_string) {
        Append(TemplateNode::Kind::kText, tokens[start].text);
      } else {
        Append(TemplateNode::Kind::kExpression, Join(tokens, start, i));
      }
      start = i + 1;
    }
  }

  static std::string Join(const std::vector<Token>& tokens, size_t begin, size_t end) {
    std::string joined;
    for (size_t i = begin; i < end; ++i) {
      const char* quote = tokens[i].is_string ? "'" : "";
      absl::StrAppend(&joined, joined.empty() ? "" : " ", quote, tokens[i].text, quote);
    }
    return joined;
  }

  std::string_view in_;
  size_t position_ = 0;
  bool strip_next_ = false;  // the last tag ended with a minus
  bool line_start_ = true;   // the text after it begins a line
  std::string loop_variable_;
  std::vector<TemplateNode> nodes_;
};

}  // namespace

absl::StatusOr<std::vector<TemplateNode>> ReadTemplate(std::string_view jinja) { return TemplateReader(jinja).Run(); }

}  // namespace headroom::model
