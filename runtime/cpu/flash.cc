#include "runtime/cpu/flash.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/arith.h"

namespace headroom::runtime::cpu {
Flash::Flash(const Context& context, bool bf16, Element source, int64_t head_dim, float scale, std::byte* scratch)
    : kernels_(*context.kernels),
      bf16_(bf16),
      source_(source),
      type_(bf16 ? kElementBf16 : kElementF32),
      head_dim_(head_dim),
      dim_(RoundUp(head_dim, kColumnQuantum)),
      words_(bf16 ? dim_ / 2 : dim_),
      scale_(scale) {
  float* next = reinterpret_cast<float*>(scratch);
  const auto take = [&next](int64_t floats) {
    float* taken = next;
    next += floats;
    return taken;
  };
  loaded_ = take(kFlashKeys * dim_);
  keys_ = take(kFlashKeys * dim_);
  values_ = take(kFlashKeys * dim_);
  queries_ = take(kFlashRows * dim_);
  sums_ = take(kFlashRows * dim_);
  scores_ = take(kScoreRows * kFlashKeys);
  weights_ = take(kScoreRows * kFlashKeys);
  maximum_ = take(kFlashRows);
  total_ = take(kFlashRows);
}

void Flash::Start(int64_t rows) {
  rows_ = rows;
  std::fill(sums_, sums_ + rows * dim_, 0.0f);
  std::fill(maximum_, maximum_ + rows, -INFINITY);
  std::fill(total_, total_ + rows, 0.0f);
}

// One row of head_dim elements, in type_ and padded with zeros.
void Flash::CopyRow(const void* source, float* row) const {
  char* bytes = reinterpret_cast<char*>(row);
  const int64_t element = bf16_ ? 2 : 4;
  kernels_.convert[source_][type_](source, bytes, head_dim_);
  std::memset(bytes + head_dim_ * element, 0, static_cast<size_t>((dim_ - head_dim_) * element));
}

void Flash::SetQuery(int64_t row, const float* q) {
  char* bytes = reinterpret_cast<char*>(queries_ + row * words_);
  const int64_t element = bf16_ ? 2 : 4;
  kernels_.convert[kElementF32][type_](q, bytes, head_dim_);
  std::memset(bytes + head_dim_ * element, 0, static_cast<size_t>((dim_ - head_dim_) * element));
}

void Flash::PackKeys(std::span<const KeyRun> runs, int64_t keys) {
  const int64_t element = source_ == kElementBf16 ? 2 : 4;
  float* row = loaded_;
  for (const KeyRun& run : runs) {
    const char* k = static_cast<const char*>(run.k);
    for (int64_t i = 0; i < run.count; ++i, row += words_) CopyRow(k + i * run.k_stride * element, row);
  }
  const int64_t padded = RoundUp(keys, kColumnQuantum);
  std::fill(row, loaded_ + padded * words_, 0.0f);
  kernels_.transpose(reinterpret_cast<const uint32_t*>(loaded_), words_, padded, words_,
                     reinterpret_cast<uint32_t*>(keys_), kFlashKeys);
}

void Flash::PackValues(std::span<const KeyRun> runs, int64_t keys) {
  const int64_t element = source_ == kElementBf16 ? 2 : 4;
  float* const rows = bf16_ ? loaded_ : values_;
  float* row = rows;
  for (const KeyRun& run : runs) {
    const char* v = static_cast<const char*>(run.v);
    for (int64_t i = 0; i < run.count; ++i, row += words_) CopyRow(v + i * run.v_stride * element, row);
  }
  if (!bf16_) return;
  if (keys % 2 != 0) std::fill(row, row + words_, 0.0f);
  for (int64_t pair = 0; pair < (keys + 1) / 2; ++pair) {
    const float* even = rows + 2 * pair * words_;
    kernels_.interleave(reinterpret_cast<const uint16_t*>(even), reinterpret_cast<const uint16_t*>(even + words_),
                        reinterpret_cast<uint16_t*>(values_ + pair * dim_), dim_);
  }
}

void Flash::Attend(int64_t begin, int64_t rows, int64_t keys, const Visible& visible) {
  const int64_t seen_max = visible(begin + rows - 1, keys);
  if (seen_max == 0) return;
  const int64_t padded = RoundUp(seen_max, kColumnQuantum);
  const float* queries = queries_ + begin * words_;
  const auto pairs = [](const float* p) { return reinterpret_cast<const uint32_t*>(p); };
  if (bf16_) {
    kernels_.gemm_bf16(rows, padded, words_, pairs(queries), words_, pairs(keys_), kFlashKeys, false, scores_,
                       kFlashKeys);
  } else {
    kernels_.gemm_f32(rows, padded, head_dim_, queries, words_, keys_, kFlashKeys, false, scores_, kFlashKeys);
  }
  const int64_t weight_words = bf16_ ? kFlashKeys / 2 : kFlashKeys;
  float* const sums = sums_ + begin * dim_;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t seen = visible(begin + r, keys);
    float* weights = weights_ + r * weight_words;
    if (seen == 0) {
      std::fill(weights, weights + (bf16_ ? padded / 2 : padded), 0.0f);
      continue;
    }
    const float correction = kernels_.softmax_step[type_](scores_ + r * kFlashKeys, seen, padded, scale_,
                                                          maximum_ + begin + r, total_ + begin + r, weights);
    if (correction != 1.0f) kernels_.scale[kElementF32](sums + r * dim_, correction, sums + r * dim_, dim_);
  }
  if (bf16_) {
    kernels_.gemm_bf16(rows, dim_, (seen_max + 1) / 2, pairs(weights_), weight_words, pairs(values_), dim_, true, sums,
                       dim_);
  } else {
    kernels_.gemm_f32(rows, dim_, seen_max, weights_, weight_words, values_, dim_, true, sums, dim_);
  }
}

void Flash::AddKeys(std::span<const KeyRun> runs, const Visible& visible) {
  int64_t keys = 0;
  for (const KeyRun& run : runs) keys += run.count;
  if (keys == 0 || visible(rows_ - 1, keys) == 0) return;
  PackKeys(runs, keys);
  PackValues(runs, keys);
  for (int64_t begin = 0; begin < rows_; begin += kScoreRows) {
    Attend(begin, std::min(kScoreRows, rows_ - begin), keys, visible);
  }
}

void Flash::Finish(int64_t row, void* out, Element type) const {
  kernels_.scale[type](sums_ + row * dim_, 1.0f / total_[row], out, head_dim_);
}

}  // namespace headroom::runtime::cpu
