// From token ids to the text that a client sees: whole UTF-8 sequences, cut before the first stop string.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/text/detokenizer.h"
#include "model/text/tokenizer.h"

namespace headroom::gateway {

// Used by one thread. The first stop string to be complete is found wherever token borders fall, and no part of it is
// ever given out: text that could still become one is held back until it cannot.
class TextStream {
 public:
  // `tokenizer` must outlive this. `stop_strings`: not empty each. `shown`: special tokens that are text all the same.
  TextStream(const model::Tokenizer& tokenizer, std::vector<std::string> stop_strings, std::vector<int32_t> shown = {});

  // Takes one token and returns what may be shown now. After stopped() nothing more comes.
  std::string Push(int32_t token);
  // The answer is over: what was held back. Call once.
  std::string Flush();

  bool stopped() const { return stopped_; }

 private:
  std::string Release(bool at_end);

  model::Detokenizer detokenizer_;
  std::vector<std::string> stop_strings_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace headroom::gateway
