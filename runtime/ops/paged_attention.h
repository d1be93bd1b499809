// The KV cache in blocks: writing a step's keys and values, and causal attention over a sequence's blocks.
//
// Inside a block, for one layer, K is [kv_heads, block_size, head_dim] and V the same (memory/kv_layout.h gives the
// offsets).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "common/status.h"
#include "runtime/device.h"
#include "runtime/matrix.h"
#include "runtime/ops/attention.h"  // AttentionScratchBytes
#include "runtime/ops/rope.h"

namespace headroom::runtime {

// One layer of the KV pool.
struct KvView {
  DevicePtr base = {};      // block 0
  int64_t block_bytes = 0;  // from one block to the next
  int64_t k_offset = 0;     // of this layer inside a block, bytes
  int64_t v_offset = 0;
  DType dtype = DType::kF32;  // f32 | bf16
  int64_t blocks = 0;         // blocks in the pool: the bound that block numbers and slots are checked against
  int64_t kv_heads = 0;
  int64_t head_dim = 0;    // 1 … 512
  int64_t block_size = 0;  // tokens
};

// In place of a slot: the row is not kept, and its query does not turn.
inline constexpr int64_t kNoSlot = -1;

struct PagedKvWriteArgs {
  ConstMatrix k;                          // [T, kv_heads · head_dim] f32
  ConstMatrix v;                          // same
  DeviceArray<const int64_t> slots = {};  // [T]: block · block_size + offset in the block; each slot at most once
  KvView kv;                              // CheckSlots holds for those that are not kNoSlot
  // Keys turn on their way to the cache (k itself is left alone), and queries with them. Without: nobody turns.
  std::optional<RopeArgs> rope = {};
};

// INVALID_ARGUMENT on shapes.
absl::Status PagedKvWrite(Device& device, const PagedKvWriteArgs& args);

// Block `to` becomes a copy of block `from`, all layers of it.
struct BlockCopy {
  int32_t from = 0;
  int32_t to = 0;
};

struct CopyKvBlocksArgs {
  // CheckCopies holds; no block is the source of one and the target of another.
  DeviceArray<const BlockCopy> copies = {};
  DevicePtr pool = {};      // block 0
  int64_t block_bytes = 0;  // from one block to the next
};

// INVALID_ARGUMENT without a pool.
absl::Status CopyKvBlocks(Device& device, const CopyKvBlocksArgs& args);

struct PagedSequence {
  int64_t q_begin = 0;      // first row of this sequence in q and out; no row belongs to two sequences
  int64_t q_count = 0;      // its rows in this step
  int64_t context_len = 0;  // keys in the cache, those of this step included: row i of the sequence sees the first
                            // context_len − q_count + i + 1 keys
};

struct PagedAttentionArgs {
  ConstMatrix q;  // [T, heads · head_dim] f32; heads a multiple of kv.kv_heads: head j uses kv head j / group
  DeviceArray<const PagedSequence> sequences = {};  // [S]; CheckSequences holds for them and their tables
  DeviceArray<const int32_t> block_tables = {};     // [S, table_size] block numbers
  int64_t table_size = 0;
  // No sequence has fewer rows in this step (but for those that have none), as far as the host knows: a device may
  // leave out what it keeps for sequences of few rows.
  int64_t q_count_min = 1;
  int64_t heads = 0;
  KvView kv;
  float scale = 1.0f;
  Matrix out;               // [T, heads · head_dim] f32 | bf16; rows of no sequence are left alone
  DeviceSpan scratch = {};  // AttentionScratchBytes(device, kv.head_dim), 64-byte aligned
};

// Products as in Attention. INVALID_ARGUMENT on shapes, dtypes or too little scratch.
absl::Status PagedAttention(Device& device, const PagedAttentionArgs& args);

// For who builds them, on the host: INVALID_ARGUMENT when something lies outside of the pool, the rows of the step or
// its own table. Of `kv` only blocks and block_size are looked at.
absl::Status CheckSlots(std::span<const int64_t> slots, const KvView& kv);
absl::Status CheckCopies(std::span<const BlockCopy> copies, const KvView& kv);
absl::Status CheckSequences(std::span<const PagedSequence> sequences, std::span<const int32_t> block_tables,
                            int64_t table_size, int64_t rows, const KvView& kv);

}  // namespace headroom::runtime
