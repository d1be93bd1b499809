// Byte-pair encoding of one word (a piece that the pre-tokenizer cut): start from single bytes, and while any two
// neighbours have a merge, apply the merge of lowest rank, leftmost first.
//
// There is no word cache: a word that is itself a vocabulary entry, and that merging would turn into just that entry
// (found out for every entry at load), is answered by one table lookup, and any other word is merged in O(n log n). So
// the object is immutable, holds no memory that grows with traffic, and is thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

namespace headroom::model {

class Bpe {
 public:
  struct Merge {
    int32_t left = 0;
    int32_t right = 0;
    int32_t result = 0;
  };
  struct Vocabulary {
    // Indexed by id. `in_alphabet` is false for ids without an entry and entries that are no spelling of bytes: merges
    // that come from bytes never reach those.
    std::vector<std::string> bytes;
    std::vector<bool> in_alphabet;
    std::vector<Merge> merges;      // in order of rank; of equal pairs the last counts
    bool ignore_merges = false;     // a word that is an entry is that entry, whether merges lead there or not
    std::vector<int32_t> reserved;  // ids that EncodeWord must not produce when told to avoid them
  };

  // Errors: INVALID_ARGUMENT when a byte has no entry, when one is reserved, or when two entries spell the same bytes.
  static absl::StatusOr<Bpe> Create(Vocabulary vocabulary);

  enum class Reserved { kAllow, kAvoid };
  // Appends the ids of `word` (any bytes, shorter than 2 GiB). With kAvoid, merges that lead to a reserved id do not
  // exist.
  void EncodeWord(std::string_view word, Reserved reserved, std::vector<int32_t>* ids) const;

 private:
  struct Target {
    int32_t rank;
    int32_t id;
  };

  Bpe() = default;
  absl::Status Index();
  void FindWholeWords();
  int32_t FindWord(std::string_view word) const;  // -1: none
  std::string_view BytesOf(int32_t id) const;
  const Target* FindMerge(int32_t left, int32_t right, bool avoid) const;
  void MergeWord(std::string_view word, bool avoid, std::vector<int32_t>* ids) const;
  void MergeShort(std::string_view word, bool avoid, std::vector<int32_t>* ids) const;
  void MergeLong(std::string_view word, bool avoid, std::vector<int32_t>* ids) const;

  std::string bytes_;              // of all entries, one after another
  std::vector<uint32_t> offsets_;  // entry i is bytes_[offsets_[i], offsets_[i + 1])
  std::vector<int32_t> slots_;     // id or -1; size is a power of two
  std::vector<bool> whole_word_;   // the entry's bytes encode to the entry
  std::vector<bool> reserved_;
  bool any_reserved_ = false;
  int32_t id_of_byte_[256];
  absl::flat_hash_map<uint64_t, Target> merges_;  // key: left << 32 | right
};

}  // namespace headroom::model
