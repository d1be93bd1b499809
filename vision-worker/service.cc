#include "vision-worker/service.h"

#include <algorithm>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "common/embedding_pages.h"
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

// How many rows the request is for; `rows`: of each piece of the image.
absl::StatusOr<int64_t> RowsWanted(const v1::FetchRequest& request, std::span<const int64_t> rows) {
  const int64_t piece = request.first_piece(), row = request.first_row();
  if (piece < 0 || piece >= static_cast<int64_t>(rows.size())) {
    return absl::InvalidArgumentError(absl::StrCat("rows from piece ", piece, ": the image has ", rows.size()));
  }
  const std::span<const int64_t> from = rows.subspan(static_cast<size_t>(piece));
  if (row < 0 || row >= from[0]) {
    return absl::InvalidArgumentError(absl::StrCat("rows from ", row, ": piece ", piece, " has ", from[0]));
  }
  const int64_t left = std::accumulate(from.begin(), from.end(), int64_t{0}) - row;
  if (request.rows() < 0 || request.rows() > left) {
    return absl::InvalidArgumentError(absl::StrCat(request.rows(), " rows: ", left, " are left of the image"));
  }
  return request.rows() == 0 ? left : request.rows();
}

}  // namespace

// One Fetch call: a copy of one message at a time, so a slow reader holds that much and pins nothing.
class FetchCall final : public grpc::ServerWriteReactor<v1::FetchResponse> {
 public:
  // `left` rows from row `row` of piece `piece` on; `rows`: of every piece.
  FetchCall(VisionService& service, uint64_t id, std::vector<int64_t> rows, size_t piece, int64_t row, int64_t left)
      : service_(service), id_(id), rows_(std::move(rows)), piece_(piece), row_(row), left_(left) {
    Next();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the reader is gone"));
    row_ += sent_;
    left_ -= sent_;
    if (row_ == rows_[piece_]) {
      service_.fetched_pieces_.Increment();
      ++piece_;
      row_ = 0;
    }
    Next();
  }

  void OnDone() override {
    --service_.fetches_;
    delete this;
  }

 private:
  void Next() {
    if (left_ == 0) return Finish(grpc::Status::OK);
    const EmbeddingStore& store = service_.parts_.store;
    sent_ = std::min({EmbeddingMessageRows(store.row_bytes()), rows_[piece_] - row_, left_});
    const auto piece = static_cast<int64_t>(piece_);
    const absl::Status status = store.Read(id_, piece, {.first = row_, .count = sent_}, response_.mutable_data());
    if (!status.ok()) return Finish(rpc::ToGrpc(status));
    response_.set_piece(piece);
    response_.set_first_row(row_);
    response_.set_dtype(service_.options_.dtype == DType::kF32 ? "float32" : "bfloat16");
    StartWrite(&response_);
  }

  VisionService& service_;
  const uint64_t id_;
  const std::vector<int64_t> rows_;
  size_t piece_;
  int64_t row_, left_;
  int64_t sent_ = 0;  // rows of the message on its way
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
  absl::StatusOr<std::vector<int64_t>> rows = parts_.store.Rows(ref.id());
  if (!rows.ok()) return new RefusedFetch(rows.status());
  const absl::StatusOr<int64_t> left = RowsWanted(*request, *rows);
  if (!left.ok()) return new RefusedFetch(left.status());
  if (++fetches_ > options_.fetches_max) {
    --fetches_;
    return new RefusedFetch(absl::UnavailableError(absl::StrCat("at most ", options_.fetches_max, " fetches at once")));
  }
  return new FetchCall(*this, ref.id(), *std::move(rows), static_cast<size_t>(request->first_piece()),
                       request->first_row(), *left);
}

}  // namespace headroom::vision_worker
