// The way from a request to its sink, with back pressure: a piece is handed on only when the one before was taken, and
// a client that takes none for too long is let go of.
#pragma once

#include <stop_token>
#include <utility>

#include "common/async/event.h"
#include "common/async/task.h"
#include "common/async/timers.h"
#include "gateway/answer_sink.h"

namespace headroom::gateway {

// One per request; one call at a time. `Message`: v1::GenerateResponse or v1::EmbedResponse.
template <typename Message>
class Delivery {
 public:
  // `stop` is asked to stop when the client takes nothing for `unread_max`. The others must outlive this.
  Delivery(PieceSink<Message>& sink, Executor& executor, Timers& timers, Duration unread_max, std::stop_source stop)
      : sink_(sink), timers_(timers), unread_max_(unread_max), stop_(std::move(stop)), taken_event_(executor) {}

  // The first time only: a request that moves gets another grant.
  void Granted();
  // Waits until the piece before was taken; false when the client takes no more.
  Task<bool> Ready();
  // After Ready() has said yes.
  void Hand(const Message& piece);
  // Both; false, handing on nothing, when the client takes no more.
  Task<bool> Piece(const Message& piece);
  // Waits until the last piece was taken.
  Task<bool> Drained();

 private:
  PieceSink<Message>& sink_;
  Timers& timers_;
  const Duration unread_max_;
  std::stop_source stop_;
  Event taken_event_;
  bool granted_ = false;
  bool handed_ = false;  // a piece is with the sink
  bool taken_ = true;    // the last piece was; written before taken_event_ is set
};

}  // namespace headroom::gateway
