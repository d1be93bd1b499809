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

  GlobalShadow() = default;
  ~GlobalShadow();
  GlobalShadow(const GlobalShadow&) = delete;
  GlobalShadow& operator=(const GlobalShadow&) = delete;

  void Reset(uint32_t blocks);

  // `strong`: atomics, volatile, relaxed, acquire, release; two of these never race.
  Conflict Read(uint64_t address, uint32_t bytes, uint32_t block, bool strong);
  Conflict Write(uint64_t address, uint32_t bytes, uint32_t block, bool strong);

  // The same for whole words, with no word of them touched by another block, not strong. False: words have to be looked
  // at one by one.
  bool ReadWords(uint64_t address, uint32_t bytes, uint32_t block);
  bool WriteWords(uint64_t address, uint32_t bytes, uint32_t block);

  void Fence(uint32_t block);
  // Relaxed ones order only together with a fence; `acquire` and `release` by themselves.
  void StrongRead(uint32_t block, bool acquire);
  void StrongWrite(uint32_t block, bool release);

 private:
  static constexpr uint64_t kPageBytes = 4096, kPageWords = kPageBytes / 4;
  // The last access of a kind to each 4-byte word, and which of its bytes that touched. Accesses to other bytes of the
  // word replace each other.
  struct Last {
    uint32_t block[kPageWords];  // number + 1
    uint32_t time[kPageWords];
    uint8_t bytes[kPageWords];
    bool strong[kPageWords];

    void Set(uint64_t word, uint32_t by, uint32_t now, uint8_t mask, bool is_strong) {
      block[word] = by;
      time[word] = now;
      bytes[word] = mask;
      strong[word] = is_strong;
    }
    void Set(uint64_t begin, uint64_t end, uint32_t by, uint32_t now);
    // Whether a block other than `by` is among them.
    bool Others(uint64_t begin, uint64_t end, uint32_t by) const;
    // Takes over what is another block's than `by`.
    void Keep(const Last& from, uint64_t begin, uint64_t end, uint32_t by);
  };
  struct Page {
    Last write = {}, read = {};
    Last other_read = {};  // by another block than `read`: one of them is not the writer's
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

  // Pages of earlier launches of this thread: fresh memory costs more than setting it back.
  static constexpr size_t kSpareMax = 2048;
  static std::vector<std::unique_ptr<Page>>& Spare();
  static std::unique_ptr<Page> NewPage();

  Page& PageAt(uint64_t address);
  // Whether what `other` (block + 1) did at `time` is ordered before `block` now.
  bool Ordered(uint32_t other, uint32_t time, uint32_t block) const;
  // Whether the access that a word remembers races with one by `block` to these bytes.
  bool Races(const Last& last, uint64_t word, uint8_t bytes, uint32_t block, bool strong) const;
  template <class F>
  bool ForWholeWords(uint64_t address, uint32_t bytes, F f);

  std::unordered_map<uint64_t, std::unique_ptr<Page>> pages_;
  uint64_t last_page_ = ~0ull;
  Page* last_ = nullptr;
  std::vector<BlockState> blocks_;
  uint32_t time_ = 1;  // advances at every release and acquire
};

}  // namespace emulation
