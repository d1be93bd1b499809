#include "vision-worker/embedding_store.h"

#include <algorithm>
#include <limits>

#include "common/check.h"
#include "common/embedding_pages.h"

namespace headroom::vision_worker {

EmbeddingPin& EmbeddingPin::operator=(EmbeddingPin&& other) noexcept {
  if (this != &other) {
    Release();
    store_ = std::exchange(other.store_, nullptr);
    id_ = other.id_;
    rows_ = std::move(other.rows_);
  }
  return *this;
}

std::vector<memory::DeviceSpan> EmbeddingPin::Piece(int64_t piece) const {
  HEADROOM_CHECK(store_ != nullptr && piece >= 0 && piece < pieces()) << "piece " << piece << " of " << pieces();
  return store_->PieceOf(id_, piece);
}

void EmbeddingPin::Publish(double cost) {
  HEADROOM_CHECK(store_ != nullptr) << "publish without an entry";
  store_->PublishEntry(id_, cost);
}

void EmbeddingPin::Release() {
  if (store_ != nullptr) std::exchange(store_, nullptr)->Unpin(id_);
}

EmbeddingStore::EmbeddingStore(memory::DeviceMemory& memory, memory::DeviceSpan region, int64_t row_bytes,
                               uint64_t first_id)
    : memory_(memory),
      region_(region),
      row_bytes_(row_bytes),
      page_bytes_(kEmbeddingPageRows * row_bytes),
      pages_(row_bytes > 0 ? region.bytes / page_bytes_ : 0),
      next_id_(std::max<uint64_t>(first_id, 1)) {
  HEADROOM_CHECK(row_bytes > 0 && pages_ <= std::numeric_limits<uint32_t>::max()) << row_bytes;
  free_pages_.reserve(static_cast<size_t>(pages_));
  for (int64_t page = pages_; page-- > 0;) free_pages_.push_back(static_cast<uint32_t>(page));
}

EmbeddingStore::~EmbeddingStore() {
  for (const auto& [id, entry] : entries_) HEADROOM_CHECK(entry.pins == 0) << "store dies before a pin";
}

void EmbeddingStore::ListenToUsed(UsedListener listener) {
  std::lock_guard lock(mutex_);
  listener_ = std::move(listener);
}

std::optional<EmbeddingPin> EmbeddingStore::Find(const std::string& key, std::span<const int64_t> rows) {
  std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  Entry& entry = entries_.at(found->second);
  if (!std::ranges::equal(entry.rows, rows)) return std::nullopt;
  PinLocked(found->second, entry);
  return EmbeddingPin(this, found->second, entry.rows);
}

absl::StatusOr<int64_t> EmbeddingStore::PagesFor(std::span<const int64_t> rows) const {
  if (rows.empty()) return absl::InvalidArgumentError("embedding store: an image without pieces");
  int64_t pages = 0;
  for (const int64_t of_piece : rows) {
    if (of_piece < 1)
      return absl::InvalidArgumentError(absl::StrCat("embedding store: a piece of ", of_piece, " rows"));
    // No sum that overflows: what is more than all there is stays that.
    pages += std::min(EmbeddingPages(of_piece), pages_ + 1);
    if (pages > pages_) break;
  }
  return pages;
}

absl::StatusOr<EmbeddingPin> EmbeddingStore::Allocate(const std::string& key, std::span<const int64_t> rows) {
  HEADROOM_ASSIGN_OR_RETURN(const int64_t pages, PagesFor(rows));
  std::lock_guard lock(mutex_);
  const int64_t room = static_cast<int64_t>(free_pages_.size()) + evictable_pages_;
  if (pages > room) {
    return absl::ResourceExhaustedError(
        absl::StrCat("embedding store: ", pages, " pages needed, ", room, " of ", pages_, " are not in use"));
  }
  while (static_cast<int64_t>(free_pages_.size()) < pages) {
    const auto [priority, victim] = *evictable_.begin();
    inflation_ = priority;
    ++evictions_;
    FreeLocked(victim);
  }
  const uint64_t id = next_id_++;
  Entry& entry = entries_[id];
  entry.key = key;
  entry.pins = 1;
  entry.rows.assign(rows.begin(), rows.end());
  entry.pages.assign(free_pages_.rbegin(), free_pages_.rbegin() + pages);
  free_pages_.resize(free_pages_.size() - static_cast<size_t>(pages));
  ReportUsedLocked(pages);
  return EmbeddingPin(this, id, entry.rows);
}

absl::StatusOr<const EmbeddingStore::Entry*> EmbeddingStore::PublishedLocked(uint64_t id) const {
  const auto found = entries_.find(id);
  if (found != entries_.end() && found->second.published) return &found->second;
  return absl::NotFoundError("embeddings are not here any more");
}

absl::Status EmbeddingStore::Read(uint64_t id, int64_t piece, RowRange range, std::string* data) const {
  std::lock_guard lock(mutex_);
  HEADROOM_ASSIGN_OR_RETURN(const Entry* const entry, PublishedLocked(id));
  const auto& rows = entry->rows;
  if (piece < 0 || piece >= static_cast<int64_t>(rows.size())) {
    return absl::InvalidArgumentError(absl::StrCat("piece ", piece, " of ", rows.size()));
  }
  const auto index = static_cast<size_t>(piece);
  if (range.first < 0 || range.first >= rows[index] || range.count < 1 || range.count > rows[index] - range.first) {
    return absl::InvalidArgumentError(
        absl::StrCat(range.count, " rows from ", range.first, ": piece ", piece, " has ", rows[index]));
  }
  data->resize(static_cast<size_t>(range.count * row_bytes_));
  std::span<std::byte> rest = std::as_writable_bytes(std::span(*data));
  for (const memory::DeviceSpan& run : Runs(*entry, index, range)) {
    HEADROOM_RETURN_IF_ERROR(memory_.Read(run.data, rest.first(static_cast<size_t>(run.bytes))));
    rest = rest.subspan(static_cast<size_t>(run.bytes));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int64_t>> EmbeddingStore::Rows(uint64_t id) const {
  std::lock_guard lock(mutex_);
  HEADROOM_ASSIGN_OR_RETURN(const Entry* const entry, PublishedLocked(id));
  return entry->rows;
}

EmbeddingStoreStats EmbeddingStore::Stats() const {
  std::lock_guard lock(mutex_);
  EmbeddingStoreStats stats;
  stats.capacity_pages = pages_;
  stats.used_pages = pages_ - static_cast<int64_t>(free_pages_.size());
  stats.pinned_pages = stats.used_pages - evictable_pages_;
  stats.evictions = evictions_;
  return stats;
}

std::vector<memory::DeviceSpan> EmbeddingStore::PieceOf(uint64_t id, int64_t piece) const {
  std::lock_guard lock(mutex_);
  const Entry& entry = entries_.at(id);
  HEADROOM_CHECK(!entry.published) << "write to a published entry";
  const auto index = static_cast<size_t>(piece);
  return Runs(entry, index, {.first = 0, .count = entry.rows[index]});
}

// The range lies inside the piece.
std::vector<memory::DeviceSpan> EmbeddingStore::Runs(const Entry& entry, size_t piece, RowRange range) const {
  int64_t first_page = 0;
  for (size_t before = 0; before < piece; ++before) first_page += EmbeddingPages(entry.rows[before]);
  struct Run {
    int64_t row, rows;  // of the region
  };
  std::vector<Run> runs;
  for (int64_t row = range.first, end = range.first + range.count; row < end;) {
    const int64_t in_page = row % kEmbeddingPageRows, rows = std::min(kEmbeddingPageRows - in_page, end - row);
    const auto page = static_cast<size_t>(first_page + row / kEmbeddingPageRows);
    const int64_t place = int64_t{entry.pages[page]} * kEmbeddingPageRows + in_page;
    if (!runs.empty() && runs.back().row + runs.back().rows == place) {
      runs.back().rows += rows;
    } else {
      runs.push_back({place, rows});
    }
    row += rows;
  }
  std::vector<memory::DeviceSpan> spans;
  spans.reserve(runs.size());
  for (const Run& run : runs) spans.push_back(region_.Sub(run.row * row_bytes_, run.rows * row_bytes_));
  return spans;
}

void EmbeddingStore::PublishEntry(uint64_t id, double cost) {
  std::lock_guard lock(mutex_);
  Entry& entry = entries_.at(id);
  HEADROOM_CHECK(!entry.published) << "published twice";
  entry.published = true;
  entry.cost = cost;
  entry.findable = !entry.key.empty() && by_key_.try_emplace(entry.key, id).second;
}

void EmbeddingStore::PinLocked(uint64_t id, Entry& entry) {
  if (entry.pins++ > 0) return;
  evictable_.erase({entry.priority, id});
  evictable_pages_ -= static_cast<int64_t>(entry.pages.size());
}

void EmbeddingStore::Unpin(uint64_t id) {
  std::lock_guard lock(mutex_);
  Entry& entry = entries_.at(id);
  HEADROOM_CHECK(entry.pins > 0) << "unpinned twice";
  if (--entry.pins > 0) return;
  // Nobody could ever find these again.
  const bool useless = !entry.findable;
  const auto pages = static_cast<int64_t>(entry.pages.size());
  entry.priority = inflation_ + entry.cost / static_cast<double>(pages);
  evictable_.insert({entry.priority, id});
  evictable_pages_ += pages;
  if (useless) FreeLocked(id);
}

// The entry is evictable.
void EmbeddingStore::FreeLocked(uint64_t id) {
  const auto found = entries_.find(id);
  Entry& entry = found->second;
  const auto pages = static_cast<int64_t>(entry.pages.size());
  evictable_.erase({entry.priority, id});
  evictable_pages_ -= pages;
  free_pages_.insert(free_pages_.end(), entry.pages.rbegin(), entry.pages.rend());
  if (entry.findable) by_key_.erase(entry.key);
  entries_.erase(found);
  ReportUsedLocked(-pages);
}

void EmbeddingStore::ReportUsedLocked(int64_t pages) {
  if (listener_) listener_(pages * page_bytes_);
}

}  // namespace headroom::vision_worker
