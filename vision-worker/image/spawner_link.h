// The worker's side of the spawner process: starts it, asks it for decoders, starts it again should it die.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "vision-worker/image/sandbox_protocol.h"
#include "vision-worker/image/socket_io.h"

namespace headroom::vision_worker {

struct DecoderProcess {
  pid_t pid = 0;  // 0: none
  UniqueFd socket;
  Confinement confinement = Confinement::kFailed;
};

class SpawnerLink {
 public:
  // `path`: the program headroom-image-decoder.
  SpawnerLink(std::string path, int cpu_seconds_max, bool seccomp_required, std::chrono::milliseconds timeout);
  // Ends the spawner and with it every decoder.
  ~SpawnerLink();

  // Ends the process `old` (whatever it is doing) and returns a fresh decoder that has confined itself; `old_signal`
  // gets the signal that ended the old one, 0 for none. Starts the spawner when there is none. UNAVAILABLE when no
  // process can be made, FAILED_PRECONDITION when it cannot confine itself; `old` is gone in any case. Thread-safe.
  // Uses posix_spawn only: safe in a program with threads.
  absl::StatusOr<DecoderProcess> Replace(DecoderProcess old, int* old_signal);

 private:
  absl::Status StartSpawner();  // these three hold mutex_
  void StopSpawner();
  absl::StatusOr<DecoderProcess> Ask(pid_t old_pid, int* old_signal);

  const std::string path_;
  const int cpu_seconds_max_;
  const bool seccomp_required_;
  const std::chrono::milliseconds timeout_;

  std::mutex mutex_;
  pid_t spawner_ = 0;
  UniqueFd control_;
};

}  // namespace headroom::vision_worker
