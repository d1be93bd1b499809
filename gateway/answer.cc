#include "gateway/answer.h"

#include "common/log.h"

namespace headroom::gateway {

namespace {

// All of its text was held back.
bool IsEmpty(const v1::GenerateResponse& piece) {
  return piece.text_delta().empty() && piece.reasoning_delta().empty() && piece.tool_calls().empty() &&
         piece.logprobs().empty() && piece.prompt_logprobs().empty() && !piece.has_finish();
}

}  // namespace

void Answer::Granted() {
  if (!granted_) sink_.Granted();
  granted_ = true;
}

Task<bool> Answer::Piece(const v1::GenerateResponse& piece) {
  if (IsEmpty(piece)) co_return true;
  const bool drained = co_await Drained();
  if (!drained || stop_.stop_requested()) co_return false;
  if (!parser_) {
    sink_.Piece(piece, Hand());
    co_return true;
  }
  v1::GenerateResponse parsed = piece;
  parser_->Parse(&parsed);
  if (IsEmpty(parsed)) co_return true;
  sink_.Piece(parsed, Hand());
  co_return true;
}

Task<bool> Answer::Drained() {
  if (!handed_) co_return taken_;
  if (!taken_event_.is_set()) {
    const Timer unread(timers_, SystemClock().Now() + unread_max_, [this] {
      Log(LogLevel::kWarning, "gateway", "client does not read: call cancelled");
      stop_.request_stop();
      sink_.Disconnect();
    });
    co_await taken_event_;
  }
  handed_ = false;
  co_return taken_;
}

AnswerSink::Taken Answer::Hand() {
  handed_ = true;
  taken_event_.Reset();
  return [this](bool taken) {
    taken_ = taken;
    taken_event_.Set();
  };
}

}  // namespace headroom::gateway
