#include "vision-worker/image/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <utility>

#include "common/log.h"
#include "common/range.h"
#include "common/status.h"
#include "vision-worker/image/codec.h"

namespace headroom::vision_worker {
namespace {

constexpr const char* kProgram = "headroom-image-decoder";
constexpr std::chrono::milliseconds kSpawnTimeout(10'000);

SteadyTime After(std::chrono::milliseconds wait) { return std::chrono::steady_clock::now() + wait; }

std::string BesideThisProgram() {
  char path[4096];
  ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  if (length <= 0 || length == static_cast<ssize_t>(sizeof(path))) return kProgram;
  std::string self(path, static_cast<size_t>(length));
  return self.substr(0, self.rfind('/') + 1) + kProgram;
}

absl::Status Check(const SandboxConfig& config) {
  HEADROOM_RETURN_IF_ERROR(CheckRange("decoders_max", config.decoders_max, 1, 64));
  HEADROOM_RETURN_IF_ERROR(CheckRange("waiting_max", config.waiting_max, 0, 4096));
  return CheckRange("decode_ms_max", config.decode_ms_max, 1, 600'000);
}

int CpuSeconds(const SandboxConfig& config) { return static_cast<int>(config.decode_ms_max / 1000 + 1); }

const char* Reason(DecodeOutcome outcome) {
  switch (outcome) {
    case DecodeOutcome::kTruncated:
      return "image could not be decoded: the data is truncated";
    case DecodeOutcome::kCorrupt:
      return "image could not be decoded: the data is corrupt";
    case DecodeOutcome::kUnsupported:
      return "image could not be decoded: a variant that is not supported";
    case DecodeOutcome::kWrongSize:
      return "image could not be decoded: its size differs from its header";
    case DecodeOutcome::kNoMemory:
      return "image could not be decoded: it needs more memory than a picture of its size may take";
    case DecodeOutcome::kOk:
      break;
  }
  return "image could not be decoded";
}

// A decoder says nothing before it is asked: anything to read means that it is gone (killed while idle, say).
bool HasHungUp(const UniqueFd& socket) {
  pollfd entry{socket.get(), POLLIN, 0};
  return poll(&entry, 1, 0) != 0;
}

// Shared memory that the decoder writes pixels to. Sealed, so that it cannot shrink it under the worker's feet.
UniqueFd CreatePixels(int64_t bytes) {
  UniqueFd fd(memfd_create("headroom-pixels", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid() || ftruncate(fd.get(), bytes) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return UniqueFd();
  }
  return fd;
}

std::optional<RgbImage> MapPixels(const UniqueFd& fd, const DecodeSpec& spec) {
  RgbImage image{spec.width(), spec.height(), nullptr, spec.shrink};
  const auto bytes = static_cast<size_t>(image.bytes());
  void* mapped = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (mapped == MAP_FAILED) return std::nullopt;
  image.pixels = std::shared_ptr<const uint8_t>(static_cast<const uint8_t*>(mapped),
                                                [mapped, bytes](const uint8_t*) { munmap(mapped, bytes); });
  return image;
}

}  // namespace

struct ImageSandbox::Answer {
  Verdict verdict;
  absl::StatusOr<RgbImage> image;
};

ImageSandbox::ImageSandbox(const SandboxConfig& config, std::string path)
    : config_(config),
      spawner_(std::move(path), CpuSeconds(config), config.seccomp_required, kSpawnTimeout),
      pids_(config.decoders_max, 0),
      processes_(config.decoders_max) {
  for (size_t slot = 0; slot < processes_.size(); ++slot) free_.push_back(slot);
}

ImageSandbox::~ImageSandbox() = default;

absl::StatusOr<std::unique_ptr<ImageSandbox>> ImageSandbox::Start(const SandboxConfig& config) {
  HEADROOM_RETURN_IF_ERROR(Check(config));
  std::string path = config.decoder_path.empty() ? BesideThisProgram() : config.decoder_path;
  std::unique_ptr<ImageSandbox> sandbox(new ImageSandbox(config, std::move(path)));
  for (size_t slot = 0; slot < sandbox->processes_.size(); ++slot)
    HEADROOM_RETURN_IF_ERROR(sandbox->EnsureDecoder(slot));
  if (sandbox->processes_[0].confinement == Confinement::kSeccomp) {
    HEADROOM_RETURN_IF_ERROR(sandbox->CheckFilter());
  } else {
    Log(LogLevel::kWarning, "vision-worker", "image decoders run without a system-call filter");
  }
  return sandbox;
}

// A filter that loads and is not enforced has been seen in emulated kernels; so one decoder tries what it must not.
absl::Status ImageSandbox::CheckFilter() {
  DecodeRequest request;
  request.task = DecoderTask::kTrespass;
  const SteadyTime deadline = After(kSpawnTimeout);
  const int socket = processes_[0].socket.get();
  char byte = 0;
  if (SendWithFd(socket, &request, sizeof(request), -1, deadline) != IoResult::kOk ||
      ReadAll(socket, &byte, 1, deadline) != IoResult::kClosed) {
    return absl::FailedPreconditionError("the image decoder does not answer");
  }
  int signal_number = 0;
  HEADROOM_RETURN_IF_ERROR(Renew(0, &signal_number));
  if (signal_number != SIGSYS) {
    return absl::FailedPreconditionError("the image decoder's system-call filter is not enforced here");
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> ImageSandbox::TakeSlot(std::chrono::milliseconds wait_max) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (free_.empty() || !line_.empty()) {
    if (static_cast<int>(line_.size()) >= config_.waiting_max) {
      return absl::ResourceExhaustedError(
          absl::StrCat("image decoders are busy and ", line_.size(), " images wait: limit ", config_.waiting_max));
    }
    const uint64_t ticket = next_ticket_++;
    line_.push_back(ticket);
    const SteadyTime deadline = After(std::min<std::chrono::milliseconds>(wait_max, std::chrono::hours(1)));
    const bool served = changed_.wait_until(lock, deadline, [&] { return !free_.empty() && line_.front() == ticket; });
    line_.erase(std::find(line_.begin(), line_.end(), ticket));
    changed_.notify_all();
    if (!served) {
      return absl::DeadlineExceededError(absl::StrCat("no image decoder became free within ", wait_max.count(), " ms"));
    }
  }
  const size_t slot = free_.back();
  free_.pop_back();
  return slot;
}

void ImageSandbox::ReturnSlot(size_t slot) {
  std::lock_guard<std::mutex> lock(mutex_);
  free_.push_back(slot);
  changed_.notify_all();
}

absl::Status ImageSandbox::EnsureDecoder(size_t slot) {
  if (processes_[slot].pid != 0 && !HasHungUp(processes_[slot].socket)) return absl::OkStatus();
  int ignored = 0;
  return Renew(slot, &ignored);
}

absl::Status ImageSandbox::Renew(size_t slot, int* old_signal) {
  absl::StatusOr<DecoderProcess> fresh = spawner_.Replace(std::exchange(processes_[slot], {}), old_signal);
  absl::Status status = fresh.status();
  if (status.ok()) processes_[slot] = *std::move(fresh);
  std::lock_guard<std::mutex> lock(mutex_);
  pids_[slot] = processes_[slot].pid;
  return status;
}

ImageSandbox::Answer ImageSandbox::Serve(size_t slot, const std::string& bytes, const DecodeSpec& spec) {
  auto crashed = [] { return Answer{Verdict::kCrashed, absl::InvalidArgumentError("image could not be decoded")}; };
  auto late = [this] {
    return Answer{Verdict::kTimedOut,
                  absl::InvalidArgumentError(
                      absl::StrCat("image could not be decoded: it takes longer than ", config_.decode_ms_max, " ms"))};
  };
  UniqueFd pixels = CreatePixels(int64_t{3} * spec.width() * spec.height());
  if (!pixels.valid()) return {Verdict::kNotServed, absl::ResourceExhaustedError("no memory for the decoded image")};

  DecodeRequest request;
  request.format = static_cast<uint32_t>(spec.header.format);
  request.width = spec.header.width;
  request.height = spec.header.height;
  request.orientation = static_cast<uint32_t>(spec.header.orientation);
  request.transparency = static_cast<uint32_t>(spec.transparency);
  request.shrink = spec.shrink;
  request.size = bytes.size();
  const SteadyTime deadline = After(std::chrono::milliseconds(config_.decode_ms_max));
  const int socket = processes_[slot].socket.get();
  IoResult io = SendWithFd(socket, &request, sizeof(request), pixels.get(), deadline);
  if (io == IoResult::kOk) io = WriteAll(socket, bytes.data(), bytes.size(), deadline);
  DecodeReply reply;
  if (io == IoResult::kOk || io == IoResult::kClosed) io = ReadAll(socket, &reply, sizeof(reply), deadline);
  if (io == IoResult::kTimeout) return late();
  if (io != IoResult::kOk || reply.magic != DecodeReply::kMagic ||
      reply.outcome > static_cast<uint32_t>(kDecodeOutcomeLast)) {
    return crashed();
  }
  const auto outcome = static_cast<DecodeOutcome>(reply.outcome);
  if (outcome != DecodeOutcome::kOk) return {Verdict::kUndecodable, absl::InvalidArgumentError(Reason(outcome))};
  std::optional<RgbImage> image = MapPixels(pixels, spec);
  if (!image) return {Verdict::kNotServed, absl::ResourceExhaustedError("no memory for the decoded image")};
  return {Verdict::kDecoded, *std::move(image)};
}

absl::StatusOr<RgbImage> ImageSandbox::Decode(const std::string& bytes, const DecodeSpec& spec,
                                              std::chrono::milliseconds wait_max) {
  HEADROOM_RETURN_IF_ERROR(CheckRange("image width", spec.header.width, 1, 65535));
  HEADROOM_RETURN_IF_ERROR(CheckRange("image height", spec.header.height, 1, 65535));
  absl::StatusOr<size_t> slot = TakeSlot(wait_max);
  if (!slot.ok()) {
    Count(Verdict::kNotServed);
    return slot.status();
  }
  absl::Status ready = EnsureDecoder(*slot);
  if (!ready.ok()) {
    ReturnSlot(*slot);
    Count(Verdict::kNotServed);
    Log(LogLevel::kError, "vision-worker", "no image decoder").With("reason", std::string(ready.message()));
    return absl::UnavailableError("no image decoder is available");
  }
  Answer answer = Serve(*slot, bytes, spec);
  // The process ends before its pixels are looked at, so they cannot change any more.
  int signal_number = 0;
  absl::Status renewed = Renew(*slot, &signal_number);
  if (answer.verdict == Verdict::kCrashed && signal_number == 0 && renewed.ok()) {
    // No signal of its own: the spawner died and took its idle decoders along. Not the picture's doing, so once more
    // with a fresh one.
    answer = Serve(*slot, bytes, spec);
    renewed = Renew(*slot, &signal_number);
  }
  if (!renewed.ok()) {
    Log(LogLevel::kError, "vision-worker", "image decoder not replaced").With("reason", std::string(renewed.message()));
  }
  ReturnSlot(*slot);
  Count(answer.verdict);
  if (answer.verdict == Verdict::kCrashed) {
    Log(LogLevel::kWarning, "vision-worker", "image decoder crashed")
        .With("format", model::ImageFormatName(spec.header.format))
        .With("signal", signal_number)
        .With("bytes", bytes.size());
  }
  return std::move(answer.image);
}

void ImageSandbox::Count(Verdict verdict) {
  std::lock_guard<std::mutex> lock(mutex_);
  switch (verdict) {
    case Verdict::kDecoded:
      ++stats_.decoded;
      break;
    case Verdict::kUndecodable:
      ++stats_.undecodable;
      break;
    case Verdict::kCrashed:
      ++stats_.crashed;
      break;
    case Verdict::kTimedOut:
      ++stats_.timed_out;
      break;
    case Verdict::kNotServed:
      ++stats_.not_served;
      break;
  }
}

SandboxStats ImageSandbox::stats() const {
  std::lock_guard<std::mutex> lock(mutex_);
  SandboxStats stats = stats_;
  stats.busy = static_cast<int>(pids_.size() - free_.size());
  stats.waiting = static_cast<int>(line_.size());
  return stats;
}

std::vector<int> ImageSandbox::decoder_pids() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return pids_;
}

int64_t ImageSandbox::HostBytesMax(const SandboxConfig& config, const model::ImageLimits& limits) {
  // A decoder's own pages are shared with the spawner until written; about 1 MiB is written.
  constexpr int64_t kProcessBytes = int64_t{4} << 20;
  // For a given area the bound is largest for the longest shape.
  const int64_t width = std::min(limits.side_max, limits.pixels_max);
  const int64_t height = std::max<int64_t>(limits.pixels_max / std::max<int64_t>(width, 1), 1);
  const int64_t scratch = DecodeScratchBytesMax(static_cast<int>(width), static_cast<int>(height));
  return (config.decoders_max + 1) * kProcessBytes +
         config.decoders_max * (limits.bytes_max + 3 * limits.pixels_max + scratch);
}

}  // namespace headroom::vision_worker
