// One choice of an answer on its way: from token events to the pieces that a client sees, text and logprobs together.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "gateway/reasoning_tokens.h"
#include "gateway/text_stream.h"
#include "headroom/v1/gateway.pb.h"
#include "headroom/v1/llm.pb.h"
#include "model/text/tokenizer.h"

namespace headroom::gateway {

// Used by one thread.
class ChoiceText {
 public:
  // As TextStream and ReasoningTokens.
  ChoiceText(const model::Tokenizer& tokenizer, int32_t choice, TextStream text, ReasoningTokens reasoning)
      : tokenizer_(tokenizer), choice_(choice), text_(std::move(text)), reasoning_(std::move(reasoning)) {}

  // Takes one event; the text and the logprobs that the client may see now go into `piece`. Nothing after over().
  void Take(const v1::TokenEvent& event, v1::GenerateResponse* piece);

  int32_t choice() const { return choice_; }
  // Tokens so far: what a new worker continues from.
  const std::vector<int32_t>& ids() const { return ids_; }
  bool over() const { return reason_ != v1::FINISH_REASON_UNSPECIFIED; }
  // A stop string was found: the worker does not know.
  bool stopped() const { return text_.stopped(); }
  v1::FinishReason reason() const { return reason_; }
  int64_t reasoning_tokens() const { return reasoning_.count(); }

 private:
  const model::Tokenizer& tokenizer_;
  const int32_t choice_;
  TextStream text_;
  ReasoningTokens reasoning_;
  std::vector<int32_t> ids_;
  std::deque<v1::TokenLogprob> logprobs_;  // of tokens whose text is not complete
  v1::FinishReason reason_ = v1::FINISH_REASON_UNSPECIFIED;
};

// Bytes of a token by itself, which need not be whole characters.
std::string TokenText(const model::Tokenizer& tokenizer, int32_t id);
// A position of the prompt, of the token `id`.
v1::TokenLogprob ToPublic(const model::Tokenizer& tokenizer, int32_t id, const v1::PromptLogprob& told);

}  // namespace headroom::gateway
