#include "gateway/text_stream.h"

#include <algorithm>
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

}  // namespace

TextStream::TextStream(const model::Tokenizer& tokenizer, std::vector<std::string> stop_strings,
                       std::vector<int32_t> shown)
    : detokenizer_(&tokenizer, /*skip_special=*/true, std::move(shown)), stop_strings_(std::move(stop_strings)) {}

std::string TextStream::Push(int32_t token) {
  if (stopped_) return "";
  held_ += detokenizer_.Add(token);
  return Release(/*at_end=*/false);
}

std::string TextStream::Flush() {
  if (stopped_) return "";
  held_ += detokenizer_.Flush();
  return Release(/*at_end=*/true);
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
  return shown;
}

}  // namespace headroom::gateway
