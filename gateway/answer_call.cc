#include "gateway/answer_call.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include "common/log.h"

namespace headroom::gateway {

std::shared_ptr<AnswerCall> AnswerCall::Create(grpc::CallbackServerContext* context, Duration unread_max) {
  std::shared_ptr<AnswerCall> call(new AnswerCall(context, unread_max));
  call->self_ = call;
  return call;
}

void AnswerCall::AwaitWrite(std::unique_lock<std::mutex>& lock) {
  if (written_.wait_for(lock, unread_max_, [this] { return !writing_; })) return;
  Log(LogLevel::kWarning, "gateway", "client does not read: call cancelled");
  stop_.request_stop();
  context_->TryCancel();
  // gRPC fails the pending write now; its reaction follows without the client's help.
  written_.wait(lock, [this] { return !writing_; });
}

bool AnswerCall::Send(const v1::GenerateResponse& response) {
  std::unique_lock lock(mutex_);
  AwaitWrite(lock);
  if (broken_ || stop_.stop_requested()) return false;
  current_.Clear();
  bool owned = false;
  grpc::SerializationTraits<v1::GenerateResponse>::Serialize(response, &current_, &owned);
  writing_ = true;
  StartWrite(&current_);
  return true;
}

void AnswerCall::End(const grpc::Status& status) {
  {
    std::unique_lock lock(mutex_);
    AwaitWrite(lock);
  }
  Finish(status);
}

void AnswerCall::OnWriteDone(bool ok) {
  // Notified under the lock: after it is released the pool's thread may end the call, and OnDone may free this object.
  std::lock_guard lock(mutex_);
  writing_ = false;
  if (!ok) broken_ = true;
  written_.notify_all();
}

}  // namespace headroom::gateway
