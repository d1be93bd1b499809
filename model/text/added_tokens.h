// Finds added tokens (markers such as <|im_end|>) in text, before anything else looks at it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace headroom::model {

struct AddedToken {
  int32_t id = 0;
  std::string content;       // never empty
  bool special = false;      // left out of decoded text on request
  bool normalized = false;   // looked for in normalized text, not in the raw text
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it as well
  bool rstrip = false;       // and behind it
};

// A span of a text: an added token, or (id -1) ordinary text between two.
struct TextSpan {
  int32_t id;
  std::string_view text;
};

// Matches are leftmost, then longest; they do not overlap, and one that a flag rejects still hides those that begin
// inside it, as in the reference. Immutable and thread-safe.
class AddedTokenMatcher {
 public:
  AddedTokenMatcher() : AddedTokenMatcher(std::vector<AddedToken>()) {}
  // Of equal contents the last counts.
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  // Calls `emit` with the spans of `text` (valid UTF-8), in order. With `skip_special`, special tokens stay text.
  // Errors: what `emit` returns.
  absl::Status Split(std::string_view text, bool skip_special,
                     absl::FunctionRef<absl::Status(const TextSpan&)> emit) const;

 private:
  struct Node {
    int32_t token = -1;  // index in tokens_ of the content that ends here
    std::vector<std::pair<uint8_t, int32_t>> children;
  };

  // Index in tokens_ of the longest content at the start of `text`, or -1.
  int32_t LongestAt(std::string_view text) const;
  int32_t Child(int32_t node, uint8_t byte) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;               // a trie over bytes; 0 is the root
  std::array<bool, 256> starts_token_{};  // first bytes of contents
};

}  // namespace headroom::model
