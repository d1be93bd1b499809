// The streams of gateway/peers.h as reactors of gRPC's callback API. A hold keeps each call open between
// operations, which start in the gateway's executor and not in reactions.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "common/async/event.h"
#include "gateway/peers.h"
#include "headroom/v1/llm.grpc.pb.h"
#include "headroom/v1/vision.grpc.pb.h"

namespace headroom::gateway {

// How a call ended, as its caller must see it: a server that goes cancels what is left of its calls, and that is no
// wish of ours.
absl::Status StatusOfPeer(const grpc::Status& ended, const std::stop_token& stop);

class GrpcEncoding : public VisionEncoding, private grpc::ClientBidiReactor<v1::EncodeRequest, v1::EncodeResponse> {
 public:
  GrpcEncoding(std::unique_ptr<v1::Vision::Stub> stub, const CallScope& scope, Executor& executor);

  // Sends the start message. A stream that is broken already says so to Encode().
  Task<bool> Start(const v1::EncodeStart& start);
  Task<absl::Status> Encode(const std::vector<const std::string*>& images) override;
  const std::vector<v1::ImageEncoded>& encoded() const override { return encoded_; }
  void Close() override;
  Task<absl::Status> End() override;
  bool accepted() const override { return accepted_; }

 private:
  Task<bool> Write();
  Task<bool> Read();
  // The stream broke: its status, which is never OK here.
  Task<absl::Status> Broken();
  void OnWriteDone(bool ok) override;
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  std::unique_ptr<v1::Vision::Stub> stub_;
  grpc::ClientContext context_;
  std::stop_token stop_;
  Event written_, read_, done_;
  bool write_ok_ = false;
  bool read_ok_ = false;
  bool closed_ = false;
  bool ended_ = false;
  bool accepted_ = false;
  grpc::Status status_;
  v1::EncodeRequest request_;
  v1::EncodeResponse response_;
  std::vector<v1::PricedImage> priced_;
  std::vector<v1::ImageEncoded> encoded_;
  std::stop_callback<std::function<void()>> on_stop_;
};

// `Message`: v1::TokenEvent or v1::FetchResponse.
template <typename Message>
class GrpcPeerStream : public PeerStream<Message>, private grpc::ClientReadReactor<Message> {
 public:
  // Makes the call whose answers these are: the request is sent there and not needed any more.
  using Open = std::function<void(grpc::ClientContext* context, grpc::ClientReadReactor<Message>* reactor)>;
  // `keep`: what must live as long as the call, its stub.
  GrpcPeerStream(std::shared_ptr<void> keep, const Open& open, const CallScope& scope, Executor& executor);

  Task<bool> Read(Message* message) override;
  void Cancel() override { context_.TryCancel(); }
  Task<absl::Status> Finish() override;
  bool accepted() const override { return accepted_; }

 private:
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  const std::shared_ptr<void> keep_;
  grpc::ClientContext context_;
  std::stop_token stop_;
  Event read_, done_;
  bool read_ok_ = false;
  bool ended_ = false;
  bool accepted_ = false;
  grpc::Status status_;
  std::stop_callback<std::function<void()>> on_stop_;
};

}  // namespace headroom::gateway
