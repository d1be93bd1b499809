#include "model/text/bpe.h"

#include <algorithm>
#include <limits>
#include <queue>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "common/status.h"
#include "common/utf8.h"
#include "model/text/byte_level.h"

namespace headroom::model {
namespace {

// Up to here a scan over the pairs is faster than a heap.
constexpr size_t kShortWordBytesMax = 48;
// A byte falls back to the two of its spelling.
constexpr size_t kShortWordSymbolsMax = 2 * kShortWordBytesMax;
constexpr int32_t kNoRank = std::numeric_limits<int32_t>::max();

uint64_t PairKey(int32_t left, int32_t right) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
}

size_t HashOf(std::string_view word) {
  return absl::Hash<absl::string_view>{}(absl::string_view(word.data(), word.size()));
}

}  // namespace

absl::StatusOr<Bpe> Bpe::Create(Vocabulary vocabulary) {
  Bpe bpe;
  bpe.unit_ = vocabulary.unit;
  bpe.fallback_ = vocabulary.fallback;
  bpe.unknown_ = vocabulary.unknown;
  bpe.fuse_unknown_ = vocabulary.fuse_unknown;
  const size_t count = vocabulary.bytes.size();
  bpe.offsets_.reserve(count + 1);
  bpe.offsets_.push_back(0);
  for (size_t id = 0; id < count; ++id) {
    if (vocabulary.is_entry[id]) bpe.bytes_ += vocabulary.bytes[id];
    if (bpe.bytes_.size() > std::numeric_limits<uint32_t>::max()) {
      return absl::InvalidArgumentError("tokenizer: the vocabulary has more than 4 GiB of text");
    }
    bpe.longest_entry_ = std::max(bpe.longest_entry_, bpe.bytes_.size() - bpe.offsets_.back());
    bpe.offsets_.push_back(static_cast<uint32_t>(bpe.bytes_.size()));
  }
  bpe.reserved_.assign(count, false);
  for (int32_t id : vocabulary.reserved) {
    if (static_cast<size_t>(id) >= count) continue;
    bpe.reserved_[static_cast<size_t>(id)] = true;
    bpe.any_reserved_ = true;
  }
  bpe.merges_.reserve(vocabulary.merges.size());
  for (const Merge& merge : vocabulary.merges) {
    bpe.merges_.insert_or_assign(PairKey(merge.left, merge.right), Target{merge.rank, merge.result});
  }
  HEADROOM_RETURN_IF_ERROR(bpe.Index());
  if (vocabulary.ignore_merges) {
    bpe.whole_word_.assign(count, true);
  } else {
    bpe.FindWholeWords();
  }
  return bpe;
}

absl::Status Bpe::Index() {
  const size_t count = offsets_.size() - 1;
  size_t slots = 256;
  while (slots < 2 * count) slots *= 2;
  slots_.assign(slots, -1);
  id_of_byte_.fill(-1);
  for (size_t i = 0; i < count; ++i) {
    const int32_t id = static_cast<int32_t>(i);
    const std::string_view bytes = BytesOf(id);
    if (bytes.empty()) continue;
    size_t slot = HashOf(bytes) & (slots - 1);
    for (; slots_[slot] >= 0; slot = (slot + 1) & (slots - 1)) {
      if (BytesOf(slots_[slot]) == bytes) {
        return absl::InvalidArgumentError(
            absl::StrCat("tokenizer: vocabulary ids ", slots_[slot], " and ", id, " are the same token"));
      }
    }
    slots_[slot] = id;
    HEADROOM_RETURN_IF_ERROR(IndexUnit(id, bytes));
  }
  const auto missing = [](int32_t id) { return id < 0; };
  complete_ = unit_ == Unit::kByte ? std::none_of(id_of_byte_.begin(), id_of_byte_.end(), missing)
                                   : std::none_of(fallback_.begin(), fallback_.end(), missing);
  return absl::OkStatus();
}

absl::Status Bpe::IndexUnit(int32_t id, std::string_view bytes) {
  size_t length = 1;
  if (unit_ == Unit::kByte) {
    if (bytes.size() == 1) id_of_byte_[static_cast<uint8_t>(bytes[0])] = id;
  } else {
    length = 0;
    const char32_t character = NextCodePoint(bytes, &length);
    if (length == bytes.size()) {
      id_of_character_.emplace(character, id);
      if (character < 0x80) id_of_byte_[character] = id;
    }
  }
  if (length != bytes.size() || !reserved_[static_cast<size_t>(id)]) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("tokenizer: id ", id, " is a special token and the only spelling of ",
                   unit_ == Unit::kByte ? "byte " : "the character ",
                   unit_ == Unit::kByte ? std::to_string(static_cast<uint8_t>(bytes[0])) : std::string(bytes)));
}

void Bpe::FindWholeWords() {
  const size_t count = offsets_.size() - 1;
  whole_word_.assign(count, false);
  std::vector<int32_t> ids;
  for (size_t i = 0; i < count; ++i) {
    const int32_t id = static_cast<int32_t>(i);
    if (BytesOf(id).empty()) continue;
    ids.clear();
    MergeWord(BytesOf(id), /*avoid=*/false, &ids);
    whole_word_[i] = ids.size() == 1 && ids[0] == id;
  }
}

std::string_view Bpe::BytesOf(int32_t id) const {
  const size_t i = static_cast<size_t>(id);
  return std::string_view(bytes_).substr(offsets_[i], offsets_[i + 1] - offsets_[i]);
}

int32_t Bpe::FindWord(std::string_view word) const {
  if (word.size() > longest_entry_) return -1;
  const size_t mask = slots_.size() - 1;
  for (size_t slot = HashOf(word) & mask; slots_[slot] >= 0; slot = (slot + 1) & mask) {
    if (BytesOf(slots_[slot]) == word) return slots_[slot];
  }
  return -1;
}

const Bpe::Target* Bpe::FindMerge(int32_t left, int32_t right, bool avoid) const {
  const auto found = merges_.find(PairKey(left, right));
  if (found == merges_.end()) return nullptr;
  if (avoid && reserved_[static_cast<size_t>(found->second.id)]) return nullptr;
  return &found->second;
}

void Bpe::EncodeWord(std::string_view word, Reserved reserved, std::vector<int32_t>* ids) const {
  if (word.empty()) return;
  const bool avoid = any_reserved_ && reserved == Reserved::kAvoid;
  const int32_t whole = FindWord(word);
  if (whole >= 0 && whole_word_[static_cast<size_t>(whole)] && !(avoid && reserved_[static_cast<size_t>(whole)])) {
    ids->push_back(whole);
    return;
  }
  const size_t start = ids->size();
  MergeWord(word, /*avoid=*/false, ids);
  if (!avoid) return;
  // Merges are taken away only from words that would have produced a reserved id: all others encode as the reference
  // does, even where a reserved entry is a stepping stone to a longer one.
  const auto is_reserved = [&](int32_t id) { return reserved_[static_cast<size_t>(id)]; };
  if (std::none_of(ids->begin() + static_cast<std::ptrdiff_t>(start), ids->end(), is_reserved)) return;
  ids->resize(start);
  MergeWord(word, /*avoid=*/true, ids);
}

int32_t Bpe::FindCharacter(char32_t character) const {
  if (character < 0x80) return id_of_byte_[character];
  const auto found = id_of_character_.find(character);
  return found == id_of_character_.end() ? -1 : found->second;
}

// Ids of the bytes of `unit` (a character, as text); false when one is missing.
bool Bpe::AppendFallback(std::string_view unit, int32_t* out, size_t* count) const {
  for (const char byte : unit) {
    const int32_t id = fallback_[static_cast<uint8_t>(byte)];
    if (id < 0) return false;
    out[(*count)++] = id;
  }
  return true;
}

// Calls append(id) for the symbols that merging starts from.
template <typename Append>
void Bpe::Spell(std::string_view word, Append append) const {
  bool unknown = false;  // one is due. As in the reference, bytes of a fallback come before it
  for (size_t position = 0; position < word.size();) {
    const size_t start = position;
    int32_t id = -1;
    if (unit_ == Unit::kByte) {
      id = id_of_byte_[static_cast<uint8_t>(word[position++])];
    } else {
      id = FindCharacter(NextCodePoint(word, &position));
    }
    if (id >= 0) {
      if (unknown) append(unknown_);
      unknown = false;
      append(id);
      continue;
    }
    const std::string_view bytes = word.substr(start, position - start);
    int32_t fallback[4];
    size_t count = 0;
    if (unit_ == Unit::kByte ? AppendFallback(SpellBytes(bytes), fallback, &count)
                             : AppendFallback(bytes, fallback, &count)) {
      for (size_t i = 0; i < count; ++i) append(fallback[i]);
    } else if (unknown_ >= 0) {
      if (unknown && !fuse_unknown_) append(unknown_);
      unknown = true;
    }
  }
  if (unknown) append(unknown_);
}

void Bpe::MergeWord(std::string_view word, bool avoid, std::vector<int32_t>* ids) const {
  if (word.size() <= kShortWordBytesMax) {
    MergeShort(word, avoid, ids);
  } else {
    MergeLong(word, avoid, ids);
  }
}

void Bpe::MergeShort(std::string_view word, bool avoid, std::vector<int32_t>* ids) const {
  int32_t symbols[kShortWordSymbolsMax];
  Target targets[kShortWordSymbolsMax];  // of the pair (i, i + 1)
  size_t count = 0;
  const auto look_up = [&](size_t i) {
    const Target* target = FindMerge(symbols[i], symbols[i + 1], avoid);
    targets[i] = target != nullptr ? *target : Target{kNoRank, -1};
  };
  Spell(word, [&](int32_t id) { symbols[count++] = id; });
  for (size_t i = 0; i + 1 < count; ++i) look_up(i);
  while (count > 1) {
    const Target* best = std::min_element(targets, targets + count - 1,
                                          [](const Target& a, const Target& b) { return a.rank < b.rank; });
    if (best->rank == kNoRank) break;
    const size_t i = static_cast<size_t>(best - targets);
    symbols[i] = best->id;
    std::copy(symbols + i + 2, symbols + count, symbols + i + 1);
    if (i + 2 < count) std::copy(targets + i + 2, targets + count - 1, targets + i + 1);
    --count;
    if (i > 0) look_up(i - 1);
    if (i + 1 < count) look_up(i);
  }
  ids->insert(ids->end(), symbols, symbols + count);
}

void Bpe::MergeLong(std::string_view word, bool avoid, std::vector<int32_t>* ids) const {
  struct Symbol {
    int32_t id;  // -1: was merged into its left neighbour
    int32_t previous;
    int32_t next;
  };
  struct Candidate {
    int32_t rank;
    int32_t position;
    int32_t result;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  Spell(word, [&](int32_t id) {
    const auto i = static_cast<int32_t>(symbols.size());
    symbols.push_back({id, i - 1, i + 1});
  });
  if (symbols.empty()) return;
  symbols.back().next = -1;
  const auto count = static_cast<int32_t>(symbols.size());
  std::vector<Candidate> candidates;
  const auto at = [&](int32_t i) -> Symbol& { return symbols[static_cast<size_t>(i)]; };
  const auto target_at = [&](int32_t i) -> const Target* {
    const Symbol& symbol = at(i);
    return symbol.next < 0 ? nullptr : FindMerge(symbol.id, at(symbol.next).id, avoid);
  };
  for (int32_t i = 0; i < count; ++i) {
    if (const Target* target = target_at(i)) candidates.push_back({target->rank, i, target->id});
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<Candidate>> queue({}, std::move(candidates));
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    Symbol& symbol = at(top.position);
    if (symbol.id < 0) continue;
    // A neighbour may have changed since the candidate was queued.
    const Target* target = target_at(top.position);
    if (target == nullptr || target->id != top.result) continue;
    Symbol& right = at(symbol.next);
    symbol.id = top.result;
    symbol.next = right.next;
    right.id = -1;
    if (symbol.next >= 0) at(symbol.next).previous = top.position;
    if (const Target* now = target_at(top.position)) queue.push({now->rank, top.position, now->id});
    if (symbol.previous >= 0) {
      if (const Target* now = target_at(symbol.previous)) queue.push({now->rank, symbol.previous, now->id});
    }
  }
  for (int32_t i = 0; i >= 0; i = at(i).next) ids->push_back(at(i).id);
}

}  // namespace headroom::model
