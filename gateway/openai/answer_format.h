// How an answer looks to a client of one endpoint.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "gateway/openai/json.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway::openai {

// What every answer says of itself.
struct AnswerHead {
  std::string request_id;
  std::string model;        // as it is served
  std::string fingerprint;  // of the model, short
  int64_t created = 0;      // seconds since 1970
};

// One per request, used by one thread at a time.
class AnswerFormat {
 public:
  virtual ~AnswerFormat() = default;

  void SetHead(AnswerHead head) { head_ = std::move(head); }
  const AnswerHead& head() const { return head_; }

  // The body of a whole answer.
  virtual std::string Whole(const v1::CompleteResponse& answer) = 0;

  // The events of a stream, framed: what stands before the first piece, what a piece becomes, and what stands behind
  // the last one. Any of them may be empty.
  virtual std::string Begin() { return ""; }
  virtual std::string Piece(const v1::GenerateResponse& piece) = 0;
  virtual std::string End() = 0;
  // The last event of a stream that failed; `error` is the body that it would have had as a whole answer.
  virtual std::string Failed(const std::string& error) { return "data: " + error + "\n\n"; }

 protected:
  static std::string Event(const Json& data) { return "data: " + WriteJson(data) + "\n\n"; }

  AnswerHead head_;
};

inline constexpr char kDoneEvent[] = "data: [DONE]\n\n";

// "stop", "length", "tool_calls".
const char* FinishWord(v1::FinishReason reason);
// The counts under the names of chat completions, those of cached, image and reasoning tokens among them.
Json UsageJson(const v1::Finish& finish);
// An entry of logprobs.content: token, logprob, bytes, top_logprobs.
Json LogprobJson(const v1::TokenLogprob& logprob);

}  // namespace headroom::gateway::openai
