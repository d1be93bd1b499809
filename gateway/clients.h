// Blocking calls to the other services, for the pipeline's threads. Every call has a deadline and ends early when the
// request's stop token fires; results are absl::Status (common/rpc/status.h).
#pragma once

#include <grpcpp/client_context.h>

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "common/rpc/channel_directory.h"
#include "common/status.h"
#include "headroom/v1/llm.grpc.pb.h"
#include "headroom/v1/scheduler.grpc.pb.h"
#include "headroom/v1/vision.grpc.pb.h"

namespace headroom::gateway {

// Shared by all calls of one request.
struct CallScope {
  std::chrono::system_clock::time_point deadline;
  std::stop_token stop;
};

class SchedulerClient {
 public:
  SchedulerClient(rpc::ChannelDirectory& channels, std::string endpoint)
      : channels_(channels), endpoint_(std::move(endpoint)) {}

  // Its deadline is a little after the request's, which wait_ms_max keeps: the scheduler's answer at the last moment
  // must not be lost on its way.
  absl::StatusOr<v1::ReserveResponse> Reserve(const v1::ReserveRequest& request, const CallScope& scope);
  absl::StatusOr<v1::ClusterState> GetClusterState(std::chrono::milliseconds timeout);
  absl::StatusOr<v1::GetHistoryResponse> GetHistory(const v1::GetHistoryRequest& request,
                                                    std::chrono::milliseconds timeout);
  absl::StatusOr<v1::GetRefusalsResponse> GetRefusals(const v1::GetRefusalsRequest& request,
                                                      std::chrono::milliseconds timeout);
  absl::StatusOr<v1::RenewResponse> Renew(const v1::RenewRequest& request, std::chrono::milliseconds timeout);
  absl::Status Void(const v1::VoidRequest& request, std::chrono::milliseconds timeout);

 private:
  absl::StatusOr<std::unique_ptr<v1::Scheduler::Stub>> Stub();

  rpc::ChannelDirectory& channels_;
  const std::string endpoint_;
};

// One Encode stream. It stays open, and its embeddings stay pinned, until Close() or the end of this object.
class VisionEncoding {
 public:
  // Opens the stream, once connected, and sends the start message.
  static absl::StatusOr<std::unique_ptr<VisionEncoding>> Open(rpc::ChannelDirectory& channels,
                                                              const std::string& endpoint, const v1::EncodeStart& start,
                                                              const CallScope& scope);
  ~VisionEncoding();

  // Sends the bytes of every image in order and waits for all embeddings.
  absl::Status Encode(const std::vector<const std::string*>& images);
  // After a failure: whether the worker had begun with the request. It had not when Open() failed.
  bool accepted() const { return accepted_; }
  // One entry per image, after Encode().
  const std::vector<v1::ImageEncoded>& encoded() const { return encoded_; }
  // Lets the worker settle the leg. Idempotent.
  void Close();

 private:
  VisionEncoding(std::unique_ptr<v1::Vision::Stub> stub, const CallScope& scope);
  absl::Status End();

  std::unique_ptr<v1::Vision::Stub> stub_;
  grpc::ClientContext context_;
  std::stop_token stop_;
  std::stop_callback<std::function<void()>> on_stop_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::EncodeRequest, v1::EncodeResponse>> stream_;
  std::vector<v1::ImageEncoded> encoded_;
  bool accepted_ = false;
  bool closed_ = false;
};

// One Generate stream of an llm-worker.
class LlmGeneration {
 public:
  // Opens the stream, once connected.
  static absl::StatusOr<std::unique_ptr<LlmGeneration>> Open(rpc::ChannelDirectory& channels,
                                                             const std::string& endpoint,
                                                             const v1::LlmGenerateRequest& request,
                                                             const CallScope& scope);
  ~LlmGeneration();

  // False at the end of the stream; then Finish() says how it ended, and accepted() whether the worker had begun.
  bool Read(v1::TokenEvent* event) { return reader_->Read(event); }
  absl::Status Finish();
  bool accepted() const { return accepted_; }
  // The rest is of no interest.
  void Cancel() { context_.TryCancel(); }

 private:
  LlmGeneration(std::unique_ptr<v1::Llm::Stub> stub, const v1::LlmGenerateRequest& request, const CallScope& scope);

  std::unique_ptr<v1::Llm::Stub> stub_;
  grpc::ClientContext context_;
  std::stop_token stop_;
  std::stop_callback<std::function<void()>> on_stop_;
  std::unique_ptr<grpc::ClientReader<v1::TokenEvent>> reader_;
  bool accepted_ = false;
  bool finished_ = false;
};

}  // namespace headroom::gateway
