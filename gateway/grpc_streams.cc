#include "gateway/grpc_streams.h"

#include "common/rpc/acceptance.h"
#include "common/rpc/status.h"

namespace headroom::gateway {
namespace {

// proto/README.md: images travel in chunks of at most 1 MiB.
constexpr size_t kChunkBytes = size_t{1} << 20;

// The worker made as many rows of each piece as were priced.
absl::Status CheckRows(const v1::EmbeddingRef& ref, const v1::PricedImage& priced) {
  if (ref.piece_rows_size() != priced.piece_rows_size()) {
    return absl::InternalError(absl::StrCat("the vision-worker made ", ref.piece_rows_size(), " pieces of ",
                                            priced.piece_rows_size(), " priced"));
  }
  for (int i = 0; i < ref.piece_rows_size(); ++i) {
    if (ref.piece_rows(i) == priced.piece_rows(i)) continue;
    return absl::InternalError(absl::StrCat("the vision-worker made ", ref.piece_rows(i), " rows of piece ", i + 1,
                                            ", priced with ", priced.piece_rows(i)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status StatusOfPeer(const grpc::Status& ended, const std::stop_token& stop) {
  absl::Status status = rpc::FromGrpc(ended);
  if (!absl::IsCancelled(status) || stop.stop_requested()) return status;
  return absl::UnavailableError("the service ended the call");
}

GrpcEncoding::GrpcEncoding(std::unique_ptr<v1::Vision::Stub> stub, const CallScope& scope, Executor& executor)
    : stub_(std::move(stub)),
      stop_(scope.stop),
      written_(executor),
      read_(executor),
      done_(executor),
      on_stop_(scope.stop, [this] { context_.TryCancel(); }) {
  context_.set_deadline(scope.deadline);
  stub_->async()->Encode(&context_, this);
  AddHold();
  StartCall();
}

Task<bool> GrpcEncoding::Start(const v1::EncodeStart& start) {
  *request_.mutable_start() = start;
  priced_.assign(start.images().begin(), start.images().end());
  const bool ok = co_await Write();
  co_return ok;
}

Task<absl::Status> GrpcEncoding::Encode(const std::vector<const std::string*>& images) {
  for (size_t i = 0; i < images.size(); ++i) {
    for (size_t begin = 0; begin < images[i]->size(); begin += kChunkBytes) {
      request_.mutable_chunk()->set_image(static_cast<int32_t>(i));
      request_.mutable_chunk()->set_data(images[i]->substr(begin, kChunkBytes));
      const bool ok = co_await Write();
      if (!ok) {
        absl::Status status = co_await Broken();
        co_return status;
      }
    }
  }
  while (encoded_.size() < images.size()) {
    const bool ok = co_await Read();
    if (!ok) {
      absl::Status status = co_await Broken();
      co_return status;
    }
    if (response_.encoded().image() != static_cast<int32_t>(encoded_.size())) {
      co_return absl::InternalError("the vision-worker answered for another image");
    }
    HEADROOM_CO_RETURN_IF_ERROR(CheckRows(response_.encoded().ref(), priced_[encoded_.size()]));
    encoded_.push_back(response_.encoded());
  }
  co_return absl::OkStatus();
}

Task<bool> GrpcEncoding::Write() {
  written_.Reset();
  StartWrite(&request_);
  co_await written_;
  request_.Clear();
  co_return write_ok_;
}

Task<bool> GrpcEncoding::Read() {
  read_.Reset();
  StartRead(&response_);
  co_await read_;
  co_return read_ok_;
}

void GrpcEncoding::Close() {
  if (closed_) return;
  closed_ = true;
  StartWritesDone();
}

Task<absl::Status> GrpcEncoding::Broken() {
  closed_ = true;
  const absl::Status status = co_await End();
  co_return status.ok() ? absl::InternalError("the vision-worker ended the stream early") : status;
}

Task<absl::Status> GrpcEncoding::End() {
  if (!ended_) {
    ended_ = true;
    if (!closed_) context_.TryCancel();
    closed_ = true;
    while (true) {
      const bool more = co_await Read();
      if (!more) break;
    }
    RemoveHold();
    co_await done_;
  }
  co_return StatusOfPeer(status_, stop_);
}

void GrpcEncoding::OnWriteDone(bool ok) {
  write_ok_ = ok;
  written_.Set();
}

void GrpcEncoding::OnReadDone(bool ok) {
  read_ok_ = ok;
  read_.Set();
}

void GrpcEncoding::OnDone(const grpc::Status& status) {
  accepted_ = rpc::WasAccepted(context_);
  status_ = status;
  done_.Set();
}

template <typename Message>
GrpcPeerStream<Message>::GrpcPeerStream(std::shared_ptr<void> keep, const Open& open, const CallScope& scope,
                                        Executor& executor)
    : keep_(std::move(keep)), stop_(scope.stop), read_(executor), done_(executor), on_stop_(scope.stop, [this] {
        context_.TryCancel();
      }) {
  context_.set_deadline(scope.deadline);
  open(&context_, this);
  this->AddHold();
  this->StartCall();
}

template <typename Message>
Task<bool> GrpcPeerStream<Message>::Read(Message* message) {
  if (ended_) co_return false;
  read_.Reset();
  this->StartRead(message);
  co_await read_;
  ended_ = !read_ok_;
  co_return read_ok_;
}

template <typename Message>
Task<absl::Status> GrpcPeerStream<Message>::Finish() {
  Message rest;
  while (true) {
    const bool more = co_await Read(&rest);
    if (!more) break;
  }
  this->RemoveHold();
  co_await done_;
  co_return StatusOfPeer(status_, stop_);
}

template <typename Message>
void GrpcPeerStream<Message>::OnReadDone(bool ok) {
  read_ok_ = ok;
  read_.Set();
}

template <typename Message>
void GrpcPeerStream<Message>::OnDone(const grpc::Status& status) {
  accepted_ = rpc::WasAccepted(context_);
  status_ = status;
  done_.Set();
}

template class GrpcPeerStream<v1::TokenEvent>;
template class GrpcPeerStream<v1::FetchResponse>;

}  // namespace headroom::gateway
