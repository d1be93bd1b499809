// What a handler has said and the connection has not written yet: the meeting point of their threads.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "gateway/http/exchange.h"

namespace headroom::gateway::http {

class PendingAnswer : public Exchange {
 public:
  // `wake`: called whenever there is something new to take; must not call back. Not after Gone().
  explicit PendingAnswer(std::function<void()> wake) : wake_(std::move(wake)) {}

  void Respond(Answer answer, Taken taken) override;
  void BeginStream(int status, Headers headers) override;
  void Chunk(std::string bytes, Taken taken) override;
  void EndStream(bool complete) override;
  void Disconnect() override;
  void OnGone(std::function<void()> gone) override;

  // For the connection's side.
  struct Step {
    enum class Kind : uint8_t { kWhole, kBegin, kChunk, kEnd, kBreak };
    Kind kind = Kind::kBreak;
    Answer answer = {};    // kWhole; kBegin: without body; kChunk: the body alone
    bool complete = true;  // kEnd
    Taken taken = {};
  };
  // All that there is now, in order; nothing comes after kWhole, kEnd or kBreak.
  std::vector<Step> Take();
  // Nobody is left who could say more: without an end so far, this is one.
  void LetGo();
  // The connection has ended: nothing more is taken.
  void Gone();
  // The answer was written to its end: nobody is told that the connection goes later.
  void Over();

 private:
  void Add(Step step);

  std::mutex mutex_;
  std::function<void()> wake_;
  std::function<void()> on_gone_;
  std::vector<Step> steps_;
  bool ended_ = false;  // the last step has been said
  bool gone_ = false;
  bool over_ = false;
};

}  // namespace headroom::gateway::http
