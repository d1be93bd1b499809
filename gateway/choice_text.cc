#include "gateway/choice_text.h"

#include <charconv>
#include <string_view>

namespace headroom::gateway {
namespace {

using Alternatives = google::protobuf::RepeatedPtrField<v1::TokenAlternative>;

void AddTop(const model::Tokenizer& tokenizer, const Alternatives& top, v1::TokenLogprob* told) {
  for (const v1::TokenAlternative& likely : top) {
    v1::TokenLogprob& one = *told->add_top();
    one.set_token(likely.token());
    one.set_text(TokenText(tokenizer, likely.token()));
    one.set_logprob(likely.logprob());
  }
}

}  // namespace

std::string TokenText(const model::Tokenizer& tokenizer, int32_t id) {
  const std::string_view spelling = tokenizer.TokenBytes(id);
  if (tokenizer.decoder().spells_bytes() || tokenizer.IsAdded(id)) return std::string(spelling);
  // A byte as SentencePiece spells it, or its mark for a space.
  unsigned byte = 0;
  if (spelling.size() == 6 && spelling.starts_with("<0x") && spelling.ends_with('>') &&
      std::from_chars(spelling.data() + 3, spelling.data() + 5, byte, 16).ptr == spelling.data() + 5) {
    return std::string(1, static_cast<char>(byte));
  }
  constexpr std::string_view kSpace = "\u2581";
  std::string text;
  for (size_t at = 0; at < spelling.size();) {
    const bool space = spelling.substr(at).starts_with(kSpace);
    text += space ? ' ' : spelling[at];
    at += space ? kSpace.size() : 1;
  }
  return text;
}

v1::TokenLogprob ToPublic(const model::Tokenizer& tokenizer, int32_t id, const v1::PromptLogprob& told) {
  v1::TokenLogprob position;
  position.set_token(id);
  position.set_text(TokenText(tokenizer, id));
  if (told.has_logprob()) position.set_logprob(told.logprob());
  AddTop(tokenizer, told.top(), &position);
  return position;
}

void ChoiceText::Take(const v1::TokenEvent& event, v1::GenerateResponse* piece) {
  if (over()) return;
  std::string shown;
  if (event.has_token()) {
    ids_.push_back(event.token());
    if (event.finish() != v1::FINISH_REASON_STOP) {
      if (event.has_logprob()) {
        v1::TokenLogprob& told = logprobs_.emplace_back();
        told.set_token(event.token());
        told.set_text(TokenText(tokenizer_, event.token()));
        told.set_logprob(event.logprob());
        AddTop(tokenizer_, event.top(), &told);
      }
      shown = text_.Push(event.token());
      reasoning_.Add(text_.added());
    }
  }
  if (event.finish() != v1::FINISH_REASON_UNSPECIFIED) shown += text_.Flush();
  reason_ = text_.stopped() ? v1::FINISH_REASON_STOP : event.finish();
  piece->set_choice(choice_);
  piece->set_text_delta(shown);
  for (int64_t left = text_.TakeComplete(); left > 0 && !logprobs_.empty(); --left) {
    *piece->add_logprobs() = std::move(logprobs_.front());
    logprobs_.pop_front();
  }
}

}  // namespace headroom::gateway
