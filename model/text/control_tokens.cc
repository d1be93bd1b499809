#include "model/text/control_tokens.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace headroom::model {

ControlTokens::ControlTokens(const Tokenizer& tokenizer) : sizes_(256) {
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (!tokenizer.IsControl(id)) continue;
    std::string content(tokenizer.TokenBytes(id));
    if (content.empty()) continue;
    std::vector<size_t>& sizes = sizes_[static_cast<uint8_t>(content[0])];
    const auto place = std::lower_bound(sizes.begin(), sizes.end(), content.size(), std::greater<>());
    if (place == sizes.end() || *place != content.size()) sizes.insert(place, content.size());
    ids_.emplace(std::move(content), id);
  }
}

size_t ControlTokens::LongestAt(std::string_view text) const {
  for (const size_t size : sizes_[static_cast<uint8_t>(text[0])]) {
    if (size <= text.size() && ids_.contains(std::string(text.substr(0, size)))) return size;
  }
  return 0;
}

std::vector<PromptSegment> ControlTokens::Split(const std::vector<PromptSegment>& segments) const {
  std::vector<PromptSegment> split;
  for (const PromptSegment& segment : segments) {
    if (segment.kind != PromptSegment::Kind::kTemplate) {
      split.push_back(segment);
      continue;
    }
    const std::string_view text = segment.text;
    size_t plain = 0;  // what begins here is no token
    for (size_t position = 0; position < text.size();) {
      const size_t size = LongestAt(text.substr(position));
      if (size == 0) {
        ++position;
        continue;
      }
      if (position > plain) {
        split.push_back({PromptSegment::Kind::kText, std::string(text.substr(plain, position - plain)), {}});
      }
      split.push_back({PromptSegment::Kind::kControl, std::string(text.substr(position, size)), {}});
      position += size;
      plain = position;
    }
    if (plain < text.size()) split.push_back({PromptSegment::Kind::kText, std::string(text.substr(plain)), {}});
  }
  return split;
}

std::optional<int32_t> ControlTokens::FirstIn(std::string_view text) const {
  for (size_t position = 0; position < text.size(); ++position) {
    const size_t size = LongestAt(text.substr(position));
    if (size > 0) return ids_.at(std::string(text.substr(position, size)));
  }
  return std::nullopt;
}

}  // namespace headroom::model
