#include "vision-worker/service.h"

#include "common/rpc/status.h"
#include "vision-worker/encode_call.h"

namespace headroom::vision_worker {
namespace {

// Ends a call that has done nothing.
class RefusedFetch final : public grpc::ServerWriteReactor<v1::FetchResponse> {
 public:
  explicit RefusedFetch(const absl::Status& status) { Finish(rpc::ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

// One Fetch call: a copy of one piece at a time, so a slow reader holds one piece and pins nothing.
class FetchCall final : public grpc::ServerWriteReactor<v1::FetchResponse> {
 public:
  FetchCall(VisionService& service, uint64_t id, int64_t first, int64_t end)
      : service_(service), id_(id), next_(first), end_(end) {
    Next();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the reader is gone"));
    service_.fetched_pieces_.Increment();
    ++next_;
    Next();
  }

  void OnDone() override {
    --service_.fetches_;
    delete this;
  }

 private:
  void Next() {
    if (next_ == end_) return Finish(grpc::Status::OK);
    const absl::Status status = service_.parts_.store.ReadPiece(id_, next_, response_.mutable_data());
    if (!status.ok()) return Finish(rpc::ToGrpc(status));
    response_.mutable_data()->resize(static_cast<size_t>(service_.options_.piece_bytes()));  // without alignment
    response_.set_piece(next_);
    response_.set_dtype(service_.options_.dtype == DType::kF32 ? "float32" : "bfloat16");
    StartWrite(&response_);
  }

  VisionService& service_;
  const uint64_t id_;
  int64_t next_;
  const int64_t end_;
  v1::FetchResponse response_;
};

VisionService::VisionService(const VisionParts& parts, const VisionOptions& options, Metrics& metrics)
    : parts_(parts),
      options_(options),
      images_(metrics.AddCounter("headroom_vision_images_total", {{"model", options.model_name}})),
      cache_hits_(metrics.AddCounter("headroom_vision_cache_hits_total", {{"model", options.model_name}})),
      refused_(metrics.AddCounter("headroom_vision_refused_total", {{"model", options.model_name}})),
      fetched_pieces_(metrics.AddCounter("headroom_vision_fetched_pieces_total", {{"model", options.model_name}})),
      decode_seconds_(metrics.AddHistogram("headroom_vision_decode_seconds", {{"model", options.model_name}})),
      encode_seconds_(metrics.AddHistogram("headroom_vision_encode_seconds", {{"model", options.model_name}})),
      decoders_("vision-decode", options.decoders, static_cast<size_t>(options.images_waiting_max)) {}

VisionService::~VisionService() { decoders_.Shutdown(); }

grpc::ServerBidiReactor<v1::EncodeRequest, v1::EncodeResponse>* VisionService::Encode(
    grpc::CallbackServerContext* context) {
  const auto call = std::make_shared<EncodeCall>(*this, context);
  call->Start();
  return call.get();
}

grpc::ServerWriteReactor<v1::FetchResponse>* VisionService::Fetch(grpc::CallbackServerContext*,
                                                                  const v1::FetchRequest* request) {
  const v1::EmbeddingRef& ref = request->ref();
  if (ref.incarnation() != parts_.gate.options().incarnation) {
    return new RefusedFetch(absl::NotFoundError("the reference is of another process"));
  }
  if (ref.model().sha256() != options_.model) {
    return new RefusedFetch(absl::FailedPreconditionError("another model than this worker's"));
  }
  const absl::StatusOr<int64_t> pieces = parts_.store.Pieces(ref.id());
  if (!pieces.ok()) return new RefusedFetch(pieces.status());
  const int64_t first = request->first_piece(), count = request->count();
  if (first < 0 || first >= *pieces || count < 0 || count > *pieces - first) {
    return new RefusedFetch(
        absl::InvalidArgumentError(absl::StrCat(count, " pieces from ", first, ": the image has ", *pieces)));
  }
  if (++fetches_ > options_.fetches_max) {
    --fetches_;
    return new RefusedFetch(absl::UnavailableError(absl::StrCat("at most ", options_.fetches_max, " fetches at once")));
  }
  return new FetchCall(*this, ref.id(), first, count == 0 ? *pieces : first + count);
}

}  // namespace headroom::vision_worker
