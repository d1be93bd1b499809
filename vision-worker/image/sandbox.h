// Decoding of untrusted bytes in processes that can do nothing else: the only way for a service to get pixels from a
// caller's image.
//
// A small program, headroom-image-decoder, forks one confined process per picture: no capabilities, no files, no
// network, a system-call filter, bounded memory and time. A picture that crashes it, hangs it or takes it over costs
// its own request and nothing more; the process is thrown away after every picture in any case. Pixels come back in
// shared memory and are not copied.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "vision-worker/image/decode_spec.h"
#include "vision-worker/image/rgb_image.h"
#include "vision-worker/image/spawner_link.h"

namespace headroom::vision_worker {

struct SandboxConfig {
  std::string decoder_path;        // empty: headroom-image-decoder in the folder of the running program
  int decoders_max = 2;            // pictures decoded at once, 1 … 64
  int waiting_max = 64;            // callers in line for a decoder, 0 … 4096
  int64_t decode_ms_max = 10'000;  // one picture, 1 … 600000
  bool seccomp_required = true;    // false: go on without the system-call filter where the kernel refuses it
};

struct SandboxStats {
  // Now.
  int busy = 0;     // decoders at work. For tests: the moment when one can be ended.
  int waiting = 0;  // callers in line. For tests: the moment when nobody else may join.
  // Since Start(); each finished request is in exactly one of these.
  uint64_t decoded = 0;
  uint64_t undecodable = 0;  // the decoder said so: truncated, corrupt, unsupported, wrong size, too much memory
  uint64_t crashed = 0;      // the decoder died (crash, filter, memory) or answered nonsense
  uint64_t timed_out = 0;
  uint64_t not_served = 0;  // line full, waited too long, no memory for the pixels, no decoder process
};

class ImageSandbox {
 public:
  // Starts the decoders and, with seccomp_required, makes sure that the filter bites. Call early in main, before gRPC,
  // so that no descriptor is inherited. INVALID_ARGUMENT: config; FAILED_PRECONDITION: program not found, or it cannot
  // confine itself here.
  static absl::StatusOr<std::unique_ptr<ImageSandbox>> Start(const SandboxConfig& config);
  // No Decode may be running. Ends all processes.
  ~ImageSandbox();
  ImageSandbox(const ImageSandbox&) = delete;
  ImageSandbox& operator=(const ImageSandbox&) = delete;

  // Decodes to 8-bit RGB as `spec` says; its header is ProbeImage's, whose limits the caller has checked. Blocks: at
  // most wait_max in line (first come, first served), then at most decode_ms_max. Thread-safe.
  //   INVALID_ARGUMENT    the image could not be decoded (the reason from a closed list; also when the decoder crashed
  //                       or took too long)
  //   DEADLINE_EXCEEDED   no decoder became free within wait_max
  //   RESOURCE_EXHAUSTED  the line is full, or there is no memory for the pixels
  //   UNAVAILABLE         no decoder process can be made
  absl::StatusOr<RgbImage> Decode(const std::string& bytes, const DecodeSpec& spec, std::chrono::milliseconds wait_max);

  SandboxStats stats() const;
  // Process ids of the decoders that are ready or at work. For tests: to end them from outside.
  std::vector<int> decoder_pids() const;

  // Host memory that all decoders together can take, beside the bytes of the caller: processes, pixels and scratch at
  // these limits.
  static int64_t HostBytesMax(const SandboxConfig& config, const model::ImageLimits& limits);

 private:
  enum class Verdict { kDecoded, kUndecodable, kCrashed, kTimedOut, kNotServed };
  struct Answer;

  explicit ImageSandbox(const SandboxConfig& config, std::string path);

  absl::Status CheckFilter();
  absl::StatusOr<size_t> TakeSlot(std::chrono::milliseconds wait_max);
  void ReturnSlot(size_t slot);
  // Renews the slot's process if it is missing or dead.
  absl::Status EnsureDecoder(size_t slot);
  // Ends the slot's process and puts a fresh one there. `old_signal` gets the signal that ended the old one.
  absl::Status Renew(size_t slot, int* old_signal);
  Answer Serve(size_t slot, const std::string& bytes, const DecodeSpec& spec);
  void Count(Verdict verdict);

  const SandboxConfig config_;
  SpawnerLink spawner_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<size_t> free_;   // slots without a caller
  std::deque<uint64_t> line_;  // tickets of waiting callers
  uint64_t next_ticket_ = 0;
  std::vector<int> pids_;  // of each slot; 0: none
  SandboxStats stats_;

  // processes_[slot] belongs to the caller that took the slot.
  std::vector<DecoderProcess> processes_;
};

}  // namespace headroom::vision_worker
