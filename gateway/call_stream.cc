#include "gateway/call_stream.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace headroom::gateway {
namespace {

// Reads JSON that may end anywhere: each method is false where it does, or where something else stands.
class Head {
 public:
  explicit Head(std::string_view text) : text_(text) {}

  bool Mark(char mark) {
    SkipSpace();
    if (at_ >= text_.size() || text_[at_] != mark) return false;
    ++at_;
    return true;
  }
  bool Text(std::string* value) {
    SkipSpace();
    const size_t begin = at_;
    if (!Mark('"')) return false;
    while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
    if (at_ >= text_.size()) return false;
    ++at_;
    const auto json = nlohmann::json::parse(text_.substr(begin, at_ - begin), nullptr, /*allow_exceptions=*/false);
    if (!json.is_string()) return false;
    *value = json.get<std::string>();
    return true;
  }
  void SkipSpace() { at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size()); }
  std::string_view rest() const { return text_.substr(at_); }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

void CallStream::Add(std::string_view text) {
  if (state_ == State::kArguments) return ReadArguments(text);
  if (state_ == State::kOver) return;
  head_ += text;
  ReadHead();
}

void CallStream::ReadHead() {
  Head head(head_);
  std::string name, key;
  if (!head.Mark('{') || !head.Text(&key) || key != "name" || !head.Mark(':') || !head.Text(&name)) return;
  if (!head.Mark(',') || !head.Text(&key) || key != "arguments" || !head.Mark(':')) return;
  head.SkipSpace();
  state_ = State::kArguments;
  name_ = std::move(name);
  ReadArguments(head.rest());
}

void CallStream::ReadArguments(std::string_view text) {
  for (const char c : text) {
    const bool space = c == ' ' || c == '\t' || c == '\r' || c == '\n';
    if (depth_ == 0 && space) continue;  // before the object
    arguments_ += c;
    if (in_string_) {
      in_string_ = escaped_ || c != '"';
      escaped_ = !escaped_ && c == '\\';
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if ((c == '}' || c == ']') && --depth_ == 0) {
      state_ = State::kOver;
      return;
    }
  }
}

std::string CallStream::TakeArguments() { return std::exchange(arguments_, {}); }

}  // namespace headroom::gateway
