#include "tests/emulation/machine/shared_shadow.h"

#include <algorithm>

namespace emulation {

void SharedShadow::Reset(uint32_t bytes, uint32_t warps) {
  words_.assign((bytes + 3) / 4, Cell());
  warps_ = warps;
  readers_.assign(warps, 0);
  known_.assign(size_t{warps} * warps, 0);
  time_ = 1;
}

void SharedShadow::Split(uint32_t word) {
  if (words_[word].split) return;
  bytes_.resize(words_.size() * 4);
  std::fill_n(bytes_.begin() + word * 4, 4, words_[word]);
  words_[word].split = true;
}

template <class F>
Conflict SharedShadow::ForCells(uint32_t offset, uint32_t bytes, F f) {
  const bool whole_words = offset % 4 == 0 && bytes % 4 == 0;
  for (uint32_t at = offset; at < offset + bytes;) {
    const uint32_t word = at / 4;
    if (!whole_words) Split(word);
    const bool split = words_[word].split;
    const uint32_t step = whole_words ? 4 : 1;
    for (uint32_t i = 0; i < (split ? step : 1); i++) {
      Conflict conflict = f(split ? bytes_[at + i] : words_[word]);
      if (conflict.kind != Conflict::kNone) return conflict;
    }
    at += step;
  }
  return {};
}

Conflict SharedShadow::Touch(uint32_t offset, uint32_t bytes, uint32_t thread, Access access, bool same_value) {
  return ForCells(offset, bytes, [&](Cell& cell) { return TouchCell(cell, thread, access, same_value); });
}

Conflict SharedShadow::TouchCell(Cell& cell, uint32_t thread, Access access, bool same_value) {
  if (cell.pending) return {Conflict::kPending, "is being written by cp.async", cell.writer};
  if (access == Access::kRead || access == Access::kStrongRead)
    return Read(cell, thread, access == Access::kStrongRead);
  if (access == Access::kAtomic && !cell.written) return {Conflict::kUninitialised, "was never written", 0};
  return Write(cell, thread, access == Access::kAtomic, same_value);
}

Conflict SharedShadow::Read(Cell& cell, uint32_t thread, bool strong) {
  if (!cell.written) return {Conflict::kUninitialised, "was never written", 0};
  const uint32_t warp = thread / 32;
  if (cell.writer != thread && !(strong && cell.atomic) && !Ordered(warp, cell.writer / 32, cell.write_time)) {
    return {Conflict::kRace, "read after write", cell.writer};
  }
  if (cell.read_time == 0 || cell.reader == thread) {
    cell.reader = static_cast<uint16_t>(thread);
  } else if (cell.reader == kSeveralWarps) {
    ReadTimeOf(cell, warp) = time_;
  } else {
    const uint32_t other = (cell.reader & kSeveralLanes) ? cell.reader & 31 : cell.reader / 32;
    if (other == warp) {
      cell.reader = Ordered(warp, warp, cell.read_time) ? thread : kSeveralLanes | warp;
    } else if (Ordered(warp, other, cell.read_time)) {
      cell.reader =
          static_cast<uint16_t>(thread);  // whoever is ordered after this read is ordered after the older one too
    } else {
      NoteSeveralWarps(cell, other);
      ReadTimeOf(cell, warp) = time_;
    }
  }
  cell.read_time = time_;
  return {};
}

void SharedShadow::NoteSeveralWarps(Cell& cell, uint32_t warp) {
  const size_t rows = readers_.size() / warps_;
  if (cell.readers != 0) {
    std::fill_n(readers_.begin() + size_t{cell.readers} * warps_, warps_, 0);
  } else if (rows <= UINT16_MAX) {
    cell.readers = static_cast<uint16_t>(rows);
    readers_.resize(readers_.size() + warps_, 0);
  } else {  // out of numbers: forgets who read, and so finds less
    cell.readers = UINT16_MAX;
    std::fill_n(readers_.begin() + size_t{cell.readers} * warps_, warps_, 0);
  }
  ReadTimeOf(cell, warp) = cell.read_time;
  cell.reader = kSeveralWarps;
}

Conflict SharedShadow::AfterReads(const Cell& cell, uint32_t thread) const {
  const uint32_t warp = thread / 32;
  if (cell.read_time == 0 || cell.reader == thread) return {};
  if (cell.reader == kSeveralWarps) {
    const uint32_t* times = &readers_[size_t{cell.readers} * warps_];
    for (uint32_t other = 0; other < warps_; other++) {
      if (times[other] != 0 && !Ordered(warp, other, times[other]) && other != warp) {
        return {Conflict::kRace, "write after read", static_cast<int>(other * 32)};
      }
    }
    return {};
  }
  const uint32_t other = (cell.reader & kSeveralLanes) ? cell.reader & 31 : cell.reader / 32;
  if (Ordered(warp, other, cell.read_time)) return {};
  return {Conflict::kRace, "write after read",
          static_cast<int>((cell.reader & kSeveralLanes) ? other * 32 : cell.reader)};
}

Conflict SharedShadow::Write(Cell& cell, uint32_t thread, bool atomic, bool same_value) {
  const bool both_atomic = atomic && cell.atomic;
  if (cell.written && cell.writer != thread && !both_atomic && !same_value &&
      !Ordered(thread / 32, cell.writer / 32, cell.write_time)) {
    return {Conflict::kRace, atomic ? "atomic after write" : "write after write", cell.writer};
  }
  if (Conflict conflict = AfterReads(cell, thread); conflict.kind != Conflict::kNone) return conflict;
  cell.written = true;
  cell.atomic = atomic;
  cell.writer = static_cast<uint16_t>(thread);
  cell.write_time = time_;
  cell.read_time = 0;
  return {};
}

bool SharedShadow::ReadRow(uint32_t offset, uint32_t bytes, uint32_t warp) {
  if (offset % 4 != 0 || bytes % 4 != 0) return false;
  const uint32_t each = bytes / 4, known = KnownOfAll(warp);
  Cell* const cells = &words_[offset / 4];
  bool plain = true;
  for (uint32_t k = 0; k < 32 * each; k++) {
    const Cell& cell = cells[k];
    plain &= cell.written && !cell.pending && !cell.split && cell.write_time <= known &&
             (cell.read_time <= known || cell.reader == warp * 32 + k / each);
  }
  if (!plain) return false;
  for (uint32_t k = 0; k < 32 * each; k++) {
    cells[k].reader = static_cast<uint16_t>(warp * 32 + k / each);
    cells[k].read_time = time_;
  }
  return true;
}

bool SharedShadow::WriteRow(uint32_t offset, uint32_t bytes, uint32_t warp) {
  if (offset % 4 != 0 || bytes % 4 != 0) return false;
  const uint32_t each = bytes / 4, known = KnownOfAll(warp);
  Cell* const cells = &words_[offset / 4];
  bool plain = true;
  for (uint32_t k = 0; k < 32 * each; k++) {
    const Cell& cell = cells[k];
    const uint32_t thread = warp * 32 + k / each;
    plain &= !cell.pending && !cell.split && (!cell.written || cell.write_time <= known || cell.writer == thread) &&
             (cell.read_time <= known || cell.reader == thread);
  }
  if (!plain) return false;
  for (uint32_t k = 0; k < 32 * each; k++) {
    Cell& cell = cells[k];
    cell.written = true;
    cell.atomic = false;
    cell.writer = static_cast<uint16_t>(warp * 32 + k / each);
    cell.write_time = time_;
    cell.read_time = 0;
  }
  return true;
}

Conflict SharedShadow::Begin(uint32_t offset, uint32_t bytes, uint32_t thread) {
  return ForCells(offset, bytes, [&](Cell& cell) {
    Conflict conflict = TouchCell(cell, thread, Access::kWrite, false);
    cell.pending = true;
    return conflict;
  });
}

void SharedShadow::Complete(uint32_t offset, uint32_t bytes, uint32_t thread) {
  ForCells(offset, bytes, [&](Cell& cell) {
    cell.pending = false;
    cell.writer = static_cast<uint16_t>(thread);
    cell.write_time = time_;
    return Conflict();
  });
}

void SharedShadow::Join(const std::vector<int>& warps) {
  std::vector<uint32_t> all(warps_, 0);
  for (const int warp : warps) {
    known_[Index(warp, warp)] = time_;
    for (uint32_t other = 0; other < warps_; other++) all[other] = std::max(all[other], known_[Index(warp, other)]);
  }
  for (const int warp : warps) std::copy(all.begin(), all.end(), known_.begin() + Index(warp, 0));
  time_++;
}

void SharedShadow::Release(int warp, std::vector<uint32_t>& to) {
  to.resize(warps_, 0);
  for (uint32_t other = 0; other < warps_; other++) to[other] = std::max(to[other], known_[Index(warp, other)]);
  to[warp] = time_++;
}

void SharedShadow::Acquire(int warp, const std::vector<uint32_t>& from) {
  for (uint32_t other = 0; other < from.size(); other++)
    known_[Index(warp, other)] = std::max(known_[Index(warp, other)], from[other]);
}

}  // namespace emulation
