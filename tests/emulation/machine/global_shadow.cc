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

GlobalShadow::~GlobalShadow() { Reset(0); }

void GlobalShadow::Reset(uint32_t blocks) {
  for (auto& [number, page] : pages_) {
    if (Spare().size() < kSpareMax) Spare().push_back(std::move(page));
  }
  pages_.clear();
  last_page_ = ~0ull;
  blocks_.assign(blocks, {});
  time_ = 1;
}

std::vector<std::unique_ptr<GlobalShadow::Page>>& GlobalShadow::Spare() {
  thread_local std::vector<std::unique_ptr<Page>> spare;
  return spare;
}

std::unique_ptr<GlobalShadow::Page> GlobalShadow::NewPage() {
  if (Spare().empty()) return std::make_unique<Page>();
  std::unique_ptr<Page> page = std::move(Spare().back());
  Spare().pop_back();
  *page = Page();
  return page;
}

GlobalShadow::Page& GlobalShadow::PageAt(uint64_t address) {
  const uint64_t page = address / kPageBytes;
  if (page != last_page_) {
    std::unique_ptr<Page>& found = pages_[page];
    if (!found) found = NewPage();
    last_page_ = page;
    last_ = found.get();
  }
  return *last_;
}

void GlobalShadow::Last::Set(uint64_t begin, uint64_t end, uint32_t by, uint32_t now) {
  std::fill(block + begin, block + end, by);
  std::fill(time + begin, time + end, now);
  std::fill(bytes + begin, bytes + end, uint8_t{0xf});
  std::fill(strong + begin, strong + end, false);
}

void GlobalShadow::Last::Keep(const Last& from, uint64_t begin, uint64_t end, uint32_t by) {
  for (uint64_t word = begin; word < end; word++) {
    if (from.block[word] == 0 || from.block[word] == by) continue;
    Set(word, from.block[word], from.time[word], from.bytes[word], from.strong[word]);
  }
}

bool GlobalShadow::Last::Others(uint64_t begin, uint64_t end, uint32_t by) const {
  uint32_t others = 0;
  for (uint64_t word = begin; word < end; word++) others |= (block[word] != 0) & (block[word] != by);
  return others != 0;
}

bool GlobalShadow::Ordered(uint32_t other, uint32_t time, uint32_t block) const {
  const std::vector<Release>& releases = blocks_[other - 1].releases;
  const auto release = std::lower_bound(releases.begin(), releases.end(), time,
                                        [](const Release& r, uint32_t access) { return r.covers < access; });
  return release != releases.end() && release->published < blocks_[block].acquired;
}

bool GlobalShadow::Races(const Last& last, uint64_t word, uint8_t bytes, uint32_t block, bool strong) const {
  return last.block[word] != 0 && last.block[word] != block + 1 && (last.bytes[word] & bytes) &&
         !(strong && last.strong[word]) && !Ordered(last.block[word], last.time[word], block);
}

GlobalShadow::Conflict GlobalShadow::Read(uint64_t address, uint32_t bytes, uint32_t block, bool strong) {
  return ForWords(address, bytes, [&](uint64_t at, uint8_t mask) -> Conflict {
    Page& page = PageAt(at);
    const uint64_t word = at % kPageBytes / 4;
    if (Races(page.write, word, mask, block, strong)) return {true, page.write.block[word] - 1, "read after write"};
    // Two readers are kept: of several, the latest, but a weak read races with more than a strong one.
    Last& read = page.read;
    const bool weak_by_other = read.block[word] != 0 && read.block[word] != block + 1 && !read.strong[word];
    if (strong && weak_by_other && !Ordered(read.block[word], read.time[word], block)) return {};
    page.other_read.Keep(read, word, word + 1, block + 1);
    read.Set(word, block + 1, time_, mask, strong);
    return {};
  });
}

GlobalShadow::Conflict GlobalShadow::Write(uint64_t address, uint32_t bytes, uint32_t block, bool strong) {
  return ForWords(address, bytes, [&](uint64_t at, uint8_t mask) -> Conflict {
    Page& page = PageAt(at);
    const uint64_t word = at % kPageBytes / 4;
    if (Races(page.write, word, mask, block, strong)) return {true, page.write.block[word] - 1, "write after write"};
    for (const Last* read : {&page.read, &page.other_read}) {
      if (Races(*read, word, mask, block, strong)) return {true, read->block[word] - 1, "write after read"};
    }
    Last& write = page.write;
    const bool same_kind = write.block[word] == block + 1 && write.strong[word] == strong;
    write.Set(word, block + 1, time_, same_kind ? write.bytes[word] | mask : mask, strong);
    return {};
  });
}

// Calls f(page, first word, last word + 1) for each page until it returns false.
template <class F>
bool GlobalShadow::ForWholeWords(uint64_t address, uint32_t bytes, F f) {
  if (address % 4 != 0 || bytes % 4 != 0) return false;
  for (uint64_t end = address + bytes; address < end;) {
    const uint64_t page_end = std::min(end, (address / kPageBytes + 1) * kPageBytes);
    const uint64_t begin = address % kPageBytes / 4;
    if (!f(PageAt(address), begin, begin + (page_end - address) / 4)) return false;
    address = page_end;
  }
  return true;
}

bool GlobalShadow::ReadWords(uint64_t address, uint32_t bytes, uint32_t block) {
  return ForWholeWords(address, bytes, [&](Page& page, uint64_t begin, uint64_t end) {
    if (page.write.Others(begin, end, block + 1)) return false;
    if (page.read.Others(begin, end, block + 1)) page.other_read.Keep(page.read, begin, end, block + 1);
    page.read.Set(begin, end, block + 1, time_);
    return true;
  });
}

bool GlobalShadow::WriteWords(uint64_t address, uint32_t bytes, uint32_t block) {
  return ForWholeWords(address, bytes, [&](Page& page, uint64_t begin, uint64_t end) {
    for (const Last* last : {&page.write, &page.read, &page.other_read}) {
      if (last->Others(begin, end, block + 1)) return false;
    }
    page.write.Set(begin, end, block + 1, time_);
    return true;
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
