// Attention of one run of query rows over keys that come in blocks, with a running softmax: the part that dense and
// paged attention share. Works in f32, or in bf16 pairs where the processor multiplies them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/arith.h"
#include "runtime/cpu/context.h"

namespace headroom::runtime::cpu {

inline constexpr int64_t kFlashKeys = 128;      // packed at a time
inline constexpr int64_t kFlashRows = 256;      // query rows that share them, at most
inline constexpr int64_t kFlashScoreRows = 32;  // query rows whose scores exist at a time

// Scratch of one thread: three blocks of keys, query rows and their sums, scores and their weights, and two numbers per
// query row.
constexpr int64_t FlashScratchBytes(int64_t head_dim) {
  const int64_t dim = RoundUp(head_dim, kColumnQuantum);
  const int64_t floats = dim * (3 * kFlashKeys + 2 * kFlashRows) + 2 * kFlashScoreRows * kFlashKeys + 2 * kFlashRows;
  return static_cast<int64_t>(sizeof(float)) * floats;
}

// `count` keys and values whose rows lie so many elements apart.
struct KeyRun {
  const void* k = nullptr;
  const void* v = nullptr;
  int64_t k_stride = 0;
  int64_t v_stride = 0;
  int64_t count = 0;
};

// How many keys of a block row r sees: min(keys, first + (offset + r) / group), nothing below 0. Rises with r.
struct Visible {
  int64_t first = 0;
  int64_t offset = 0;
  int64_t group = 1;

  static Visible All(int64_t keys) { return {keys, 0, int64_t{1} << 40}; }
  int64_t operator()(int64_t row, int64_t keys) const {
    const int64_t seen = first + (offset + row) / group;
    return seen < 0 ? 0 : seen < keys ? seen : keys;
  }
};

class Flash {
 public:
  // scratch: FlashScratchBytes. bf16 only where kernels->gemm_bf16 exists. Keys and values
  // are of type `source`.
  Flash(const Context& context, bool bf16, Element source, int64_t head_dim, float scale, std::byte* scratch);

  // A new run of rows ≤ kFlashRows; then SetQuery for each.
  void Start(int64_t rows);
  void SetQuery(int64_t row, const float* q);

  // Adds a block of ≤ kFlashKeys keys.
  void AddKeys(std::span<const KeyRun> runs, const Visible& visible);

  // Writes a finished row; it has seen at least one key.
  void Finish(int64_t row, void* out, Element type) const;

 private:
  static constexpr int64_t kScoreRows = kFlashScoreRows;

  void PackKeys(std::span<const KeyRun> runs, int64_t keys);
  void PackValues(std::span<const KeyRun> runs, int64_t keys);
  void CopyRow(const void* source, float* row) const;
  void Attend(int64_t begin, int64_t rows, int64_t keys, const Visible& visible);

  const Kernels& kernels_;
  const bool bf16_;
  const Element source_;
  const Element type_;  // of the products
  const int64_t head_dim_;
  const int64_t dim_;    // head_dim rounded up to the column quantum
  const int64_t words_;  // 32-bit words in a row of dim_ elements of type_
  const float scale_;
  int64_t rows_ = 0;

  float* loaded_;   // [kFlashKeys][words_], keys or values as rows, in type_
  float* keys_;     // [words_][kFlashKeys]
  float* values_;   // f32: [kFlashKeys][dim_]; bf16: [kFlashKeys / 2][dim_] pairs
  float* queries_;  // [kFlashRows][words_]
  float* sums_;     // [kFlashRows][dim_], f32
  float* scores_;   // [kScoreRows][kFlashKeys], f32
  float* weights_;  // [kScoreRows][kFlashKeys], in type_
  float* maximum_;  // [kFlashRows]
  float* total_;    // [kFlashRows]
};

// This thread's share of what AttentionScratchBytes asked for.
inline std::byte* FlashScratch(std::byte* scratch, int64_t head_dim, int thread) {
  return scratch + FlashScratchBytes(head_dim) * thread;
}

}  // namespace headroom::runtime::cpu
