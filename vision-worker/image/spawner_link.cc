#include "vision-worker/image/spawner_link.h"

#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "common/log.h"
#include "common/status.h"

extern char** environ;

namespace headroom::vision_worker {
namespace {

SteadyTime After(std::chrono::milliseconds wait) { return std::chrono::steady_clock::now() + wait; }

// The environment may hold credentials, and the spawner needs none of it. Sanitizers read their options there.
char** SpawnerEnvironment() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return environ;
#else
  static char* empty[] = {nullptr};
  return empty;
#endif
}

// Spawns with default signals, an empty signal mask, a process group of its own (so that Ctrl-C at a terminal does not
// reach it) and `socket` as its only descriptor above stderr that is not close-on-exec.
int SpawnProcess(const char* path, char* const* arguments, int socket, pid_t* pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawn_file_actions_adddup2(&actions, socket, kSandboxSocketFd);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  int error = posix_spawn(pid, path, &actions, &attributes, arguments, SpawnerEnvironment());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

}  // namespace

SpawnerLink::SpawnerLink(std::string path, int cpu_seconds_max, bool seccomp_required,
                         std::chrono::milliseconds timeout)
    : path_(std::move(path)),
      cpu_seconds_max_(cpu_seconds_max),
      seccomp_required_(seccomp_required),
      timeout_(timeout) {}

SpawnerLink::~SpawnerLink() {
  std::lock_guard<std::mutex> lock(mutex_);
  StopSpawner();
}

absl::Status SpawnerLink::StartSpawner() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return absl::UnavailableError(absl::StrCat("no socket pair for the image decoder: ", std::strerror(errno)));
  }
  UniqueFd own(ends[0]);
  UniqueFd other(ends[1]);
  std::string cpu_seconds = std::to_string(cpu_seconds_max_);
  std::string seccomp = seccomp_required_ ? "seccomp-required" : "seccomp-optional";
  std::string name = path_;
  char* arguments[] = {name.data(), cpu_seconds.data(), seccomp.data(), nullptr};
  int error = SpawnProcess(path_.c_str(), arguments, other.get(), &spawner_);
  if (error != 0) {
    spawner_ = 0;
    return absl::FailedPreconditionError(
        absl::StrCat("cannot start the image decoder ", path_, ": ", std::strerror(error)));
  }
  control_ = std::move(own);
  return absl::OkStatus();
}

void SpawnerLink::StopSpawner() {
  if (spawner_ == 0) return;
  // Closing the socket asks it to end; it kills and reaps its decoders first.
  control_.Reset();
  const SteadyTime patience = After(std::chrono::milliseconds(1000));
  int status = 0;
  pid_t done = 0;
  while ((done = waitpid(spawner_, &status, WNOHANG)) == 0 && std::chrono::steady_clock::now() < patience) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (done == 0) {
    kill(spawner_, SIGKILL);  // its decoders get PR_SET_PDEATHSIG
    waitpid(spawner_, &status, 0);
  }
  spawner_ = 0;
}

absl::StatusOr<DecoderProcess> SpawnerLink::Ask(pid_t old_pid, int* old_signal) {
  const SteadyTime deadline = After(timeout_);
  SpawnRequest request;
  request.old_pid = old_pid;
  SpawnReply reply;
  DecoderProcess decoder;
  if (SendWithFd(control_.get(), &request, sizeof(request), -1, deadline) != IoResult::kOk ||
      ReceiveWithFd(control_.get(), &reply, sizeof(reply), &decoder.socket, deadline) != IoResult::kOk ||
      reply.magic != SpawnReply::kMagic) {
    return absl::UnavailableError("the image decoder's spawner does not answer");
  }
  if (old_pid != 0) *old_signal = reply.old_signal;
  DecoderHello hello;
  if (reply.pid <= 0 || !decoder.socket.valid())
    return absl::ResourceExhaustedError("no process for the image decoder");
  decoder.pid = reply.pid;
  if (ReadAll(decoder.socket.get(), &hello, sizeof(hello), deadline) != IoResult::kOk ||
      hello.magic != DecoderHello::kMagic) {
    return absl::UnavailableError("a fresh image decoder does not answer");
  }
  if (hello.confinement != Confinement::kSeccomp && hello.confinement != Confinement::kNoSeccomp) {
    return absl::FailedPreconditionError(
        "the image decoder cannot confine itself: seccomp filters or limits are not available here");
  }
  decoder.confinement = hello.confinement;
  return decoder;
}

absl::StatusOr<DecoderProcess> SpawnerLink::Replace(DecoderProcess old, int* old_signal) {
  std::lock_guard<std::mutex> lock(mutex_);
  *old_signal = 0;
  old.socket.Reset();
  if (spawner_ != 0) {
    absl::StatusOr<DecoderProcess> fresh = Ask(old.pid, old_signal);
    if (fresh.ok()) return fresh;
    Log(LogLevel::kWarning, "vision-worker", "image decoder spawner restarted")
        .With("reason", std::string(fresh.status().message()));
    StopSpawner();  // takes `old` along
  }
  HEADROOM_RETURN_IF_ERROR(StartSpawner());
  int ignored = 0;
  absl::StatusOr<DecoderProcess> fresh = Ask(0, &ignored);
  if (!fresh.ok()) StopSpawner();
  return fresh;
}

}  // namespace headroom::vision_worker
