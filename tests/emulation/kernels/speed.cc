// Million warp instructions a second of one core: of plain kernels and of one made of mma, checked and not. Counts the
// processor's time, so that other work on the machine disturbs less. Not a test: build/release/bin/emulation-speed
// [KERNEL].
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

#include "tests/emulation/kernels/machine_device.h"

namespace emulation {
namespace {

constexpr int kTurns = 5;
constexpr int kHeads = 8, kKvHeads = 2, kHeadBytes = 64 * sizeof(uint16_t);  // of the attention kernels

double Seconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

struct Work {
  const char* file;
  const char* kernel;
  LaunchArguments (*arguments)(TestDevice& device);
};

uint64_t Zeros(TestDevice& device, size_t bytes) { return device.Upload(std::vector<uint8_t>(bytes)); }

LaunchArguments RowNormArguments(TestDevice& device) {
  constexpr int kRows = 256, kHidden = 4096;
  const size_t bytes = size_t{kRows} * kHidden * sizeof(uint16_t);
  return {
      {kRows},
      {256},
      Pack(Zeros(device, bytes), Zeros(device, kHidden * sizeof(uint16_t)), Zeros(device, bytes), int{kHidden}, 1e-6F)
          .block};
}

LaunchArguments PagedAttentionArguments(TestDevice& device) {
  constexpr int kSequences = 4, kLength = 500, kBlockSize = 16, kBlocks = 32;
  const uint64_t cache[] = {Zeros(device, size_t{kSequences} * kBlocks * kKvHeads * kBlockSize * kHeadBytes),
                            Zeros(device, size_t{kSequences} * kBlocks * kKvHeads * kBlockSize * kHeadBytes)};
  const uint64_t table = device.Upload(std::vector<int>(kSequences * kBlocks));
  const uint64_t lengths = device.Upload(std::vector<int>(kSequences, kLength));
  const uint64_t q = Zeros(device, kSequences * kHeads * kHeadBytes),
                 out = Zeros(device, kSequences * kHeads * kHeadBytes);
  return {{kKvHeads, kSequences},
          {128},
          Pack(q, cache[0], cache[1], table, lengths, out, int{kHeads}, int{kKvHeads}, int{kBlockSize}, int{kBlocks},
               0.125F)
              .block,
          kHeads / kKvHeads * kLength * sizeof(float)};
}

LaunchArguments FlashAttentionArguments(TestDevice& device) {
  constexpr int kRows = 256, kKeys = 512;
  const uint64_t q = Zeros(device, size_t{kRows} * kHeads * kHeadBytes),
                 out = Zeros(device, size_t{kRows} * kHeads * kHeadBytes);
  const uint64_t k = Zeros(device, size_t{kKeys} * kKvHeads * kHeadBytes),
                 v = Zeros(device, size_t{kKeys} * kKvHeads * kHeadBytes);
  return {{kRows / 64, kHeads},
          {128},
          Pack(q, k, v, out, int{kRows}, int{kKeys}, int{kHeads}, int{kKvHeads}, 0, 0.125F).block};
}

constexpr Work kWorks[] = {{"row_norm", "RowNorm", RowNormArguments},
                           {"paged_attention", "PagedAttention", PagedAttentionArguments},
                           {"flash_attention", "FlashAttention", FlashAttentionArguments}};

// The best of some launches, in million warp instructions a second.
double Rate(const Work& work, bool checked) {
  TestDevice device;
  const Program& program = device.Load(KernelPtx(work.file));
  const LaunchArguments arguments = work.arguments(device);
  Options options;
  options.checked = checked;
  double best = 0;
  for (int turn = 0; turn < kTurns; turn++) {
    const double begin = Seconds();
    const Counters counters = Launch(program, *program.Kernel(work.kernel), arguments, device.memory, options);
    best = std::max(best, static_cast<double>(counters.warp_instructions) / (Seconds() - begin) * 1e-6);
  }
  return best;
}

}  // namespace
}  // namespace emulation

int main(int argc, char** argv) {
  printf("%-16s %10s %10s %6s   M warp instructions/s\n", "", "unchecked", "checked", "ratio");
  for (const emulation::Work& work : emulation::kWorks) {
    if (argc > 1 && std::string(argv[1]) != work.kernel) continue;
    const double unchecked = emulation::Rate(work, false), checked = emulation::Rate(work, true);
    printf("%-16s %10.1f %10.1f %6.2f\n", work.kernel, unchecked, checked, checked / unchecked);
  }
}
