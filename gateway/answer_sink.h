// Where the answer of one request goes: an edge implements it and does no more than translate.
#pragma once

#include <functional>

#include "common/status.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway {

// The runner calls it from its own threads, one call at a time, in this order: Granted() at most once, Piece() any
// number of times, End() once. Nothing here may block. `Message`: what the answer comes in.
template <typename Message>
class PieceSink {
 public:
  virtual ~PieceSink() = default;

  // Called once, with true when the client has taken the piece and false when it never will. From any thread, also
  // before Piece() returns.
  using Taken = std::function<void(bool)>;

  // The grant is held: from now on work is done for the client. A refusal of the cluster comes before it, as End().
  virtual void Granted() = 0;
  // A piece of the answer: never empty, good during the call. The answer ends with the one whose `finish` has the
  // usage. The next one comes only when this one was taken: a sink holds one piece, however slow its client.
  virtual void Piece(const Message& piece, Taken taken) = 0;
  // The client has not taken a piece for too long: break the connection, so that the piece comes back as not taken.
  virtual void Disconnect() = 0;
  // Nothing comes after it. OK follows the last finish; an error may come at any time and has its details
  // (common/error_details.h).
  virtual void End(const absl::Status& status) = 0;
};

// Each choice ends with the piece that has its `finish`.
using AnswerSink = PieceSink<v1::GenerateResponse>;
// A piece is one of a picture.
using RowsSink = PieceSink<v1::EmbedResponse>;

}  // namespace headroom::gateway
