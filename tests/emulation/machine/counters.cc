// What the memory system of a card would do with an access: 32-byte sectors of global memory, and passes over the 32
// banks of shared memory.
#include <algorithm>
#include <array>

#include "tests/emulation/machine/access.h"

namespace emulation {
namespace {

constexpr uint64_t kSectorBytes = 32;

// The addresses of the lanes that take part, one after the other.
int Compact(const WarpAccess& access, uint64_t (&to)[kLanes]) {
  int n = 0;
  ForLanes(access.mask, [&](int lane) { to[n++] = access.address[lane]; });
  return n;
}

// Passes that `n` accesses of `bytes` need: a bank of 4 bytes serves one word a pass, to any number of lanes.
int Waves(const uint64_t* address, int n, uint32_t bytes) {
  std::array<std::array<uint64_t, kLanes * 4>, 32> words;
  std::array<int, 32> used = {};
  for (int k = 0; k < n; k++) {
    for (uint64_t word = address[k] / 4; word <= (address[k] + bytes - 1) / 4; word++) {
      auto& bank = words[word % 32];
      int& count = used[word % 32];
      if (std::find(bank.begin(), bank.begin() + count, word) == bank.begin() + count) bank[count++] = word;
    }
  }
  return std::max(1, *std::max_element(used.begin(), used.end()));
}

}  // namespace

void CountGlobal(LaunchState& launch, const WarpAccess& access) {
  uint64_t address[kLanes];
  const int n = Compact(access, address);
  std::array<uint64_t, kLanes * 2> sectors;
  int count = 0;
  for (int k = 0; k < n; k++) {
    for (uint64_t s = address[k] / kSectorBytes; s <= (address[k] + access.bytes - 1) / kSectorBytes; s++)
      sectors[count++] = s;
  }
  std::sort(sectors.begin(), sectors.begin() + count);
  launch.counters.global_requests++;
  launch.counters.global_sectors += std::unique(sectors.begin(), sectors.begin() + count) - sectors.begin();
  launch.counters.global_ideal_sectors += (n * access.bytes + kSectorBytes - 1) / kSectorBytes;
}

// Lanes whose bytes together fill 128 share a pass at best: 32 of 4 bytes, 16 of 8, 8 of 16.
void CountShared(LaunchState& launch, const WarpAccess& access) {
  uint64_t address[kLanes];
  const int n = Compact(access, address), group = access.bytes >= 16 ? 8 : access.bytes >= 8 ? 16 : kLanes;
  for (int k = 0; k < n; k += group) {
    launch.counters.shared_requests++;
    launch.counters.shared_waves += Waves(address + k, std::min(group, n - k), access.bytes);
  }
}

void CountMatrix(LaunchState& launch, const uint64_t (&rows)[8]) {
  launch.counters.matrix_requests++;
  launch.counters.matrix_waves += Waves(rows, 8, 16);
}

}  // namespace emulation
