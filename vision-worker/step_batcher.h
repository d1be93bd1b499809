// Brings the pieces of all requests through the vision tower in bounded steps.
//
// A step takes the oldest piece and then, in order of arrival, every piece that still fits under max_patches_per_step
// and the pieces of a step: pieces are packed, never padded, so sizes may mix. The oldest piece always goes, so none
// starves. One thread runs the steps.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "common/status.h"
#include "memory/device_memory.h"
#include "vision-worker/embedding_store.h"
#include "vision-worker/image/cut.h"

namespace headroom::vision_worker {

struct StepBounds {
  int64_t patches_max = 0;
  int64_t pieces_max = 0;
};

// Indices, ascending, of the pieces (patch counts in order of arrival) that the next step takes: the first one, and
// what fits with it. Pure.
std::vector<size_t> ChooseStep(std::span<const int64_t> patches, const StepBounds& bounds);

// One image on its way. The owner fills the first part and hands it over.
struct ImageJob {
  std::vector<PiecePixels> pieces;  // freed piece by piece as steps take them
  std::shared_ptr<void> lease;      // kept until no step writes to `pin` any more; dies after it
  EmbeddingPin pin;                 // unpublished; published before `done` says OK
  // Called exactly once, on the batcher's thread, without a lock held: OK and the seconds of compute, or why not.
  std::function<void(absl::Status status, double seconds)> done;
  std::atomic<bool> cancelled = false;  // set by anyone: pieces that wait are dropped

 private:
  friend class StepBatcher;
  int64_t pieces_left_ = 0;
  double seconds_ = 0;
};

struct StepReport {
  double seconds = 0;
  int64_t pieces = 0;
  int64_t patches = 0;
};

class StepBatcher {
 public:
  // One pass over pieces; each piece's rows go to its memory, which is for as many as were priced. Says for each
  // whether all are finite numbers. Called on the batcher's thread only.
  struct Piece {
    const PiecePixels* pixels;
    std::vector<memory::DeviceSpan> to;  // EmbeddingPin::Piece
  };
  using EncodePieces = std::function<absl::StatusOr<std::vector<bool>>(std::span<const Piece> pieces)>;

  struct Options {
    StepBounds bounds;
    int64_t pieces_waiting_max = 0;
  };
  StepBatcher(Options options, EncodePieces encode, Clock& clock, std::function<void(const StepReport&)> on_step);
  ~StepBatcher() { Stop(); }
  StepBatcher(const StepBatcher&) = delete;
  StepBatcher& operator=(const StepBatcher&) = delete;

  // INVALID_ARGUMENT: a piece above patches_max. RESOURCE_EXHAUSTED: too many pieces wait. `done` is not called then.
  absl::Status Submit(const std::shared_ptr<ImageJob>& job);

  // Ends the step under way, fails what waits, with CANCELLED, and joins. Idempotent.
  void Stop();

  int64_t pieces_waiting() const;

 private:
  struct Waiting {
    std::shared_ptr<ImageJob> job;
    int64_t piece;
    int64_t patches;
  };
  void Run();
  std::vector<Waiting> NextStep();
  void RunStep(std::vector<Waiting> step);
  void Finish(const std::shared_ptr<ImageJob>& job, absl::Status status);

  const Options options_;
  const EncodePieces encode_;
  Clock& clock_;
  const std::function<void(const StepReport&)> on_step_;
  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::deque<Waiting> waiting_;
  std::vector<int64_t> patches_waiting_;  // of `waiting_`, while a step is chosen; has its memory from the start
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace headroom::vision_worker
