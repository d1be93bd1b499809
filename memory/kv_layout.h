// Where keys and values lie inside a KV block. A block holds block_size tokens of all layers:
//   for each layer: K [kv_heads, block_size, head_dim], then V the same; each of them starts at a multiple of 64 bytes.
// Models with a latent cache (MLA; plan only) have one vector a token and layer in place of K and V.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "common/arith.h"
#include "common/dtype.h"

namespace headroom::memory {

class KvLayout {
 public:
  // vectors: 2 (K and V) or 1 (latent). INVALID_ARGUMENT on sizes below 1, a type other than fp32, bf16 and fp8, or a
  // block above 2^40 bytes.
  static absl::StatusOr<KvLayout> Make(int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t block_size,
                                       DType dtype, int64_t vectors = 2);
  KvLayout() = default;

  int64_t BlockBytes() const { return vectors_ * layers_ * region_bytes_; }
  // Bytes from the start of a block, with K and V.
  int64_t KOffset(int64_t layer) const { return 2 * layer * region_bytes_; }
  int64_t VOffset(int64_t layer) const { return (2 * layer + 1) * region_bytes_; }
  // Blocks for so many tokens.
  int64_t BlocksFor(int64_t tokens) const { return CeilDiv(tokens, block_size_); }

  int64_t layers() const { return layers_; }
  int64_t kv_heads() const { return kv_heads_; }
  int64_t head_dim() const { return head_dim_; }
  int64_t block_size() const { return block_size_; }
  int64_t vectors() const { return vectors_; }
  DType dtype() const { return dtype_; }

 private:
  int64_t layers_ = 0, kv_heads_ = 0, head_dim_ = 0, block_size_ = 1, vectors_ = 2;
  DType dtype_ = DType::kBF16;
  int64_t region_bytes_ = 0;
};

}  // namespace headroom::memory
