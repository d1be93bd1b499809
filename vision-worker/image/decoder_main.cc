// headroom-image-decoder: turns untrusted bytes into pixels for a vision-worker, in processes that can do nothing else.
//
// The program that the worker starts is the spawner: one thread, no secrets in its environment, no descriptor but the
// control socket. For each request of the worker it forks one decoder, which confines itself, serves one picture and
// exits; so no caller's bytes are ever in a process that saw another caller's. Decoders die with the spawner, and the
// spawner ends when the worker does.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "vision-worker/image/codec.h"
#include "vision-worker/image/confinement.h"
#include "vision-worker/image/sandbox_protocol.h"
#include "vision-worker/image/socket_io.h"

namespace headroom::vision_worker {
namespace {

struct Options {
  int cpu_seconds_max = 0;
  bool seccomp_required = true;
};

constexpr size_t kCompressedBytesMax = size_t{1} << 30;
constexpr int kSideMax = 65535;

// False for what no worker of this build asks.
bool ReadSpec(const DecodeRequest& request, DecodeSpec* spec) {
  spec->header = {static_cast<model::ImageFormat>(request.format), request.width, request.height,
                  static_cast<model::Orientation>(request.orientation)};
  spec->transparency = static_cast<Transparency>(request.transparency);
  spec->shrink = request.shrink;
  const bool shrink_known = request.shrink == 1 || request.shrink == 2 || request.shrink == 4 || request.shrink == 8;
  return request.width >= 1 && request.width <= kSideMax && request.height >= 1 && request.height <= kSideMax &&
         request.size <= kCompressedBytesMax && request.orientation >= 1 && request.orientation <= 8 &&
         spec->transparency <= kTransparencyLast && shrink_known;
}

DecodeOutcome Decode(const DecodeRequest& request, const DecodeSpec& spec, int pixels_fd) {
  const int64_t pixel_bytes = int64_t{3} * spec.width() * spec.height();
  const auto size = static_cast<int64_t>(request.size);
  if (!LimitNewMemory(size + pixel_bytes + DecodeScratchBytesMax(request.width, request.height)))
    return DecodeOutcome::kNoMemory;
  std::unique_ptr<uint8_t[]> bytes(new (std::nothrow) uint8_t[request.size]);
  if (bytes == nullptr) return DecodeOutcome::kNoMemory;
  if (ReadAll(kSandboxSocketFd, bytes.get(), request.size, SteadyTime::max()) != IoResult::kOk) _exit(1);
  void* pixels = mmap(nullptr, static_cast<size_t>(pixel_bytes), PROT_READ | PROT_WRITE, MAP_SHARED, pixels_fd, 0);
  if (pixels == MAP_FAILED) return DecodeOutcome::kNoMemory;
  return DecodeImage(spec, bytes.get(), request.size, static_cast<uint8_t*>(pixels));
}

[[noreturn]] void ServeOne() {
  DecodeRequest request;
  UniqueFd pixels;
  if (ReceiveWithFd(kSandboxSocketFd, &request, sizeof(request), &pixels, SteadyTime::max()) != IoResult::kOk) _exit(0);
  if (request.magic != DecodeRequest::kMagic) _exit(1);
  if (request.task == DecoderTask::kTrespass) {
    socket(AF_INET, SOCK_STREAM, 0);
    _exit(0);
  }
  DecodeSpec spec;
  if (!pixels.valid() || !ReadSpec(request, &spec)) _exit(1);
  DecodeReply reply;
  reply.outcome = static_cast<uint32_t>(Decode(request, spec, pixels.get()));
  WriteAll(kSandboxSocketFd, &reply, sizeof(reply), SteadyTime::max());
  _exit(0);
}

// In the new process. `own` is its end of the socket pair.
[[noreturn]] void RunDecoder(int own, const Options& options) {
  // Sanitizer reports go to stderr; otherwise a decoder has nothing to say.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  dup2(STDIN_FILENO, STDERR_FILENO);
#endif
  if (own != kSandboxSocketFd && dup2(own, kSandboxSocketFd) != kSandboxSocketFd) _exit(1);
  if (close_range(kSandboxSocketFd + 1, ~0U, 0) != 0) _exit(1);
  DecoderHello hello;
  hello.confinement = ConfineDecoder(options.cpu_seconds_max, options.seccomp_required);
  WriteAll(kSandboxSocketFd, &hello, sizeof(hello), SteadyTime::max());
  if (hello.confinement == Confinement::kFailed) _exit(1);
  ServeOne();
}

class Spawner {
 public:
  explicit Spawner(const Options& options) : options_(options) {}

  // Serves the control socket until the worker closes it.
  void Run() {
    SpawnRequest request;
    UniqueFd none;
    while (ReceiveWithFd(kSandboxSocketFd, &request, sizeof(request), &none, SteadyTime::max()) == IoResult::kOk) {
      if (request.magic != SpawnRequest::kMagic) break;
      SpawnReply reply;
      if (request.old_pid != 0) reply.old_signal = End(request.old_pid);
      UniqueFd worker_end;
      reply.pid = Fork(&worker_end);
      if (SendWithFd(kSandboxSocketFd, &reply, sizeof(reply), worker_end.get(), SteadyTime::max()) != IoResult::kOk)
        break;
    }
    while (!children_.empty()) End(children_.back());
  }

 private:
  // Kills and reaps; the signal that ended the process, which may have been its own doing.
  int End(pid_t pid) {
    auto child = std::find(children_.begin(), children_.end(), pid);
    if (child == children_.end()) return 0;
    children_.erase(child);
    kill(pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }

  pid_t Fork(UniqueFd* worker_end) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return 0;
    *worker_end = UniqueFd(ends[0]);
    UniqueFd decoder_end(ends[1]);
    const pid_t spawner = getpid();
    const pid_t pid = fork();
    if (pid == 0) {
      // The order matters: a spawner that died before this line is noticed by the second check.
      if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != spawner) _exit(1);
      RunDecoder(decoder_end.Release(), options_);
    }
    if (pid < 0) {
      worker_end->Reset();
      return 0;
    }
    children_.push_back(pid);
    return pid;
  }

  const Options options_;
  std::vector<pid_t> children_;
};

bool ParseOptions(int argc, char** argv, Options* options) {
  if (argc != 3) return false;
  options->cpu_seconds_max = std::atoi(argv[1]);
  options->seccomp_required = std::strcmp(argv[2], "seccomp-optional") != 0;
  return options->cpu_seconds_max > 0;
}

bool PrepareProcess() {
  // Ctrl-C and a service manager's SIGTERM go to the whole group; the worker drains with its decoders alive and ends
  // them by EOF.
  for (int signal_number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) std::signal(signal_number, SIG_IGN);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0) return false;
  return close_range(kSandboxSocketFd + 1, ~0U, 0) == 0;
}

int Main(int argc, char** argv) {
  Options options;
  int type = 0;
  socklen_t length = sizeof(type);
  bool started_by_worker = ParseOptions(argc, argv, &options) &&
                           getsockopt(kSandboxSocketFd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 &&
                           type == SOCK_SEQPACKET;
  if (!started_by_worker) {
    std::fprintf(stderr, "headroom-image-decoder is started by the vision-worker; it has no use by hand.\n");
    return 2;
  }
  if (!PrepareProcess()) {
    std::fprintf(stderr, "headroom-image-decoder: /dev/null or close_range is not available\n");
    return 1;
  }
  Spawner(options).Run();
  return 0;
}

}  // namespace
}  // namespace headroom::vision_worker

int main(int argc, char** argv) { return headroom::vision_worker::Main(argc, argv); }
