// The events of one answer, all its choices, on their way from the engine to its reader. The engine never waits for a
// reader: events are kept here, max_tokens + 1 of each choice and one a step of the prompt at most, until they are
// taken.
//
// Thread-safe: the engine pushes, one reader takes, anyone cancels.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "common/clock.h"
#include "common/status.h"

namespace headroom::llm_worker {

enum class Finish : uint8_t { kNone, kStop, kLength, kCancelled };

struct AnswerUsage {
  int64_t prompt_tokens = 0;  // continued ones are not counted here
  int64_t image_tokens = 0;
  int64_t completion_tokens = 0;  // continued ones included; of all choices
};

// A token and ln of its probability, of the logits as the model gave them.
struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0;
};
// Of one position of a prompt; no logprob for the first one and those of pictures.
struct PromptLogprob {
  std::optional<float> logprob;
  std::vector<TokenLogprob> top;  // the likeliest first
};

// Where they were asked for.
struct EventLogprobs {
  std::optional<float> of_token;
  std::vector<TokenLogprob> top;      // the likeliest first
  std::vector<PromptLogprob> prompt;  // of the next positions of the prompt; before any token
};

struct AnswerEvent {
  int64_t index = 0;  // position in the answer, continued ids included
  int32_t token = 0;
  int32_t choice = 0;
  std::unique_ptr<EventLogprobs> logprobs{};
  bool has_token = false;
  Finish finish = Finish::kNone;  // not kNone: the choice's last event
  bool ends = false;              // the finish is that of the last choice
  absl::Status error{};           // not OK: the last event of all
  AnswerUsage usage{};            // last event of all only

  bool last() const { return ends || !error.ok(); }
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
