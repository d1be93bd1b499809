#include "model/text/added_tokens.h"

#include "common/status.h"
#include "common/utf8.h"
#include "model/text/unicode.h"

namespace headroom::model {
namespace {

// Start of the last character of the non-empty `text`.
size_t LastCharacter(std::string_view text) { return CharacterStart(text, text.size() - 1); }

bool EndsWithWord(std::string_view text) {
  if (text.empty()) return false;
  size_t position = LastCharacter(text);
  return IsWordCharacter(NextCodePoint(text, &position));
}

bool StartsWithWord(std::string_view text) {
  size_t position = 0;
  return !text.empty() && IsWordCharacter(NextCodePoint(text, &position));
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)), nodes_(1) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    int32_t node = 0;
    for (char c : tokens_[i].content) {
      const uint8_t byte = static_cast<uint8_t>(c);
      int32_t child = Child(node, byte);
      if (child < 0) {
        child = static_cast<int32_t>(nodes_.size());
        nodes_[static_cast<size_t>(node)].children.emplace_back(byte, child);
        nodes_.emplace_back();
      }
      node = child;
    }
    nodes_[static_cast<size_t>(node)].token = static_cast<int32_t>(i);
    starts_token_[static_cast<uint8_t>(tokens_[i].content[0])] = true;
  }
}

int32_t AddedTokenMatcher::Child(int32_t node, uint8_t byte) const {
  for (const auto& [edge, child] : nodes_[static_cast<size_t>(node)].children) {
    if (edge == byte) return child;
  }
  return -1;
}

int32_t AddedTokenMatcher::LongestAt(std::string_view text) const {
  int32_t longest = -1;
  int32_t node = 0;
  for (char c : text) {
    node = Child(node, static_cast<uint8_t>(c));
    if (node < 0) break;
    const int32_t token = nodes_[static_cast<size_t>(node)].token;
    if (token >= 0) longest = token;
  }
  return longest;
}

absl::Status AddedTokenMatcher::Split(std::string_view text, bool skip_special,
                                      absl::FunctionRef<absl::Status(const TextSpan&)> emit) const {
  size_t done = 0;  // all before was emitted
  for (size_t position = tokens_.empty() ? text.size() : 0; position < text.size();) {
    const int32_t index = starts_token_[static_cast<uint8_t>(text[position])] ? LongestAt(text.substr(position)) : -1;
    if (index < 0) {
      ++position;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<size_t>(index)];
    size_t begin = position;
    size_t end = position + token.content.size();
    position = end;
    if (skip_special && token.special) continue;
    if (token.single_word && (EndsWithWord(text.substr(0, begin)) || StartsWithWord(text.substr(end)))) continue;
    // White space that an earlier token took stays with it.
    if (token.lstrip) begin -= TrailingSpaceBytes(text.substr(done, begin - done));
    // No other token is found in white space that this one takes. The reference gives it twice, or breaks.
    if (token.rstrip) end += LeadingSpaceBytes(text.substr(end));
    position = end;
    if (begin > done) HEADROOM_RETURN_IF_ERROR(emit({-1, text.substr(done, begin - done)}));
    HEADROOM_RETURN_IF_ERROR(emit({token.id, text.substr(begin, end - begin)}));
    done = end;
  }
  return done < text.size() ? emit({-1, text.substr(done)}) : absl::OkStatus();
}

}  // namespace headroom::model
