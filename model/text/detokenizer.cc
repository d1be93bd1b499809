#include "model/text/detokenizer.h"

#include <algorithm>

namespace headroom::model {

bool Detokenizer::Skips(int32_t id) const {
  return skip_special_ && tokenizer_->IsSpecial(id) && std::find(shown_.begin(), shown_.end(), id) == shown_.end();
}

std::string Detokenizer::Add(int32_t id) {
  std::string text;
  const std::string_view token = tokenizer_->TokenBytes(id);
  if (!token.empty() && !Skips(id)) stream_.Add(token, &text);
  return text;
}

std::string Detokenizer::Flush() {
  std::string text;
  stream_.Finish(&text);
  return text;
}

}  // namespace headroom::model
