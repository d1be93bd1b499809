// Races between the blocks of a launch in global memory. Blocks run in any order and side by side, so two of them may
// touch a byte, one of them writing, only when PTX orders the two: a fence and a strong write by the first, a strong
// read and a fence by the second. Ordering is known per block, not per address: that a block acquired *some* flag after
// the other released *some* flag counts. This misses races and invents none.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace emulation {

class GlobalShadow {
 public:
  struct Conflict {
    bool found = false;
    uint32_t block = 0;  // the other one
    const char* what = "";
  };

  void Reset(uint32_t blocks);

  // `strong`: atomics, volatile, relaxed, acquire, release; two of these never race.
  Conflict Read(uint64_t address, uint32_t bytes, uint32_t block, bool strong);
  Conflict Write(uint64_t address, uint32_t bytes, uint32_t block, bool strong);

  void Fence(uint32_t block);
  // Relaxed ones order only together with a fence; `acquire` and `release` by themselves.
  void StrongRead(uint32_t block, bool acquire);
  void StrongWrite(uint32_t block, bool release);

 private:
  // Of a 4-byte word: the last writer and reader, and which of the bytes they touched. Writers of other bytes of the
  // word replace each other.
  struct Cell {
    uint32_t writer = 0, reader = 0;  // block + 1
    uint32_t write_time = 0, read_time = 0;
    uint8_t write_bytes = 0, read_bytes = 0;
    bool write_strong = false, read_strong = false;
  };
  static constexpr uint64_t kPageBytes = 4096;
  struct Page {
    Cell cells[kPageBytes / 4];
  };
  struct Release {
    uint32_t covers;     // accesses up to this time
    uint32_t published;  // when others could see it
  };
  struct BlockState {
    uint32_t acquired = 0;          // what others published before this time lies before what the block does now
    uint32_t pending_acquire = 0;   // by relaxed reads, until a fence
    uint32_t pending_release = 0;   // by fences, until a strong write
    std::vector<Release> releases;  // ascending
  };

  Cell& CellAt(uint64_t address);
  // Whether what `other` (block + 1) did at `time` is ordered before `block` now.
  bool Ordered(uint32_t other, uint32_t time, uint32_t block) const;

  std::unordered_map<uint64_t, std::unique_ptr<Page>> pages_;
  uint64_t last_page_ = ~0ull;
  Page* last_ = nullptr;
  std::vector<BlockState> blocks_;
  uint32_t time_ = 1;  // advances at every release and acquire
};

}  // namespace emulation
