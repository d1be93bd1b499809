// Byte-pair encoding of one word (a piece that the pre-tokenizer cut): start from single bytes or characters, and while
// any two neighbours have a merge, apply the merge of lowest rank, leftmost first.
//
// There is no word cache: a word that is itself a vocabulary entry, and that merging would turn into just that entry
// (found out for every entry at load), is answered by one table lookup, and any other word is merged in O(n log n). So
// the object is immutable, holds no memory that grows with traffic, and is thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

namespace headroom::model {

class Bpe {
 public:
  // What the first symbols of a word are. Bytes: entries are spelled in the byte alphabet, words are not.
  enum class Unit { kByte, kCharacter };

  struct Merge {
    int32_t left = 0;
    int32_t right = 0;
    int32_t result = 0;
    int32_t rank = 0;
  };
  struct Vocabulary {
    Unit unit = Unit::kByte;
    // Indexed by id: what an entry stands for, in bytes. `is_entry` is false for ids without an entry and, with kByte,
    // entries that are no spelling of bytes: merges never reach those.
    std::vector<std::string> bytes;
    std::vector<bool> is_entry;
    std::vector<Merge> merges;      // of equal pairs the last counts
    bool ignore_merges = false;     // a word that is an entry is that entry, whether merges lead there or not
    std::vector<int32_t> reserved;  // ids that EncodeWord must not produce when told to avoid them
    // What a byte or character without an entry becomes: a token for each of its bytes (with kByte, of its spelling),
    // where all of them are there; else `unknown`, one for each or, with fuse_unknown, one for each row of them; else
    // nothing. -1: no such token.
    std::array<int32_t, 256> fallback = NoFallback();
    int32_t unknown = -1;
    bool fuse_unknown = false;

    static constexpr std::array<int32_t, 256> NoFallback() {
      std::array<int32_t, 256> none{};
      none.fill(-1);
      return none;
    }
  };

  // Errors: INVALID_ARGUMENT when a byte or character is reserved, or when two entries are the same.
  static absl::StatusOr<Bpe> Create(Vocabulary vocabulary);

  enum class Reserved { kAllow, kAvoid };
  // Appends the ids of `word` (with kCharacter valid UTF-8; shorter than 1 GiB). With kAvoid, merges that lead to a
  // reserved id do not exist. What stands for an unknown character comes whether it is reserved or not.
  void EncodeWord(std::string_view word, Reserved reserved, std::vector<int32_t>* ids) const;

  // Every text has an encoding that says all of it: each byte or character has an entry or falls back to bytes.
  bool complete() const { return complete_; }

 private:
  struct Target {
    int32_t rank;
    int32_t id;
  };

  Bpe() = default;
  absl::Status Index();
  absl::Status IndexUnit(int32_t id, std::string_view bytes);
  void FindWholeWords();
  int32_t FindWord(std::string_view word) const;  // -1: none
  std::string_view BytesOf(int32_t id) const;
  const Target* FindMerge(int32_t left, int32_t right, bool avoid) const;
  int32_t FindCharacter(char32_t character) const;  // -1: none
  template <typename Append>
  void Spell(std::string_view word, Append append) const;
  bool AppendFallback(std::string_view unit, int32_t* out, size_t* count) const;
  void MergeWord(std::string_view word, bool avoid, std::vector<int32_t>* ids) const;
  void MergeShort(std::string_view word, bool avoid, std::vector<int32_t>* ids) const;
  void MergeLong(std::string_view word, bool avoid, std::vector<int32_t>* ids) const;

  Unit unit_ = Unit::kByte;
  std::string bytes_;              // of all entries, one after another
  std::vector<uint32_t> offsets_;  // entry i is bytes_[offsets_[i], offsets_[i + 1])
  size_t longest_entry_ = 0;
  std::vector<int32_t> slots_;    // id or -1; size is a power of two
  std::vector<bool> whole_word_;  // the entry's bytes encode to the entry
  std::vector<bool> reserved_;
  bool any_reserved_ = false;
  bool complete_ = false;
  std::array<int32_t, 256> id_of_byte_{};                   // kByte; with kCharacter of the ASCII characters. -1: none
  absl::flat_hash_map<char32_t, int32_t> id_of_character_;  // kCharacter
  std::array<int32_t, 256> fallback_{};
  int32_t unknown_ = -1;
  bool fuse_unknown_ = false;
  absl::flat_hash_map<uint64_t, Target> merges_;  // key: left << 32 | right
};

}  // namespace headroom::model
