// Embeddings of encoded images, in the arena's embedding region, which is a pool of pages of kEmbeddingPageRows rows
// (common/embedding_pages.h). An entry is one image; each of its pieces has its own number of rows and takes whole
// pages, wherever they are free, so the region never fragments. A row is columns numbers in the compute dtype.
//
// An entry is pinned while an Encode stream holds it; nothing evicts it then. Pinned entries are covered by their
// grant's embedding_bytes, and the gate's capacity is that of the store, so an allocation under an active leg always
// succeeds. When the last pin goes, the entry stays as cache and yields to any allocation: the cheapest to make again
// per byte goes first, old before new (GreedyDual-Size, Cao and Irani 1997: priority = inflation + cost / size,
// inflation = priority of the last victim).
//
// Thread-safe. Writing the bytes of a pinned, unpublished entry is its owner's business and needs no lock; it is done,
// and the device's lane past it, before the entry is published.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/status.h"
#include "memory/device_memory.h"

namespace headroom::vision_worker {

struct EmbeddingStoreStats {
  int64_t capacity_pages = 0;
  int64_t used_pages = 0;  // pinned or cached
  int64_t pinned_pages = 0;
  int64_t evictions = 0;
};

// Some of the rows of a piece: [first, first + count).
struct RowRange {
  int64_t first = 0;
  int64_t count = 0;
};

class EmbeddingStore;

// Keeps one entry from being evicted. Must not outlive its store.
class EmbeddingPin {
 public:
  EmbeddingPin() = default;
  ~EmbeddingPin() { Release(); }
  EmbeddingPin(EmbeddingPin&& other) noexcept
      : store_(std::exchange(other.store_, nullptr)), id_(other.id_), rows_(std::move(other.rows_)) {}
  EmbeddingPin& operator=(EmbeddingPin&& other) noexcept;

  uint64_t id() const { return id_; }
  int64_t pieces() const { return static_cast<int64_t>(rows_.size()); }
  // Of each piece.
  const std::vector<int64_t>& rows() const { return rows_; }
  // Where the device writes the rows of a piece: runs of whole rows, in order, which together hold just these; only
  // before Publish(). Pages that lie side by side are one run.
  std::vector<memory::DeviceSpan> Piece(int64_t piece) const;
  // Every piece is written: the entry can be read, and found by its key unless another entry got there first. `cost`:
  // seconds of compute.
  void Publish(double cost);
  // An entry that was not published is gone with its last pin.
  void Release();

 private:
  friend class EmbeddingStore;
  EmbeddingPin(EmbeddingStore* store, uint64_t id, std::vector<int64_t> rows)
      : store_(store), id_(id), rows_(std::move(rows)) {}

  EmbeddingStore* store_ = nullptr;
  uint64_t id_ = 0;
  std::vector<int64_t> rows_;
};

class EmbeddingStore {
 public:
  // Called with the change of used bytes, under the store's lock.
  using UsedListener = std::function<void(int64_t bytes)>;

  // `region` of `memory` outlives the store; what does not fill a whole page stays unused. Ids count up from first_id,
  // so that references of an earlier process do not hit by accident when first_id is random.
  EmbeddingStore(memory::DeviceMemory& memory, memory::DeviceSpan region, int64_t row_bytes, uint64_t first_id);
  ~EmbeddingStore();
  EmbeddingStore(const EmbeddingStore&) = delete;
  EmbeddingStore& operator=(const EmbeddingStore&) = delete;

  void ListenToUsed(UsedListener listener);

  int64_t row_bytes() const { return row_bytes_; }
  int64_t page_bytes() const { return page_bytes_; }

  // The published entry with this key and these rows of its pieces, pinned.
  std::optional<EmbeddingPin> Find(const std::string& key, std::span<const int64_t> rows);

  // A new, unpublished entry of pieces with so many rows, evicting cache as needed. An empty key is never found.
  // RESOURCE_EXHAUSTED when pinned entries leave no room (nothing is evicted then); INVALID_ARGUMENT without a piece
  // and for a piece without rows.
  absl::StatusOr<EmbeddingPin> Allocate(const std::string& key, std::span<const int64_t> rows);

  // Copies some rows of one piece of a published entry into `data`. NOT_FOUND: unknown, evicted or not yet published.
  // INVALID_ARGUMENT: no such piece or rows.
  absl::Status Read(uint64_t id, int64_t piece, RowRange range, std::string* data) const;

  // Rows of each piece of a published entry. NOT_FOUND as above.
  absl::StatusOr<std::vector<int64_t>> Rows(uint64_t id) const;

  EmbeddingStoreStats Stats() const;

 private:
  friend class EmbeddingPin;
  struct Entry {
    std::string key;
    std::vector<int64_t> rows;    // of each piece
    std::vector<uint32_t> pages;  // of all pieces, one piece behind the other
    int64_t pins = 0;
    bool published = false;
    bool findable = false;
    double cost = 0;
    double priority = 0;
  };

  absl::StatusOr<int64_t> PagesFor(std::span<const int64_t> rows) const;
  std::vector<memory::DeviceSpan> Runs(const Entry& entry, size_t piece, RowRange range) const;
  std::vector<memory::DeviceSpan> PieceOf(uint64_t id, int64_t piece) const;
  absl::StatusOr<const Entry*> PublishedLocked(uint64_t id) const;
  void PublishEntry(uint64_t id, double cost);
  void Unpin(uint64_t id);
  void PinLocked(uint64_t id, Entry& entry);
  void FreeLocked(uint64_t id);
  void ReportUsedLocked(int64_t pages);

  memory::DeviceMemory& memory_;
  const memory::DeviceSpan region_;
  const int64_t row_bytes_;
  const int64_t page_bytes_;
  const int64_t pages_;
  UsedListener listener_;

  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, Entry> entries_;
  std::unordered_map<std::string, uint64_t> by_key_;
  std::set<std::pair<double, uint64_t>> evictable_;  // (priority, id) of published entries without pins
  std::vector<uint32_t> free_pages_;                 // taken from the end; an entry's lie there as it will have them
  int64_t evictable_pages_ = 0;
  uint64_t next_id_;
  double inflation_ = 0;
  int64_t evictions_ = 0;
};

}  // namespace headroom::vision_worker
