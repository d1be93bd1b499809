#include "vision-worker/step_batcher.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/compute_thread.h"

namespace headroom::vision_worker {

std::vector<size_t> ChooseStep(std::span<const int64_t> patches, const StepBounds& bounds) {
  std::vector<size_t> chosen;
  int64_t left = bounds.patches_max;
  for (size_t i = 0; i < patches.size() && left > 0; ++i) {
    if (static_cast<int64_t>(chosen.size()) == bounds.pieces_max) break;
    if (!chosen.empty() && patches[i] > left) continue;
    chosen.push_back(i);
    left -= patches[i];
  }
  return chosen;
}

StepBatcher::StepBatcher(Options options, EncodePieces encode, Clock& clock,
                         std::function<void(const StepReport&)> on_step)
    : options_(options), encode_(std::move(encode)), clock_(clock), on_step_(std::move(on_step)) {
  HEADROOM_CHECK(options_.bounds.patches_max > 0 && options_.bounds.pieces_max > 0) << "step bounds";
  patches_waiting_.reserve(static_cast<size_t>(std::max<int64_t>(0, options_.pieces_waiting_max)));
  thread_ = std::thread([this] { Run(); });
}

void StepBatcher::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  if (thread_.joinable()) thread_.join();
}

absl::Status StepBatcher::Submit(const std::shared_ptr<ImageJob>& job) {
  const auto pieces = static_cast<int64_t>(job->pieces.size());
  HEADROOM_CHECK(pieces > 0 && pieces == job->pin.pieces()) << "pieces " << pieces;
  for (const PiecePixels& piece : job->pieces) {
    if (piece.grid.patches() > options_.bounds.patches_max) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a piece of ", piece.grid.patches(), " patches is above max_patches_per_step ", options_.bounds.patches_max));
    }
  }
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return absl::UnavailableError("the worker is shutting down");
    if (pieces > options_.pieces_waiting_max - static_cast<int64_t>(waiting_.size())) {
      return absl::ResourceExhaustedError(
          absl::StrCat("at most ", options_.pieces_waiting_max, " pieces wait for the vision tower"));
    }
    job->pieces_left_ = pieces;
    for (int64_t piece = 0; piece < pieces; ++piece) {
      waiting_.push_back({job, piece, job->pieces[static_cast<size_t>(piece)].grid.patches()});
    }
  }
  work_.notify_one();
  return absl::OkStatus();
}

int64_t StepBatcher::pieces_waiting() const {
  std::lock_guard lock(mutex_);
  return static_cast<int64_t>(waiting_.size());
}

void StepBatcher::Run() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (stopping_) break;
    }
    const ComputeScope scope;
    if (std::vector<Waiting> step = NextStep(); !step.empty()) RunStep(std::move(step));
  }
  std::unique_lock lock(mutex_);
  while (!waiting_.empty()) {
    const std::shared_ptr<ImageJob> job = waiting_.front().job;
    lock.unlock();
    Finish(job, absl::CancelledError("the worker is shutting down"));
    lock.lock();
  }
}

std::vector<StepBatcher::Waiting> StepBatcher::NextStep() {
  std::vector<std::shared_ptr<ImageJob>> cancelled;
  std::vector<Waiting> step;
  {
    std::lock_guard lock(mutex_);
    patches_waiting_.clear();
    for (const Waiting& waiting : waiting_) {
      patches_waiting_.push_back(waiting.patches);
      if (waiting.job->cancelled && (cancelled.empty() || cancelled.back() != waiting.job)) {
        cancelled.push_back(waiting.job);
      }
    }
    if (cancelled.empty()) {
      const std::vector<size_t> chosen = ChooseStep(patches_waiting_, options_.bounds);
      for (size_t index : chosen) step.push_back(std::move(waiting_[index]));
      std::erase_if(waiting_, [](const Waiting& waiting) { return waiting.job == nullptr; });
    }
  }
  for (const auto& job : cancelled) Finish(job, absl::CancelledError("cancelled"));
  return step;
}

void StepBatcher::RunStep(std::vector<Waiting> step) {
  std::vector<Piece> pieces;
  StepReport report{.pieces = static_cast<int64_t>(step.size())};
  for (const Waiting& waiting : step) {
    pieces.push_back({&waiting.job->pieces[static_cast<size_t>(waiting.piece)], waiting.job->pin.Piece(waiting.piece)});
    report.patches += waiting.patches;
  }
  const TimePoint begin = clock_.Now();
  const absl::StatusOr<std::vector<bool>> finite = encode_(pieces);
  report.seconds = Seconds(clock_.Now() - begin);
  if (finite.ok()) on_step_(report);

  for (size_t i = 0; i < step.size(); ++i) {
    const std::shared_ptr<ImageJob>& job = step[i].job;
    if (job->pieces_left_ == 0) continue;  // an earlier piece of it failed
    if (!finite.ok()) {
      Finish(job, finite.status());
      continue;
    }
    if (!finite->at(i)) {
      Finish(job, absl::InternalError("the vision tower gave a value that is not a number"));
      continue;
    }
    job->pieces[static_cast<size_t>(step[i].piece)].rgb = {};
    job->seconds_ += report.seconds * static_cast<double>(step[i].patches) / static_cast<double>(report.patches);
    if (--job->pieces_left_ > 0) continue;
    job->pin.Publish(job->seconds_);
    Finish(job, absl::OkStatus());
  }
}

// Takes the job out of the queue and tells its owner.
void StepBatcher::Finish(const std::shared_ptr<ImageJob>& job, absl::Status status) {
  job->pieces_left_ = 0;
  {
    std::lock_guard lock(mutex_);
    std::erase_if(waiting_, [&job](const Waiting& waiting) { return waiting.job == job; });
  }
  if (auto done = std::exchange(job->done, nullptr)) done(std::move(status), job->seconds_);
}

}  // namespace headroom::vision_worker
