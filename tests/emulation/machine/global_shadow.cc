#include "tests/emulation/machine/global_shadow.h"

#include <algorithm>

namespace emulation {
namespace {

// Calls f(word address, mask of its bytes) for each word of the access.
template <class F>
GlobalShadow::Conflict ForWords(uint64_t address, uint32_t bytes, F f) {
  const uint64_t end = address + bytes;
  for (uint64_t word = address & ~3ull; word < end; word += 4) {
    const uint32_t first = address > word ? static_cast<uint32_t>(address - word) : 0;
    const uint32_t last = static_cast<uint32_t>(std::min<uint64_t>(4, end - word));
    const uint8_t mask = static_cast<uint8_t>((1u << last) - (1u << first));
    if (const GlobalShadow::Conflict conflict = f(word, mask); conflict.found) return conflict;
  }
  return {};
}

}  // namespace

void GlobalShadow::Reset(uint32_t blocks) {
  pages_.clear();
  last_page_ = ~0ull;
  blocks_.assign(blocks, {});
  time_ = 1;
}

GlobalShadow::Cell& GlobalShadow::CellAt(uint64_t address) {
  const uint64_t page = address / kPageBytes;
  if (page != last_page_) {
    std::unique_ptr<Page>& found = pages_[page];
    if (!found) found = std::make_unique<Page>();
    last_page_ = page;
    last_ = found.get();
  }
  return last_->cells[address % kPageBytes / 4];
}

bool GlobalShadow::Ordered(uint32_t other, uint32_t time, uint32_t block) const {
  const std::vector<Release>& releases = blocks_[other - 1].releases;
  const auto release = std::lower_bound(releases.begin(), releases.end(), time,
                                        [](const Release& r, uint32_t access) { return r.covers < access; });
  return release != releases.end() && release->published < blocks_[block].acquired;
}

GlobalShadow::Conflict GlobalShadow::Read(uint64_t address, uint32_t bytes, uint32_t block, bool strong) {
  return ForWords(address, bytes, [&](uint64_t word, uint8_t mask) -> Conflict {
    Cell& cell = CellAt(word);
    if (cell.writer != 0 && cell.writer != block + 1 && (cell.write_bytes & mask) && !(strong && cell.write_strong) &&
        !Ordered(cell.writer, cell.write_time, block)) {
      return {true, cell.writer - 1, "read after write"};
    }
    // One reader is kept: of several, the latest, but a weak read races with more than a strong one.
    const bool weak_by_other = cell.reader != 0 && cell.reader != block + 1 && !cell.read_strong;
    if (strong && weak_by_other && !Ordered(cell.reader, cell.read_time, block)) return {};
    cell.reader = block + 1;
    cell.read_bytes = mask;
    cell.read_time = time_;
    cell.read_strong = strong;
    return {};
  });
}

GlobalShadow::Conflict GlobalShadow::Write(uint64_t address, uint32_t bytes, uint32_t block, bool strong) {
  return ForWords(address, bytes, [&](uint64_t word, uint8_t mask) -> Conflict {
    Cell& cell = CellAt(word);
    if (cell.writer != 0 && cell.writer != block + 1 && (cell.write_bytes & mask) && !(strong && cell.write_strong) &&
        !Ordered(cell.writer, cell.write_time, block)) {
      return {true, cell.writer - 1, "write after write"};
    }
    if (cell.reader != 0 && cell.reader != block + 1 && (cell.read_bytes & mask) && !(strong && cell.read_strong) &&
        !Ordered(cell.reader, cell.read_time, block)) {
      return {true, cell.reader - 1, "write after read"};
    }
    const bool same_kind = cell.writer == block + 1 && cell.write_strong == strong;
    cell.write_bytes = same_kind ? cell.write_bytes | mask : mask;
    cell.writer = block + 1;
    cell.write_time = time_;
    cell.write_strong = strong;
    return {};
  });
}

void GlobalShadow::Fence(uint32_t block) {
  BlockState& state = blocks_[block];
  state.pending_release = time_++;
  state.acquired = std::max(state.acquired, state.pending_acquire);
}

void GlobalShadow::StrongRead(uint32_t block, bool acquire) {
  BlockState& state = blocks_[block];
  state.pending_acquire = ++time_;
  if (acquire) state.acquired = state.pending_acquire;
}

void GlobalShadow::StrongWrite(uint32_t block, bool release) {
  BlockState& state = blocks_[block];
  const uint32_t covers = release ? time_ : state.pending_release;
  time_++;
  if (covers == 0) return;
  state.releases.push_back({covers, time_});
  state.pending_release = 0;
  time_++;
}

}  // namespace emulation
