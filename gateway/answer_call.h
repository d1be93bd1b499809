// One public call at the gRPC edge: reactions of gRPC's threads only set flags; the request itself runs on the
// gateway's pool and writes through here. The object keeps itself alive until gRPC is done with it.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>

#include "common/clock.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway {

// Server side of Gateway.Generate; messages are serialized by hand (service.h says why). Send and End are for one
// thread; they wait until the client has taken the last message, at most `unread_max`, after which the call is
// cancelled: a reader that stopped reading does not hold a request for ever.
class AnswerCall : public grpc::ServerWriteReactor<grpc::ByteBuffer>, public std::enable_shared_from_this<AnswerCall> {
 public:
  // gRPC's share of the ownership ends in OnDone.
  static std::shared_ptr<AnswerCall> Create(grpc::CallbackServerContext* context, Duration unread_max);

  std::stop_token stop_token() const { return stop_.get_token(); }
  // False when the call is over: cancelled, past its deadline, or unread for too long.
  bool Send(const v1::GenerateResponse& response);
  void End(const grpc::Status& status);

  void OnWriteDone(bool ok) override;
  void OnCancel() override { stop_.request_stop(); }
  void OnDone() override { self_.reset(); }

 private:
  AnswerCall(grpc::CallbackServerContext* context, Duration unread_max) : context_(context), unread_max_(unread_max) {}
  void AwaitWrite(std::unique_lock<std::mutex>& lock);

  grpc::CallbackServerContext* const context_;
  const Duration unread_max_;
  std::stop_source stop_;
  std::shared_ptr<AnswerCall> self_;

  std::mutex mutex_;
  std::condition_variable written_;
  grpc::ByteBuffer current_;
  bool writing_ = false;
  bool broken_ = false;
};

}  // namespace headroom::gateway
