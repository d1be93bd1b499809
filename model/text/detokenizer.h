// Text of a stream of ids, as early as it is certain: no result splits a UTF-8 sequence, and all results together are
// what Tokenizer::Decode gives for all ids. Not thread-safe; one object per stream.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/text/decoder.h"
#include "model/text/tokenizer.h"

namespace headroom::model {

class Detokenizer {
 public:
  // `tokenizer` must outlive this. `skip_special` leaves special tokens out, but those in `shown`.
  Detokenizer(const Tokenizer* tokenizer, bool skip_special, std::vector<int32_t> shown = {})
      : tokenizer_(tokenizer), skip_special_(skip_special), shown_(std::move(shown)), stream_(&tokenizer->decoder()) {}

  // Text that `id` completes; may be empty.
  std::string Add(int32_t id);
  // What is left at the end: U+FFFD for an unfinished character, else nothing or what the decoder held back. Add may
  // follow and starts afresh.
  std::string Flush();

 private:
  bool Skips(int32_t id) const;

  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::vector<int32_t> shown_;
  Decoder::Stream stream_;
};

}  // namespace headroom::model
