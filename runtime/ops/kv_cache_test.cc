// Writing to and copying in the KV cache, byte by byte.
#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/ops/paged_attention.h"
#include "runtime/testing.h"

namespace headroom::runtime {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr std::byte kUntouched{0xee};

class KvCacheTest : public OpTest {
 protected:
  // Writes `tokens` tokens to shuffled slots of the second layer of two and looks at every byte of the pool.
  void CheckWrite(DType cache, int64_t kv_heads, int64_t dim, int64_t gap, int64_t tokens) {
    SCOPED_TRACE(absl::StrCat(DTypeName(cache), " ", kv_heads, " heads of ", dim, ", gap ", gap));
    constexpr int64_t kBlockSize = 3;
    const int64_t part = kv_heads * kBlockSize * dim * SizeOf(cache), blocks = std::max<int64_t>(tokens, 1);
    const KvView kv = {.base = {},
                       .block_bytes = 4 * part,
                       .k_offset = 2 * part,
                       .v_offset = 3 * part,
                       .dtype = cache,
                       .blocks = blocks,
                       .kv_heads = kv_heads,
                       .head_dim = dim,
                       .block_size = kBlockSize};
    std::vector<std::byte> want(static_cast<size_t>(blocks * kv.block_bytes), kUntouched), got(want.size());
    DeviceBuffer pool(device(), static_cast<int64_t>(want.size()));
    pool.Upload(want.data());
    KvView on_device = kv;
    on_device.base = pool.data();

    std::vector<int64_t> slots(static_cast<size_t>(blocks * kBlockSize));
    for (size_t i = 0; i < slots.size(); ++i) slots[i] = static_cast<int64_t>(i);
    std::shuffle(slots.begin(), slots.end(), random_);
    slots.resize(static_cast<size_t>(tokens));
    ASSERT_TRUE(CheckSlots(slots, kv).ok());
    Storage k(device(), DType::kF32, tokens, kv_heads * dim, gap),
        v(device(), DType::kF32, tokens, kv_heads * dim, gap);
    k.Fill(Random(tokens * kv_heads * dim));
    v.Fill(Random(tokens * kv_heads * dim));
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t c = 0; c < kv_heads * dim; ++c) {
        const int64_t slot = slots[static_cast<size_t>(t)];
        const int64_t element = (c / dim * kBlockSize + slot % kBlockSize) * dim + c % dim;
        const int64_t at = slot / kBlockSize * kv.block_bytes + element * SizeOf(cache);
        Put(cache, k.Get(t, c), &want[static_cast<size_t>(at + kv.k_offset)]);
        Put(cache, v.Get(t, c), &want[static_cast<size_t>(at + kv.v_offset)]);
      }
    }
    const DeviceValues<int64_t> device_slots(device(), slots);
    ASSERT_TRUE(
        PagedKvWrite(device(), {.k = k.view(), .v = v.view(), .slots = device_slots.array(), .kv = on_device}).ok());
    pool.Download(got.data());
    EXPECT_TRUE(got == want);
  }

  static void Put(DType dtype, float value, std::byte* to) {
    const uint16_t half = ToBf16(value);
    if (dtype == DType::kBF16) {
      std::memcpy(to, &half, sizeof(half));
    } else {
      std::memcpy(to, &value, sizeof(value));
    }
  }

  void CheckCopy(int64_t block_bytes) {
    SCOPED_TRACE(block_bytes);
    constexpr int64_t kBlocks = 5;
    std::vector<std::byte> pool(static_cast<size_t>(block_bytes * kBlocks));
    for (size_t i = 0; i < pool.size(); ++i) pool[i] = static_cast<std::byte>(i % 251);
    DeviceBuffer buffer(device(), block_bytes * kBlocks);
    buffer.Upload(pool.data());
    const std::vector<BlockCopy> copies = {{0, 3}, {0, 1}, {4, 2}};
    const KvView kv = {.blocks = kBlocks, .block_size = 1};
    ASSERT_TRUE(CheckCopies(copies, kv).ok());
    const DeviceValues<BlockCopy> on_device(device(), copies);
    ASSERT_TRUE(
        CopyKvBlocks(device(), {.copies = on_device.array(), .pool = buffer.data(), .block_bytes = block_bytes}).ok());
    std::vector<std::byte> got(pool.size());
    buffer.Download(got.data());
    const auto block = [&](const std::vector<std::byte>& from, int64_t i) {
      return std::vector<std::byte>(from.begin() + i * block_bytes, from.begin() + (i + 1) * block_bytes);
    };
    for (const auto& [to, from] : std::vector<std::pair<int64_t, int64_t>>{{0, 0}, {1, 0}, {2, 4}, {3, 0}, {4, 4}}) {
      EXPECT_TRUE(block(got, to) == block(pool, from)) << to;
    }
    EXPECT_EQ(CheckCopies(std::vector<BlockCopy>{{0, 5}}, kv).code(), kInvalid);
    EXPECT_EQ(CheckCopies(std::vector<BlockCopy>{{-1, 0}}, kv).code(), kInvalid);
    EXPECT_EQ(CopyKvBlocks(device(), {.copies = on_device.array(), .pool = {}, .block_bytes = block_bytes}).code(),
              kInvalid);
  }
};

TEST_F(KvCacheTest, KeysAndValuesLieWhereTheirSlotsSay) {
  for (const DType cache : {DType::kF32, DType::kBF16}) {
    CheckWrite(cache, 2, 8, 4, 7);
    CheckWrite(cache, 4, 128, 0, 5);
    CheckWrite(cache, 3, 7, 1, 6);
    CheckWrite(cache, 1, 72, 3, 4);
    CheckWrite(cache, 2, 4, 0, 0);
  }
}

TEST_F(KvCacheTest, BlocksAreCopiedWhole) {
  for (const int64_t block_bytes : {200, 4096, 16 * 256 * 64 + 16, 77}) CheckCopy(block_bytes);
}

}  // namespace
}  // namespace headroom::runtime
