// What is known of each word of a block's shared memory: whether it was written, who touched it last, and whether that
// is ordered before what comes now. Times count synchronisations of the block; a warp knows up to which time each other
// warp's accesses lie before its own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace emulation {

// A strong read (relaxed, acquire) does not race with atomics.
enum class Access : uint8_t { kRead, kStrongRead, kWrite, kAtomic };

struct Conflict {
  enum Kind { kNone, kUninitialised, kPending, kRace } kind = kNone;
  const char* what = "";
  int thread = 0;  // the other one
};

class SharedShadow {
 public:
  void Reset(uint32_t bytes, uint32_t warps);

  // A thread touches [offset, offset + bytes). `same_value`: the write leaves what was there, which makes two writers
  // harmless.
  Conflict Touch(uint32_t offset, uint32_t bytes, uint32_t thread, Access access, bool same_value = false);
  // All lanes of a warp, `bytes` each, in a row from `offset` on: true, and noted, when every word is plain to see: of
  // whole words, and ordered after all that others did. False: lanes have to be looked at one by one.
  bool ReadRow(uint32_t offset, uint32_t bytes, uint32_t warp);
  bool WriteRow(uint32_t offset, uint32_t bytes, uint32_t warp);
  // cp.async: from issue to completion nobody may touch the bytes.
  Conflict Begin(uint32_t offset, uint32_t bytes, uint32_t thread);
  void Complete(uint32_t offset, uint32_t bytes, uint32_t thread);

  // Ordering. All accesses of the warps so far lie before what any of them does next.
  void Join(const std::vector<int>& warps);
  void SyncWarp(int warp) { known_[Index(warp, warp)] = time_++; }
  // One-sided: `to` collects what `warp` has done and knows; `warp` learns what `from` collected.
  void Release(int warp, std::vector<uint32_t>& to);
  void Acquire(int warp, const std::vector<uint32_t>& from);

 private:
  static constexpr uint16_t kSeveralLanes = 0x8000;  // with the warp in the low bits
  static constexpr uint16_t kSeveralWarps = 0xffff;
  struct Cell {
    uint32_t write_time = 0, read_time = 0;
    uint16_t writer = 0, reader = 0;
    uint16_t readers = 0;  // row of readers_ once reader is kSeveralWarps
    bool written : 1;
    bool pending : 1;
    bool atomic : 1;  // the last write was one
    bool split : 1;   // the four bytes differ: see bytes_
    Cell() : written(false), pending(false), atomic(false), split(false) {}
  };

  uint32_t Index(uint32_t warp, uint32_t other) const { return warp * warps_ + other; }
  bool Ordered(uint32_t warp, uint32_t other_warp, uint32_t time) const {
    return known_[Index(warp, other_warp)] >= time;
  }
  Conflict TouchCell(Cell& cell, uint32_t thread, Access access, bool same_value);
  Conflict Read(Cell& cell, uint32_t thread, bool strong);
  Conflict Write(Cell& cell, uint32_t thread, bool atomic, bool same_value);
  Conflict AfterReads(const Cell& cell, uint32_t thread) const;
  void NoteSeveralWarps(Cell& cell, uint32_t warp);
  void Split(uint32_t word);
  // Whatever any warp did up to this time lies before what `warp` does now.
  uint32_t KnownOfAll(uint32_t warp) const {
    return *std::min_element(known_.begin() + Index(warp, 0), known_.begin() + Index(warp, 0) + warps_);
  }
  uint32_t& ReadTimeOf(const Cell& cell, uint32_t warp) { return readers_[size_t{cell.readers} * warps_ + warp]; }
  // Calls f for each cell of the bytes until it returns a conflict.
  template <class F>
  Conflict ForCells(uint32_t offset, uint32_t bytes, F f);

  std::vector<Cell> words_;
  std::vector<Cell> bytes_;        // four a word, of split words only
  std::vector<uint32_t> readers_;  // [row][warp]: time of its last read; row 0 is nobody's
  std::vector<uint32_t> known_;    // [warp][other]
  uint32_t warps_ = 0;
  uint32_t time_ = 1;
};

}  // namespace emulation
