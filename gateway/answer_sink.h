// Where the answer of one request goes: an edge (gRPC today) implements it and does no more than translate.
#pragma once

#include <functional>
#include <string>

#include "common/status.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway {

// The runner calls it from its own threads, one call at a time, in this order: Granted() at most once, Text() any
// number of times, Finish() for a whole answer, End() once. Nothing here may block.
class AnswerSink {
 public:
  virtual ~AnswerSink() = default;

  // Called once, with true when the client has taken the piece and false when it never will. From any thread, also
  // before Text() or Finish() returns.
  using Taken = std::function<void(bool)>;

  // The grant is held: from now on work is done for the client. A refusal of the cluster comes before it, as End().
  virtual void Granted() = 0;
  // A piece of the answer. The next one comes only when this one was taken: a sink holds one piece, however slow its
  // client.
  virtual void Text(const std::string& text, Taken taken) = 0;
  virtual void Finish(const v1::Finish& finish, Taken taken) = 0;
  // The client has not taken a piece for too long: break the connection, so that the piece comes back as not taken.
  virtual void Disconnect() = 0;
  // Nothing comes after it. OK follows Finish(); an error may come at any time and has its details
  // (common/error_details.h).
  virtual void End(const absl::Status& status) = 0;
};

}  // namespace headroom::gateway
