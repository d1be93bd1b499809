#include "gateway/http/pending_answer.h"

#include <utility>

namespace headroom::gateway::http {

using Kind = PendingAnswer::Step::Kind;

void PendingAnswer::Respond(Answer answer, Taken taken) {
  Add({.kind = Kind::kWhole, .answer = std::move(answer), .taken = std::move(taken)});
}

void PendingAnswer::BeginStream(int status, Headers headers) {
  Add({.kind = Kind::kBegin, .answer = {.status = status, .headers = std::move(headers), .body = {}}});
}

void PendingAnswer::Chunk(std::string bytes, Taken taken) {
  Add({.kind = Kind::kChunk, .answer = {.body = std::move(bytes)}, .taken = std::move(taken)});
}

void PendingAnswer::EndStream(bool complete) { Add({.kind = Kind::kEnd, .complete = complete}); }

void PendingAnswer::Disconnect() { Add({.kind = Kind::kBreak}); }

void PendingAnswer::LetGo() {
  {
    std::lock_guard lock(mutex_);
    if (ended_) return;
  }
  Disconnect();
}

void PendingAnswer::Add(Step step) {
  {
    std::lock_guard lock(mutex_);
    ended_ = ended_ || step.kind == Kind::kWhole || step.kind == Kind::kEnd;
    if (!gone_ && !over_) {
      steps_.push_back(std::move(step));
      if (steps_.size() == 1) wake_();
      return;
    }
  }
  if (step.taken) step.taken(false);
}

void PendingAnswer::OnGone(std::function<void()> gone) {
  {
    std::lock_guard lock(mutex_);
    if (!gone_) {
      if (!over_) on_gone_ = std::move(gone);
      return;
    }
  }
  gone();
}

std::vector<PendingAnswer::Step> PendingAnswer::Take() {
  std::lock_guard lock(mutex_);
  return std::exchange(steps_, {});
}

void PendingAnswer::Gone() {
  std::vector<Step> untaken;
  std::function<void()> on_gone;
  {
    std::lock_guard lock(mutex_);
    if (gone_ || over_) return;
    gone_ = true;
    untaken.swap(steps_);
    on_gone.swap(on_gone_);
  }
  for (const Step& step : untaken) {
    if (step.taken) step.taken(false);
  }
  if (on_gone) on_gone();
}

void PendingAnswer::Over() {
  std::function<void()> dropped;  // it may hold what must not die under the lock
  std::lock_guard lock(mutex_);
  over_ = true;
  dropped.swap(on_gone_);
}

}  // namespace headroom::gateway::http
