// headroom.v1.Gateway over gRPC: translates between it and the runner of requests. Holds no state of requests.
#pragma once

#include <functional>
#include <memory>

#include "common/thread_pool.h"
#include "gateway/questions.h"
#include "gateway/request_runner.h"
#include "gateway/scheduler_client.h"
#include "headroom/v1/gateway.grpc.pb.h"

namespace headroom::gateway {

// Calls that take text of clients take raw bytes: a message that cannot be parsed (broken, or text that is not UTF-8)
// would otherwise be answered by gRPC itself with a bare UNIMPLEMENTED.
using GatewayServiceBase = v1::Gateway::WithRawCallbackMethod_Generate<v1::Gateway::WithRawCallbackMethod_Complete<
    v1::Gateway::WithRawCallbackMethod_Embed<v1::Gateway::WithRawCallbackMethod_Tokenize<
        v1::Gateway::WithRawCallbackMethod_Detokenize<v1::Gateway::WithRawCallbackMethod_Price<
            v1::Gateway::WithCallbackMethod_GetStatus<v1::Gateway::WithCallbackMethod_GetHistory<
                v1::Gateway::WithCallbackMethod_GetRefusals<v1::Gateway::Service>>>>>>>>>;

class GatewayService : public GatewayServiceBase {
 public:
  // Everything in `parts` must outlive this.
  struct Parts {
    const GatewaySection& config;
    const ServedModels& models;
    RequestRunner& runner;
    SchedulerClient& scheduler;
    ClusterView& cluster;
    HostBudget& host_budget;
    Clock& clock;
    Executor& prepare;  // for questions
  };
  explicit GatewayService(const Parts& parts);
  // All calls must be over.
  ~GatewayService() override;

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Generate(grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* Complete(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Embed(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* Price(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                  grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context, const v1::GetStatusRequest* request,
                                      v1::GetStatusResponse* response) override;
  grpc::ServerUnaryReactor* GetHistory(grpc::CallbackServerContext* context, const v1::GetHistoryRequest* request,
                                       v1::GetHistoryResponse* response) override;
  grpc::ServerUnaryReactor* GetRefusals(grpc::CallbackServerContext* context, const v1::GetRefusalsRequest* request,
                                        v1::GetRefusalsResponse* response) override;

 private:
  // Gives the request to the runner, which answers through `call`; an error is a refusal at the door.
  template <typename Request, typename Call>
  absl::Status Run(const grpc::CallbackServerContext& context, const grpc::ByteBuffer* bytes,
                   const std::shared_ptr<Call>& call);
  // Answers on the threads that prepare requests, within the limits of those.
  template <typename Request, typename Response>
  grpc::ServerUnaryReactor* Ask(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                grpc::ByteBuffer* response, std::function<absl::StatusOr<Response>(Request&)> answer);
  // Runs `answer` on the thread for questions about the past.
  grpc::ServerUnaryReactor* Explain(grpc::CallbackServerContext* context, std::function<absl::Status()> answer);
  absl::Status FindRefusals(const v1::GetRefusalsRequest& request, v1::GetRefusalsResponse* response);

  const Parts parts_;
  const Questions questions_;
  ThreadPool explain_pool_;
};

}  // namespace headroom::gateway
