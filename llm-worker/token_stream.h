// The events of one answer on their way from the engine to its reader. The engine never waits for a reader: events are
// kept here, at most max_tokens + 1 of them, until they are taken.
//
// Thread-safe: the engine pushes, one reader takes, anyone cancels.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>

#include "common/clock.h"
#include "common/status.h"

namespace headroom::llm_worker {

enum class Finish : uint8_t { kNone, kStop, kLength, kCancelled };

struct AnswerUsage {
  int64_t prompt_tokens = 0;  // continued ones are not counted here
  int64_t image_tokens = 0;
  int64_t completion_tokens = 0;  // continued ones included
};

struct AnswerEvent {
  int64_t index = 0;  // position in the answer, continued ids included
  int32_t token = 0;
  bool has_token = false;
  Finish finish = Finish::kNone;  // not kNone: the last event
  absl::Status error{};           // not OK: the last event
  AnswerUsage usage{};            // last event only

  bool last() const { return finish != Finish::kNone || !error.ok(); }
};

class TokenStream {
 public:
  // `on_event` runs on the pushing thread after each push, without a lock held; it must not block.
  TokenStream(Clock& clock, std::function<void()> on_event) : clock_(clock), on_event_(std::move(on_event)) {}

  void Push(AnswerEvent event);
  std::optional<AnswerEvent> Take();

  // The reader is gone or the deadline has passed. The engine frees the sequence within one step.
  void Cancel() { cancelled_.store(true, std::memory_order_release); }
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }

  // Since when events wait and the reader takes none; nothing while no event waits.
  std::optional<TimePoint> UnreadSince() const;

 private:
  Clock& clock_;
  const std::function<void()> on_event_;
  std::atomic<bool> cancelled_ = false;
  mutable std::mutex mutex_;
  std::deque<AnswerEvent> events_;
  TimePoint unread_since_;
};

}  // namespace headroom::llm_worker
