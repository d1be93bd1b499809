// What the environment says of the emulated NCCL: variables of the real one, and EMULATED_NCCL_FAULTS.
#pragma once

#include <cstdint>
#include <vector>

namespace emulation {

struct NcclFault {
  bool lost;  // the rank's connection is cut; else the operation never begins, and nobody is told
  int rank;
  uint64_t operation;  // counted from 1 on that rank
};

struct NcclSettings {
  int channels = 16;                   // NCCL_MAX_NCHANNELS, 1 … 64
  uint64_t buffer_bytes = 4ull << 20;  // NCCL_BUFFSIZE, of one channel to one peer
  bool connect_at_first_call = true;   // NCCL_RUNTIME_CONNECT=0: when the communicator is made
  std::vector<NcclFault> faults;       // EMULATED_NCCL_FAULTS: "lost:RANK:N", "stuck:RANK:N", by commas
};

// Read once. Ends the process with a message when a value cannot be understood.
const NcclSettings& GetNcclSettings();
// The same from any source of variables, for tests. Throws std::invalid_argument.
NcclSettings ReadNcclSettings(const char* (*variable)(const char* name));

// Bytes of the device. The form is NCCL's (a part at once, the buffers of every channel and peer at connect), the
// figures are not a card's.
uint64_t CommunicatorBytes();
uint64_t ConnectionBytes(int ranks, int channels_max);

}  // namespace emulation
