#include "worker/weight_load.h"

#include <algorithm>
#include <cmath>

#include "common/check.h"
#include "common/log.h"

namespace headroom::worker {
namespace {

constexpr std::chrono::seconds kLogPeriod(2);
constexpr double kLogShare = 0.1;
// What the scheduler is told: each step is a message.
constexpr double kReportShare = 0.005;
constexpr double kProgressMax = 0.999;

}  // namespace

bool LoadPace::Due(int64_t bytes, TimePoint now) {
  const bool share = static_cast<double>(bytes - said_bytes_) >= kLogShare * static_cast<double>(total_bytes_);
  if (!share && now - said_at_ < kLogPeriod) return false;
  said_at_ = now;
  said_bytes_ = bytes;
  return true;
}

double LoadPace::Progress(int64_t bytes) const {
  return std::min(kProgressMax, static_cast<double>(bytes) / static_cast<double>(std::max<int64_t>(1, total_bytes_)));
}

double LoadPace::BytesPerSecond(int64_t bytes, TimePoint now) const {
  const double seconds = Seconds(now - begin_);
  return seconds > 0 ? static_cast<double>(bytes) / seconds : 0;
}

WeightLoad::WeightLoad(Parts parts, ProcessEnd& process, Clock& clock)
    : parts_(std::move(parts)), process_(process), clock_(clock) {}

void WeightLoad::Start() {
  HEADROOM_CHECK(!thread_.joinable()) << "a load starts once";
  thread_ = std::thread([this] { Run(); });
}

bool WeightLoad::Stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
  const std::lock_guard lock(mutex_);
  return result_.has_value() && result_->ok();
}

absl::Status WeightLoad::WaitLoaded() {
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [this] { return result_.has_value(); });
  return *result_;
}

void WeightLoad::Run() {
  Log(LogLevel::kInfo, parts_.name.c_str(), "loading weights").With("bytes", parts_.total_bytes);
  const TimePoint begin = clock_.Now();
  LoadPace pace(parts_.total_bytes, begin);
  absl::Status status = parts_.load([&](int64_t bytes) { return Report(bytes, pace); });
  if (status.ok()) {
    const TimePoint now = clock_.Now();
    Log(LogLevel::kInfo, parts_.name.c_str(), "weights loaded")
        .With("bytes", parts_.total_bytes)
        .With("seconds", Seconds(now - begin))
        .With("bytes_per_second", std::llround(pace.BytesPerSecond(parts_.total_bytes, now)));
  } else if (!Stopping()) {
    status = absl::Status(status.code(), "weights cannot be loaded: " + std::string(status.message()));
  }
  if (status.ok() && parts_.warm_up) status = parts_.warm_up();
  if (status.ok()) {
    parts_.ready();
  } else if (Stopping()) {
    Log(LogLevel::kInfo, parts_.name.c_str(), "stopped while loading weights");
  } else {
    process_.Fail(status);
  }
  {
    const std::lock_guard lock(mutex_);
    result_ = std::move(status);
  }
  ended_.notify_all();
}

absl::Status WeightLoad::Report(int64_t bytes, LoadPace& pace) {
  if (Stopping()) return absl::CancelledError("stopped while weights were loaded");
  const double progress = pace.Progress(bytes);
  if (progress - reported_ >= kReportShare) {
    reported_ = progress;
    parts_.loading(progress);
  }
  if (const TimePoint now = clock_.Now(); pace.Due(bytes, now)) {
    Log(LogLevel::kInfo, parts_.name.c_str(), "loading weights")
        .With("percent", std::floor(100 * progress))
        .With("bytes", bytes)
        .With("of_bytes", parts_.total_bytes)
        .With("bytes_per_second", std::llround(pace.BytesPerSecond(bytes, now)));
  }
  return absl::OkStatus();
}

}  // namespace headroom::worker
