#include "model/text/detokenizer.h"

namespace headroom::model {

std::string Detokenizer::Add(int32_t id) {
  std::string text;
  const std::string_view token = tokenizer_->TokenBytes(id);
  if (!token.empty() && !(skip_special_ && tokenizer_->IsSpecial(id))) stream_.Add(token, &text);
  return text;
}

std::string Detokenizer::Flush() {
  std::string text;
  stream_.Finish(&text);
  return text;
}

}  // namespace headroom::model
