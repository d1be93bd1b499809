// Launches of the attention kernels, for attention.cc: addresses of the card and plain numbers, so that nvcc reads no
// header of the operations. What a segment and a sequence mean stands in runtime/ops.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "runtime/cuda/kernels/decode_scratch.h"

namespace headroom::runtime::cuda {

// The bytes of an AttentionSegment and of a PagedSequence.
struct DenseSegment {
  int64_t q_begin, q_count, k_begin, k_count, out_begin;
};
struct CachedSequence {
  int64_t q_begin, q_count, context_len;
};

// Lengths of segments and sequences stay on the card. A kernel counts keys and rows of one of them in 32 bits.
struct DenseAttention {
  const float* q;
  const float* k;
  const float* v;
  int64_t q_stride, k_stride, v_stride;  // elements
  const DenseSegment* segments;
  int segment_count;
  int heads, head_dim;
  float scale;
  void* out;
  int64_t out_stride, out_rows;
  bool out_is_bf16;
  // Every row of a head begins at a multiple of 16 bytes, in q, k and v, and in out.
  bool inputs_aligned, out_aligned;
};

struct PagedAttention {
  const float* q;
  int64_t q_stride, q_rows;
  const CachedSequence* sequences;
  int sequence_count;
  const int32_t* block_tables;  // [sequence_count, table_size]
  int64_t table_size;
  const void* keys;  // of this layer in block 0; values lie value_offset bytes behind
  int64_t value_offset, block_bytes;
  int block_size;
  int heads, kv_heads, head_dim;
  float scale;
  void* out;
  int64_t out_stride;
  bool cache_is_bf16, out_is_bf16;
  bool inputs_aligned, out_aligned;
  int64_t decoded_max;  // sequences with so many rows or fewer are decoded, flash attention takes the others
  int decode_blocks;
  float* scratch;  // DecodeScratchBytes
};

// Head sizes that the products of the tensor cores are compiled for; every other one takes the plain kernel. 64, 128:
// Qwen2, Llama and MiniCPM's resampler; 72: its SigLIP tower; 80, 96: towers and decoders of families that plan; 32:
// the demo model.
constexpr bool HasTensorKernel(int64_t head_dim) {
  return head_dim == 32 || head_dim == 64 || head_dim == 72 || head_dim == 80 || head_dim == 96 || head_dim == 128;
}

// Query rows that the decode kernel computes at once, for so many heads that share keys.
constexpr int DecodeRows(int64_t group) { return group <= 8 ? 8 : kDecodeRowsMax; }

// Sequences with so many query rows (tokens · heads that share keys) are still decoded in a step that prefills as well:
// half a tile of flash attention, which splits no keys, so that the last tokens of a long prompt would keep one block a
// kv head busy.
inline constexpr int64_t kDecodedRowsMax = 64;

// f32 products, any head size, any types.
cudaError_t LaunchPlainAttention(const DenseAttention& args, cudaStream_t stream);
cudaError_t LaunchPlainAttention(const PagedAttention& args, cudaStream_t stream);

// bf16 products, out in bf16, a head size that HasTensorKernel() knows; a cache in bf16 whose heads begin at multiples
// of 16 bytes.
cudaError_t LaunchFlashAttention(const DenseAttention& args, cudaStream_t stream);
cudaError_t LaunchFlashAttention(const PagedAttention& args, cudaStream_t stream);
// Keys split over blocks, then merged: two kernels.
cudaError_t LaunchDecodeAttention(const PagedAttention& args, cudaStream_t stream);

}  // namespace headroom::runtime::cuda
