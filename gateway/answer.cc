#include "gateway/answer.h"

namespace headroom::gateway {

namespace {

// All of its text was held back.
bool IsEmpty(const v1::GenerateResponse& piece) {
  return piece.text_delta().empty() && piece.reasoning_delta().empty() && piece.tool_calls().empty() &&
         piece.logprobs().empty() && piece.prompt_logprobs().empty() && !piece.has_finish();
}

}  // namespace

Task<bool> Answer::Piece(const v1::GenerateResponse& piece) {
  if (IsEmpty(piece)) co_return true;
  const bool ready = co_await delivery_.Ready();
  if (!ready) co_return false;
  if (!parser_) {
    delivery_.Hand(piece);
    co_return true;
  }
  v1::GenerateResponse parsed = piece;
  parser_->Parse(&parsed);
  if (!IsEmpty(parsed)) delivery_.Hand(parsed);
  co_return true;
}

}  // namespace headroom::gateway
