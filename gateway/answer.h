// The way of a generated answer to its sink: thoughts and calls are told from its text on the way.
#pragma once

#include <optional>
#include <stop_token>
#include <utility>

#include "gateway/answer_parser.h"
#include "gateway/delivery.h"

namespace headroom::gateway {

// One per request; one call at a time.
class Answer {
 public:
  // As Delivery's.
  Answer(AnswerSink& sink, Executor& executor, Timers& timers, Duration unread_max, std::stop_source stop)
      : delivery_(sink, executor, timers, unread_max, std::move(stop)) {}

  // From now on tells thoughts and calls from what the answer says.
  void ParseWith(AnswerParser parser) { parser_.emplace(std::move(parser)); }
  void Granted() { delivery_.Granted(); }
  // As Delivery::Piece; one with nothing to show is done with at once.
  Task<bool> Piece(const v1::GenerateResponse& piece);
  Task<bool> Drained() { return delivery_.Drained(); }

 private:
  Delivery<v1::GenerateResponse> delivery_;
  std::optional<AnswerParser> parser_;
};

}  // namespace headroom::gateway
