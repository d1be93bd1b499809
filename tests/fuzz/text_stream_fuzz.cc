// Stop strings of a client against the pieces of an answer.
#include <algorithm>

#include "common/check.h"
#include "common/utf8.h"
#include "gateway/text_stream.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/golden_tokenizer.h"

namespace headroom::fuzz {
namespace {

// The text before the stop string that is complete first; of two that end together, before the longer.
std::string Cut(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (text.substr(0, end).ends_with(stop)) longest = std::max(longest, stop.size());
    }
    if (longest > 0) return text.substr(0, end - longest);
  }
  return text;
}

// Lines are stop strings, the last line is the answer: its bytes are spelled in tokens of the bytes' own and, where the
// text has them, longer ones.
void Run(const std::string& input) {
  if (input.size() > 512) return;
  std::vector<std::string> stops;
  size_t begin = 0;
  for (size_t end = 0; (end = input.find('\n', begin)) != std::string::npos && stops.size() < 8; begin = end + 1) {
    const std::string stop = input.substr(begin, end - begin);
    if (!stop.empty() && IsValidUtf8(stop)) stops.push_back(stop);
  }
  std::vector<int32_t> ids;
  for (const char c : input.substr(begin)) ids.push_back(static_cast<uint8_t>(c));
  if (const auto encoded = GoldenTokenizer().Encode(input.substr(begin), model::AddedTokens::kAll); encoded.ok())
    ids = *encoded;
  gateway::TextStream stream(GoldenTokenizer(), stops);
  std::string shown;
  int64_t complete = 0;
  for (const int32_t id : ids) {
    const std::string piece = stream.Push(id);
    HEADROOM_CHECK(IsValidUtf8(piece)) << piece;
    shown += piece;
    complete += stream.TakeComplete();
  }
  shown += stream.Flush();
  complete += stream.TakeComplete();
  const auto pushed = static_cast<int64_t>(ids.size());
  HEADROOM_CHECK(stream.stopped() ? complete <= pushed : complete == pushed) << complete << " of " << pushed;
  HEADROOM_CHECK(shown == Cut(GoldenTokenizer().Decode(ids, /*skip_special=*/true), stops)) << shown;
}

std::vector<std::string> Seeds() {
  return {"###\nthe\nSo the answer ## is ### 42", "\xC3\xA9t\xC3\xA9\nl'\xC3\xA9t\xC3\xA9 <|im_end|> x",
          "aab\nab\nb\naaaaab", "no stop\n\xFF\xE2\x82 broken"};
}

const Registration registration({"text_stream", Run, Seeds});

}  // namespace
}  // namespace headroom::fuzz
