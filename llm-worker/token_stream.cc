#include "llm-worker/token_stream.h"

namespace headroom::llm_worker {

void TokenStream::Push(AnswerEvent event) {
  {
    std::lock_guard lock(mutex_);
    if (events_.empty()) unread_since_ = clock_.Now();
    events_.push_back(std::move(event));
  }
  on_event_();
}

std::optional<AnswerEvent> TokenStream::Take() {
  std::lock_guard lock(mutex_);
  if (events_.empty()) return std::nullopt;
  AnswerEvent event = std::move(events_.front());
  events_.pop_front();
  unread_since_ = clock_.Now();
  return event;
}

std::optional<TimePoint> TokenStream::UnreadSince() const {
  std::lock_guard lock(mutex_);
  if (events_.empty()) return std::nullopt;
  return unread_since_;
}

}  // namespace headroom::llm_worker
