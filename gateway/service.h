// headroom.v1.Gateway over gRPC: bounds the number of requests, hands each to the pool, translates the result. Holds no
// state of requests.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "common/metrics.h"
#include "common/thread_pool.h"
#include "gateway/own_refusals.h"
#include "gateway/pipeline.h"
#include "headroom/v1/gateway.grpc.pb.h"

namespace headroom::gateway {

class GatewayMetrics {
 public:
  explicit GatewayMetrics(Metrics& metrics);
  void Record(const absl::Status& status, const v1::Usage& usage, const RequestTimes& times, double seconds);
  // How it ended; enough for a request that never ran.
  void RecordEnd(const absl::Status& status);

  Gauge running;

 private:
  Counter& Outcome(absl::StatusCode code);

  std::map<absl::StatusCode, Counter> outcomes_;
  std::map<std::pair<RefusalReason, std::string>, Counter> refusals_;  // by reason and budget
  Histogram queue_seconds_, first_token_seconds_, output_token_seconds_, duration_seconds_;
  Counter prompt_tokens_, completion_tokens_, images_, pieces_;
};

// Generate and Complete take raw bytes: a message that cannot be parsed (broken, or text that is not UTF-8) would
// otherwise be answered by gRPC itself with a bare UNIMPLEMENTED.
using GatewayServiceBase = v1::Gateway::WithRawCallbackMethod_Generate<v1::Gateway::WithRawCallbackMethod_Complete<
    v1::Gateway::WithCallbackMethod_GetStatus<v1::Gateway::WithCallbackMethod_GetHistory<
        v1::Gateway::WithCallbackMethod_GetRefusals<v1::Gateway::Service>>>>>;

class GatewayService : public GatewayServiceBase {
 public:
  GatewayService(const PipelineParts& parts, Metrics& metrics);
  // All calls must be over.
  ~GatewayService() override;

  // From now on new requests are refused (UNAVAILABLE); running ones go on.
  void Drain() { draining_ = true; }
  int64_t running() const { return running_; }

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Generate(grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* Complete(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context, const v1::GetStatusRequest* request,
                                      v1::GetStatusResponse* response) override;
  grpc::ServerUnaryReactor* GetHistory(grpc::CallbackServerContext* context, const v1::GetHistoryRequest* request,
                                       v1::GetHistoryResponse* response) override;
  grpc::ServerUnaryReactor* GetRefusals(grpc::CallbackServerContext* context, const v1::GetRefusalsRequest* request,
                                        v1::GetRefusalsResponse* response) override;

 private:
  // Takes one of the requests_running_max places; the task must call Leave().
  absl::Status Enter();
  void Leave();
  // Runs `task` on the pool, or says why not.
  absl::Status Submit(std::function<void()> task);
  absl::Status Start(std::function<void()> task);
  CallScope Scope(const grpc::CallbackServerContext& context, std::stop_token stop) const;
  // Runs `answer` on the thread for questions about the past.
  grpc::ServerUnaryReactor* Explain(grpc::CallbackServerContext* context, std::function<absl::Status()> answer);
  absl::Status FindRefusals(const v1::GetRefusalsRequest& request, v1::GetRefusalsResponse* response);
  absl::StatusOr<v1::Finish> RunRequest(const grpc::ByteBuffer& bytes, const CallScope& scope,
                                        const Pipeline::TextSink& sink);

  const PipelineParts parts_;
  GatewayMetrics metrics_;
  Pipeline pipeline_;
  std::atomic<bool> draining_ = false;
  std::atomic<int64_t> running_ = 0;
  OwnRefusals refusals_;
  ThreadPool pool_;
  // Of its own, so that there are answers when requests take every thread.
  ThreadPool explain_pool_;
};

}  // namespace headroom::gateway
