// Finds the special tokens that a chat template wrote.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "model/text/chat_template.h"
#include "model/text/tokenizer.h"

namespace headroom::model {

// Immutable and thread-safe.
class ControlTokens {
 public:
  // Those of `tokenizer`: added tokens that are not text (Tokenizer::IsControl).
  explicit ControlTokens(const Tokenizer& tokenizer);

  // The segments with those of the template cut into control tokens and text. Matches are leftmost, then longest. A
  // token must stand in one stretch of the template: what a caller wrote is never part of one.
  std::vector<PromptSegment> Split(const std::vector<PromptSegment>& segments) const;

  // The first one in `text`.
  std::optional<int32_t> FirstIn(std::string_view text) const;

 private:
  // Bytes of the longest token that begins at the start of `text`; 0 when there is none.
  size_t LongestAt(std::string_view text) const;

  absl::flat_hash_map<std::string, int32_t> ids_;
  // By first byte: the sizes of the tokens that begin so, the longest first.
  std::vector<std::vector<size_t>> sizes_;
};

}  // namespace headroom::model
