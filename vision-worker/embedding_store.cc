#include "vision-worker/embedding_store.h"

#include <algorithm>
#include <span>

#include "common/check.h"

namespace headroom::vision_worker {

EmbeddingPin& EmbeddingPin::operator=(EmbeddingPin&& other) noexcept {
  if (this != &other) {
    Release();
    store_ = std::exchange(other.store_, nullptr);
    id_ = other.id_;
    pieces_ = other.pieces_;
  }
  return *this;
}

memory::DeviceSpan EmbeddingPin::Piece(int64_t piece) const {
  HEADROOM_CHECK(store_ != nullptr && piece >= 0 && piece < pieces_) << "piece " << piece << " of " << pieces_;
  return store_->PieceOf(id_, piece);
}

void EmbeddingPin::Publish(double cost) {
  HEADROOM_CHECK(store_ != nullptr) << "publish without an entry";
  store_->PublishEntry(id_, cost);
}

void EmbeddingPin::Release() {
  if (store_ != nullptr) std::exchange(store_, nullptr)->Unpin(id_);
}

EmbeddingStore::EmbeddingStore(memory::DeviceMemory& memory, memory::DeviceSpan region, int64_t piece_bytes,
                               uint64_t first_id)
    : memory_(memory),
      region_(region),
      piece_bytes_(piece_bytes),
      slots_(piece_bytes > 0 ? static_cast<size_t>(region.bytes / piece_bytes) : 0),
      next_id_(std::max<uint64_t>(first_id, 1)) {
  HEADROOM_CHECK(piece_bytes > 0) << piece_bytes;
  free_slots_.reserve(slots_);
  for (size_t slot = slots_; slot-- > 0;) free_slots_.push_back(static_cast<uint32_t>(slot));
}

EmbeddingStore::~EmbeddingStore() {
  for (const auto& [id, entry] : entries_) HEADROOM_CHECK(entry.pins == 0) << "store dies before a pin";
}

void EmbeddingStore::ListenToUsed(UsedListener listener) {
  std::lock_guard lock(mutex_);
  listener_ = std::move(listener);
}

std::optional<EmbeddingPin> EmbeddingStore::Find(const std::string& key, int64_t pieces) {
  std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end() || static_cast<int64_t>(entries_.at(found->second).slots.size()) != pieces) {
    return std::nullopt;
  }
  PinLocked(found->second, entries_.at(found->second));
  return EmbeddingPin(this, found->second, pieces);
}

absl::StatusOr<EmbeddingPin> EmbeddingStore::Allocate(const std::string& key, int64_t pieces) {
  if (pieces < 1) return absl::InvalidArgumentError(absl::StrCat(pieces, " pieces: at least 1"));
  std::lock_guard lock(mutex_);
  const int64_t room = static_cast<int64_t>(free_slots_.size()) + evictable_pieces_;
  if (pieces > room) {
    return absl::ResourceExhaustedError(
        absl::StrCat("embedding store: ", pieces, " pieces needed, ", room, " of ", slots_, " are not in use"));
  }
  while (static_cast<int64_t>(free_slots_.size()) < pieces) {
    const auto [priority, victim] = *evictable_.begin();
    inflation_ = priority;
    ++evictions_;
    FreeLocked(victim);
  }
  const uint64_t id = next_id_++;
  Entry& entry = entries_[id];
  entry.key = key;
  entry.pins = 1;
  entry.slots.assign(free_slots_.end() - pieces, free_slots_.end());
  free_slots_.resize(free_slots_.size() - static_cast<size_t>(pieces));
  ReportUsedLocked(pieces);
  return EmbeddingPin(this, id, pieces);
}

absl::Status EmbeddingStore::ReadPiece(uint64_t id, int64_t piece, std::string* data) const {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end() || !found->second.published)
    return absl::NotFoundError("embeddings are not here any more");
  const auto& slots = found->second.slots;
  if (piece < 0 || piece >= static_cast<int64_t>(slots.size())) {
    return absl::InvalidArgumentError(absl::StrCat("piece ", piece, " of ", slots.size()));
  }
  data->resize(static_cast<size_t>(piece_bytes_));
  return memory_.Read(Slot(slots[static_cast<size_t>(piece)]).data, std::as_writable_bytes(std::span(*data)));
}

absl::StatusOr<int64_t> EmbeddingStore::Pieces(uint64_t id) const {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end() || !found->second.published)
    return absl::NotFoundError("embeddings are not here any more");
  return static_cast<int64_t>(found->second.slots.size());
}

EmbeddingStoreStats EmbeddingStore::Stats() const {
  std::lock_guard lock(mutex_);
  EmbeddingStoreStats stats;
  stats.capacity_pieces = static_cast<int64_t>(slots_);
  stats.used_pieces = static_cast<int64_t>(slots_ - free_slots_.size());
  stats.pinned_pieces = stats.used_pieces - evictable_pieces_;
  stats.evictions = evictions_;
  return stats;
}

memory::DeviceSpan EmbeddingStore::PieceOf(uint64_t id, int64_t piece) const {
  std::lock_guard lock(mutex_);
  const Entry& entry = entries_.at(id);
  HEADROOM_CHECK(!entry.published) << "write to a published entry";
  return Slot(entry.slots[static_cast<size_t>(piece)]);
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
  evictable_pieces_ -= static_cast<int64_t>(entry.slots.size());
}

void EmbeddingStore::Unpin(uint64_t id) {
  std::lock_guard lock(mutex_);
  Entry& entry = entries_.at(id);
  HEADROOM_CHECK(entry.pins > 0) << "unpinned twice";
  if (--entry.pins > 0) return;
  // Nobody could ever find these again.
  const bool useless = !entry.findable;
  const auto pieces = static_cast<int64_t>(entry.slots.size());
  entry.priority = inflation_ + entry.cost / static_cast<double>(pieces);
  evictable_.insert({entry.priority, id});
  evictable_pieces_ += pieces;
  if (useless) FreeLocked(id);
}

// The entry is evictable.
void EmbeddingStore::FreeLocked(uint64_t id) {
  const auto found = entries_.find(id);
  Entry& entry = found->second;
  const auto pieces = static_cast<int64_t>(entry.slots.size());
  evictable_.erase({entry.priority, id});
  evictable_pieces_ -= pieces;
  free_slots_.insert(free_slots_.end(), entry.slots.begin(), entry.slots.end());
  if (entry.findable) by_key_.erase(entry.key);
  entries_.erase(found);
  ReportUsedLocked(-pieces);
}

void EmbeddingStore::ReportUsedLocked(int64_t pieces) {
  if (listener_) listener_(pieces * piece_bytes_);
}

}  // namespace headroom::vision_worker
