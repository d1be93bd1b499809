// From token ids to the text that a client sees: whole UTF-8 sequences, cut before the first stop string.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "model/text/detokenizer.h"
#include "model/text/tokenizer.h"

namespace headroom::gateway {

// Used by one thread. The first stop string to be complete is found wherever token borders fall, and no part of it is
// ever given out: text that could still become one is held back until it cannot.
class TextStream {
 public:
  // `tokenizer` must outlive this. `stop_strings`: not empty each; they are looked for in what comes after the first
  // `min_tokens` tokens. `shown`: special tokens that are text all the same.
  TextStream(const model::Tokenizer& tokenizer, std::vector<std::string> stop_strings, int64_t min_tokens = 0,
             std::vector<int32_t> shown = {});

  // Takes one token and returns what may be shown now. After stopped() nothing more comes.
  std::string Push(int32_t token);
  // The answer is over: what was held back. Call once.
  std::string Flush();

  // What the last token added to the text, stop string or not.
  const std::string& added() const { return added_; }
  bool stopped() const { return stopped_; }
  // Of the tokens pushed, how many more have become complete in what was given out since this was asked last: all their
  // text is out, or a stop string cuts the rest of it. What a stop string cuts off whole is never counted.
  int64_t TakeComplete();

 private:
  std::string Release(bool at_end);
  void Grow(int64_t bytes);

  const model::Tokenizer& tokenizer_;
  model::Detokenizer detokenizer_;
  std::vector<std::string> stop_strings_;
  std::string added_, held_;
  bool stopped_ = false;
  int64_t min_tokens_left_;
  // Bytes of text so far, and of it those that were given out.
  int64_t bytes_ = 0, shown_ = 0;
  struct TokenText {
    int64_t begin, end;
  };
  std::deque<TokenText> waiting_;  // of tokens that are not complete
  size_t open_ = 0;                // the last so many of them end where the text grows next
};

}  // namespace headroom::gateway
