// One Encode stream: reads images, has them decoded and encoded, answers in order, and holds leg and embeddings until
// its end.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "vision-worker/service.h"

namespace headroom::vision_worker {

class EncodeCall final : public grpc::ServerBidiReactor<v1::EncodeRequest, v1::EncodeResponse>,
                         public std::enable_shared_from_this<EncodeCall> {
 public:
  EncodeCall(VisionService& service, grpc::CallbackServerContext* context) : service_(service), context_(context) {}
  // gRPC holds the object through `self_` until OnDone; tasks and jobs hold it as long as they run.
  void Start();

  void OnSendInitialMetadataDone(bool ok) override;
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  // What the call's grant pays for. Dies when neither the call nor a step needs it: the embeddings become cache, then
  // the leg settles.
  struct Holdings {
    admission::ActiveLeg leg;
    std::vector<EmbeddingPin> pins;
  };
  struct Image {
    v1::PricedImage priced;
    model::PieceGeometry geometry;
    std::string bytes;
    std::optional<v1::ImageEncoded> answer;
  };

  absl::Status TakeStart(const v1::EncodeStart& start);
  absl::StatusOr<model::PieceGeometry> CheckPriced(const v1::PricedImage& priced) const;
  absl::Status CheckPrice(const admission::Resources& leg) const;
  absl::Status TakeChunk(v1::ImageChunk& chunk);
  // On the decode pool.
  void MakePieces(size_t index, const std::string& bytes);
  absl::Status EncodeImage(size_t index, const std::string& bytes);
  void Answer(size_t index, EmbeddingPin pin, std::shared_ptr<Holdings> lease, bool cache_hit, double seconds);
  void Fail(const absl::Status& status);

  void WriteLocked();
  void FinishLocked(const absl::Status& status);

  VisionService& service_;
  grpc::CallbackServerContext* const context_;
  std::shared_ptr<EncodeCall> self_;
  v1::EncodeRequest request_;    // being read
  v1::EncodeResponse response_;  // being written

  std::mutex mutex_;
  std::shared_ptr<Holdings> holdings_;
  std::vector<Image> images_;
  std::vector<std::weak_ptr<ImageJob>> jobs_;
  size_t reading_ = 0;  // images whose bytes are all here
  size_t written_ = 0;
  bool started_ = false;
  bool accepting_ = false;  // initial metadata is on its way
  bool writing_ = false;
  bool finished_ = false;
  absl::Status finish_status_;  // waits for the write under way
};

}  // namespace headroom::vision_worker
