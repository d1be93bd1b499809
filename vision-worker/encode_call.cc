#include "vision-worker/encode_call.h"

#include <algorithm>

#include "admission/link/convert.h"
#include "common/embedding_pages.h"
#include "common/error_details.h"
#include "common/rpc/acceptance.h"
#include "common/rpc/status.h"
#include "worker/refusal.h"

namespace headroom::vision_worker {
namespace {

constexpr size_t kChunkBytesMax = size_t{1} << 20;
constexpr size_t kCacheKeyBytesMax = 64;

// An error of image number `index`, from 0: people count from 1.
absl::Status OfImage(size_t index, const absl::Status& status) {
  return WithPrefix(absl::StrCat("image ", index + 1, ": "), status);
}

}  // namespace

void EncodeCall::Start() {
  self_ = shared_from_this();
  StartRead(&request_);
}

void EncodeCall::OnReadDone(bool ok) {
  std::unique_lock lock(mutex_);
  if (finished_) return;
  if (!ok) {
    // The client has ended the stream, or is gone. The write that carries the last answer may not have been reported
    // yet.
    const bool complete = started_ && written_ + (writing_ ? 1 : 0) == images_.size();
    return FinishLocked(complete ? absl::OkStatus()
                                 : absl::CancelledError("the stream ended before all embeddings were there"));
  }
  absl::Status status;
  if (request_.has_start() && !started_) {
    status = TakeStart(request_.start());
  } else if (request_.has_chunk() && started_) {
    status = TakeChunk(*request_.mutable_chunk());
  } else {
    status = absl::InvalidArgumentError("one start message, then chunks");
  }
  if (!status.ok()) {
    service_.refused_.Increment();
    return FinishLocked(status);
  }
  // After the start message, OnSendInitialMetadataDone() goes on: no image before the client can know that we have
  // begun.
  if (!accepting_) StartRead(&request_);
}

void EncodeCall::OnSendInitialMetadataDone(bool ok) {
  std::lock_guard lock(mutex_);
  accepting_ = false;
  if (finished_) return;
  if (!ok) return FinishLocked(absl::CancelledError("the client is gone"));
  StartRead(&request_);
}

absl::Status EncodeCall::TakeStart(const v1::EncodeStart& start) {
  if (start.model().sha256() != service_.options_.model) {
    return absl::FailedPreconditionError("another model than this worker's");
  }
  if (start.images_size() < 1 || start.images_size() > service_.options_.images_max) {
    return absl::InvalidArgumentError(
        absl::StrCat(start.images_size(), " images: 1 to ", service_.options_.images_max));
  }
  std::vector<Image> images;
  for (const v1::PricedImage& priced : start.images()) {
    absl::StatusOr<model::PieceGeometry> geometry = CheckPriced(priced);
    if (!geometry.ok()) return OfImage(images.size(), geometry.status());
    images.push_back({.priced = priced, .geometry = *std::move(geometry), .bytes = {}, .answer = {}});
  }
  HEADROOM_ASSIGN_OR_RETURN(const admission::Grant grant, admission::FromProto(start.grant()));
  images_ = std::move(images);
  if (const admission::Leg* leg = grant.Find(admission::Role::kVision))
    HEADROOM_RETURN_IF_ERROR(CheckPrice(leg->resources));
  absl::StatusOr<admission::ActiveLeg> leg = service_.parts_.gate.Activate(grant, admission::Role::kVision);
  if (!leg.ok()) return worker::GateRefusal(leg.status());
  holdings_ = std::make_shared<Holdings>();
  holdings_->leg = std::move(*leg);
  holdings_->pins.resize(images_.size());
  started_ = true;
  accepting_ = true;
  rpc::MarkAccepted(*context_);
  StartSendInitialMetadata();
  return absl::OkStatus();
}

absl::StatusOr<model::PieceGeometry> EncodeCall::CheckPriced(const v1::PricedImage& priced) const {
  if (priced.cache_key().size() > kCacheKeyBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("cache key of ", priced.cache_key().size(), " bytes: at most ", kCacheKeyBytesMax));
  }
  return service_.parts_.intake.CheckPriced(priced);
}

// The leg pays for what the images will hold.
absl::Status EncodeCall::CheckPrice(const admission::Resources& leg) const {
  admission::Resources need;
  need.slots = static_cast<int64_t>(images_.size());
  for (const Image& image : images_) {
    need.patches += image.priced.patches();
    for (const model::PieceShape& piece : image.geometry.pieces) {
      need.embedding_bytes += EmbeddingPages(piece.rows) * service_.parts_.store.page_bytes();
    }
    need.host_bytes += PricedHostBytes(image.priced, image.geometry);
  }
  if (const auto worst = admission::WorstShortfall(need, leg, leg, "")) {
    return absl::InvalidArgumentError("the grant is too small for these images: " + admission::Describe(*worst));
  }
  return absl::OkStatus();
}

absl::Status EncodeCall::TakeChunk(v1::ImageChunk& chunk) {
  if (reading_ == images_.size()) return absl::InvalidArgumentError("a chunk after the last byte of the last image");
  if (chunk.image() < 0 || static_cast<size_t>(chunk.image()) != reading_) {
    return OfImage(reading_, absl::InvalidArgumentError(
                                 absl::StrCat("its chunk says index ", chunk.image(), ", expected ", reading_)));
  }
  if (chunk.data().empty() || chunk.data().size() > kChunkBytesMax) {
    return OfImage(reading_, absl::InvalidArgumentError(
                                 absl::StrCat("a chunk of ", chunk.data().size(), " bytes: 1 to ", kChunkBytesMax)));
  }
  Image& image = images_[reading_];
  const auto size = static_cast<size_t>(image.priced.size_bytes());
  if (chunk.data().size() > size - image.bytes.size()) {
    return OfImage(reading_,
                   absl::InvalidArgumentError(absl::StrCat("more than the ", size, " bytes that were priced")));
  }
  if (image.bytes.empty()) image.bytes.reserve(size);
  image.bytes += chunk.data();
  if (image.bytes.size() < size) return absl::OkStatus();

  const size_t index = reading_++;
  auto bytes = std::make_shared<std::string>(std::move(image.bytes));
  image.bytes = {};
  const bool queued =
      service_.decoders_.TrySubmit([call = shared_from_this(), index, bytes] { call->MakePieces(index, *bytes); });
  return queued ? absl::OkStatus() : RefusalError(RefusalReason::kNoRoom, "too many images wait for a decoder");
}

void EncodeCall::MakePieces(size_t index, const std::string& bytes) {
  const absl::Status status = EncodeImage(index, bytes);
  if (!status.ok()) Fail(OfImage(index, status));
}

absl::Status EncodeCall::EncodeImage(size_t index, const std::string& bytes) {
  std::shared_ptr<Holdings> holdings;
  v1::PricedImage priced;
  model::PieceGeometry geometry;
  {
    std::lock_guard lock(mutex_);
    if (finished_) return absl::OkStatus();
    holdings = holdings_;
    priced = images_[index].priced;
    geometry = images_[index].geometry;
  }
  service_.images_.Increment();
  HEADROOM_ASSIGN_OR_RETURN(const model::ImageHeader header, service_.parts_.intake.CheckBytes(priced, bytes));
  const std::vector<int64_t> rows = geometry.piece_rows();
  if (!priced.cache_key().empty()) {
    if (auto pin = service_.parts_.store.Find(priced.cache_key(), rows)) {
      service_.cache_hits_.Increment();
      Answer(index, std::move(*pin), std::move(holdings), /*cache_hit=*/true, 0);
      return absl::OkStatus();
    }
  }
  const TimePoint begin = service_.parts_.clock.Now();
  const auto job = std::make_shared<ImageJob>();
  HEADROOM_ASSIGN_OR_RETURN(job->pieces, service_.parts_.intake.MakePieces(priced, bytes, header, geometry));
  service_.decode_seconds_.Observe(Seconds(service_.parts_.clock.Now() - begin));
  job->lease = holdings;
  HEADROOM_ASSIGN_OR_RETURN(job->pin, service_.parts_.store.Allocate(priced.cache_key(), rows));
  job->done = [call = shared_from_this(), index, raw = job.get(), lease = std::move(holdings)](
                  const absl::Status& status, double seconds) mutable {
    if (!status.ok()) return call->Fail(OfImage(index, status));
    call->service_.encode_seconds_.Observe(seconds);
    raw->lease.reset();
    call->Answer(index, std::move(raw->pin), std::move(lease), /*cache_hit=*/false, seconds);
  };
  {
    std::lock_guard lock(mutex_);
    if (finished_) return absl::OkStatus();
    jobs_.push_back(job);
  }
  return service_.parts_.batcher.Submit(job);
}

// `lease` outlives `pin` here: the pin goes to the call's holdings, or away.
void EncodeCall::Answer(size_t index, EmbeddingPin pin, std::shared_ptr<Holdings> lease, bool cache_hit,
                        double seconds) {
  std::lock_guard lock(mutex_);
  if (finished_) return pin.Release();
  const VisionOptions& options = service_.options_;
  v1::ImageEncoded encoded;
  encoded.set_image(static_cast<int32_t>(index));
  encoded.set_cache_hit(cache_hit);
  encoded.set_encode_seconds(seconds);
  v1::EmbeddingRef& ref = *encoded.mutable_ref();
  ref.set_endpoint(service_.endpoint_);
  ref.set_incarnation(service_.parts_.gate.options().incarnation);
  ref.set_id(pin.id());
  ref.mutable_piece_rows()->Assign(pin.rows().begin(), pin.rows().end());
  ref.set_columns(options.columns);
  ref.mutable_model()->set_sha256(options.model);
  images_[index].answer = std::move(encoded);
  holdings_->pins[index] = std::move(pin);
  lease.reset();  // before the client can see the answer, end the stream and look for a settled leg
  WriteLocked();
}

void EncodeCall::Fail(const absl::Status& status) {
  std::lock_guard lock(mutex_);
  FinishLocked(status);
}

// Answers go out in the order of the images.
void EncodeCall::WriteLocked() {
  if (finished_ || writing_ || written_ == images_.size() || !images_[written_].answer.has_value()) return;
  *response_.mutable_encoded() = *images_[written_].answer;
  writing_ = true;
  StartWrite(&response_);
}

void EncodeCall::OnWriteDone(bool ok) {
  std::lock_guard lock(mutex_);
  writing_ = false;
  if (finished_) return Finish(rpc::ToGrpc(finish_status_));
  if (!ok) return FinishLocked(absl::CancelledError("the client reads no more"));
  ++written_;
  WriteLocked();
}

void EncodeCall::OnCancel() { Fail(absl::CancelledError("the client is gone")); }

// Gives everything back first, so that a client that sees the end sees a settled leg. gRPC runs no reaction inside
// Finish, and Finish waits for the write under way.
void EncodeCall::FinishLocked(const absl::Status& status) {
  if (finished_) return;
  finished_ = true;
  for (const std::weak_ptr<ImageJob>& weak : jobs_) {
    if (const auto job = weak.lock()) job->cancelled = true;
  }
  holdings_.reset();
  images_.clear();
  finish_status_ = status;
  if (!writing_) Finish(rpc::ToGrpc(status));
}

void EncodeCall::OnDone() { self_.reset(); }

}  // namespace headroom::vision_worker
