// Messages between the vision-worker, the spawner and the decoder processes. All run the same build on the same
// machine, so plain structs in host order do. The worker trusts none of the values that a decoder sends.
//
//   worker ──SpawnRequest──▶ spawner ──fork──▶ decoder    SOCK_SEQPACKET; SpawnReply carries the decoder's socket
//   worker ◀──DecoderHello── decoder                      SOCK_STREAM; sent once, after the decoder confined itself
//   worker ──DecodeRequest + memfd, then `size` bytes──▶ decoder ──DecodeReply──▶ worker; the decoder exits
#pragma once

#include <cstdint>

namespace headroom::vision_worker {

// The descriptor that the spawner finds its control socket on, and a decoder its own.
inline constexpr int kSandboxSocketFd = 3;

struct SpawnRequest {
  static constexpr uint32_t kMagic = 0x48695370;
  uint32_t magic = kMagic;
  int32_t old_pid = 0;  // decoder to kill and reap first; 0: none
};

struct SpawnReply {
  static constexpr uint32_t kMagic = 0x48695371;
  uint32_t magic = kMagic;
  int32_t pid = 0;         // 0: no process could be made
  int32_t old_signal = 0;  // signal that ended the old decoder, 0 when it exited by itself
};

enum class Confinement : uint32_t {
  kFailed = 0,     // limits or filter could not be set
  kSeccomp = 1,    // everything in force
  kNoSeccomp = 2,  // everything but the system-call filter
};

struct DecoderHello {
  static constexpr uint32_t kMagic = 0x48695372;
  uint32_t magic = kMagic;
  Confinement confinement = Confinement::kFailed;
};

enum class DecoderTask : uint32_t {
  kDecode = 1,
  kTrespass = 2,  // make a forbidden system call: the filter must end the process (checked once at start)
};

struct DecodeRequest {
  static constexpr uint32_t kMagic = 0x48695373;
  uint32_t magic = kMagic;
  DecoderTask task = DecoderTask::kDecode;
  uint32_t format = 0;  // model::ImageFormat
  int32_t width = 0;    // as people see it, before it is shrunk
  int32_t height = 0;
  uint32_t orientation = 0;   // model::Orientation
  uint32_t transparency = 0;  // Transparency
  int32_t shrink = 0;
  uint64_t size = 0;  // compressed bytes that follow
};

struct DecodeReply {
  static constexpr uint32_t kMagic = 0x48695374;
  uint32_t magic = kMagic;
  uint32_t outcome = 0;  // DecodeOutcome
};

}  // namespace headroom::vision_worker
