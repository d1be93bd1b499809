#include "gateway/text_stream.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace headroom::gateway {
namespace {

// Length of the longest suffix of `text` that is a proper prefix of `stop`.
size_t OpenPrefix(const std::string& text, const std::string& stop) {
  for (size_t length = std::min(text.size(), stop.size() - 1); length > 0; --length) {
    if (text.compare(text.size() - length, length, stop, 0, length) == 0) return length;
  }
  return 0;
}

// Of bytes that need not begin at a character's start: whether their last character goes on behind them.
bool EndsInsideCharacter(std::string_view bytes) {
  for (size_t back = 1; back <= std::min<size_t>(3, bytes.size()); ++back) {
    const auto byte = static_cast<unsigned char>(bytes[bytes.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;
    const size_t whole = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    return whole > back;
  }
  return false;
}

}  // namespace

TextStream::TextStream(const model::Tokenizer& tokenizer, std::vector<std::string> stop_strings, int64_t min_tokens,
                       std::vector<int32_t> shown)
    : tokenizer_(tokenizer),
      detokenizer_(&tokenizer, /*skip_special=*/true, std::move(shown)),
      stop_strings_(std::move(stop_strings)),
      min_tokens_left_(min_tokens) {}

std::string TextStream::Push(int32_t token) {
  if (stopped_) return "";
  added_ = detokenizer_.Add(token);
  const int64_t begin = bytes_;
  Grow(static_cast<int64_t>(added_.size()));
  waiting_.push_back({.begin = begin, .end = bytes_});
  if (added_.empty() || EndsInsideCharacter(tokenizer_.TokenBytes(token))) ++open_;
  held_ += added_;
  if (min_tokens_left_ > 0) {
    --min_tokens_left_;
    shown_ = bytes_;
    return std::exchange(held_, "");
  }
  return Release(/*at_end=*/false);
}

std::string TextStream::Flush() {
  if (stopped_) return "";
  const std::string text = detokenizer_.Flush();
  Grow(static_cast<int64_t>(text.size()));
  held_ += text;
  open_ = 0;
  return Release(/*at_end=*/true);
}

void TextStream::Grow(int64_t bytes) {
  bytes_ += bytes;
  if (bytes == 0) return;
  for (; open_ > 0; --open_) waiting_[waiting_.size() - open_].end = bytes_;
}

int64_t TextStream::TakeComplete() {
  int64_t complete = 0;
  while (!waiting_.empty() && (stopped_ || waiting_.size() > open_)) {
    const TokenText& first = waiting_.front();
    if (stopped_ ? first.begin >= shown_ : first.end > shown_) break;
    waiting_.pop_front();
    ++complete;
  }
  return complete;
}

std::string TextStream::Release(bool at_end) {
  // The stop string that is complete first ends the answer, wherever token borders fall; of two that end together, the
  // longer.
  size_t cut = std::string::npos;
  size_t end = std::string::npos;
  for (const std::string& stop : stop_strings_) {
    const size_t begin = held_.find(stop);
    if (begin == std::string::npos || begin + stop.size() > end) continue;
    if (begin + stop.size() < end || begin < cut) cut = begin;
    end = begin + stop.size();
  }
  size_t keep = 0;
  if (cut != std::string::npos) {
    stopped_ = true;
    held_.resize(cut);
  } else if (!at_end) {
    for (const std::string& stop : stop_strings_) keep = std::max(keep, OpenPrefix(held_, stop));
  }
  std::string shown = held_.substr(0, held_.size() - keep);
  held_.erase(0, shown.size());
  shown_ += static_cast<int64_t>(shown.size());
  return shown;
}

}  // namespace headroom::gateway
