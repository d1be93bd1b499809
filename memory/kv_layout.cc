#include "memory/kv_layout.h"

#include "common/status.h"
#include "memory/alignment.h"

namespace headroom::memory {
namespace {

constexpr int64_t kBlockBytesMax = int64_t{1} << 40;

}  // namespace

absl::StatusOr<KvLayout> KvLayout::Make(int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t block_size,
                                        DType dtype, int64_t vectors) {
  const auto shape = [&] {
    return absl::StrCat(layers, " layers, ", kv_heads, " kv heads of ", head_dim, ", blocks of ", block_size,
                        " tokens");
  };
  if (layers < 1 || kv_heads < 1 || head_dim < 1 || block_size < 1 || vectors < 1 || vectors > 2) {
    return absl::InvalidArgumentError(absl::StrCat("KV layout: every size must be at least 1: ", shape()));
  }
  if (dtype != DType::kF32 && dtype != DType::kBF16 && dtype != DType::kF8) {
    return absl::InvalidArgumentError(
        absl::StrCat("KV layout: not supported: ", DTypeName(dtype), " (only fp32, bf16, fp8)"));
  }
  // Bounded factor by factor, so that no product leaves int64.
  int64_t bytes = SizeOf(dtype);
  for (const int64_t factor :
       {kv_heads, head_dim, block_size, 2 * (layers < kBlockBytesMax ? layers : kBlockBytesMax)}) {
    if (factor > kBlockBytesMax || __builtin_mul_overflow(bytes, factor, &bytes) || bytes > kBlockBytesMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("KV layout: a block has more than ", kBlockBytesMax, " bytes: ", shape()));
    }
  }
  KvLayout layout;
  layout.layers_ = layers;
  layout.kv_heads_ = kv_heads;
  layout.head_dim_ = head_dim;
  layout.block_size_ = block_size;
  layout.dtype_ = dtype;
  layout.vectors_ = vectors;
  layout.region_bytes_ = AlignUp(kv_heads * head_dim * block_size * SizeOf(dtype));
  return layout;
}

}  // namespace headroom::memory
