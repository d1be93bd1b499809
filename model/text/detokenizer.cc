#include "model/text/detokenizer.h"

namespace headroom::model {

std::string Detokenizer::Add(int32_t id) {
  std::string text;
  if (!skip_special_ || !tokenizer_->IsSpecial(id)) stream_.Feed(tokenizer_->TokenBytes(id), &text);
  return text;
}

std::string Detokenizer::Flush() {
  std::string text;
  stream_.Finish(&text);
  return text;
}

}  // namespace headroom::model
