// Writing to and copying in the KV cache, byte by byte.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "runtime/ops/paged_attention.h"
#include "runtime/testing.h"

namespace headroom::runtime {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr std::byte kUntouched{0xee};

// Which elements of a head turn, and by what.
struct Turns {
  int64_t pairs = 0;  // 0: the whole head
  bool neighbours = false;
  std::array<int32_t, kRopeAxesMax> sections = {};
};

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
    if (tokens > 2) slots[static_cast<size_t>(tokens / 2)] = kNoSlot;
    Storage k(device(), DType::kF32, tokens, kv_heads * dim, gap),
        v(device(), DType::kF32, tokens, kv_heads * dim, gap);
    k.Fill(Random(tokens * kv_heads * dim));
    v.Fill(Random(tokens * kv_heads * dim));
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t c = 0; c < kv_heads * dim; ++c) {
        const int64_t slot = slots[static_cast<size_t>(t)];
        if (slot == kNoSlot) continue;
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

  // The same with rotary embedding: keys turn on their way, queries in place, against the formula in double.
  void CheckRope(DType cache, int64_t heads, int64_t kv_heads, int64_t dim, int64_t gap, const Turns& turns = {}) {
    SCOPED_TRACE(absl::StrCat(DTypeName(cache), " ", heads, "/", kv_heads, " heads of ", dim, ", gap ", gap, ", ",
                              turns.pairs, turns.neighbours ? " neighbours" : " pairs"));
    constexpr int64_t kBlockSize = 3;
    const std::vector<int32_t> numbers = {0, 1, 17, 4095, 32767};
    const std::vector<int64_t> slots = {4, 0, kNoSlot, 7, 2};
    const auto tokens = static_cast<int64_t>(numbers.size());
    const int64_t part = kv_heads * kBlockSize * dim, pairs = turns.pairs == 0 ? dim / 2 : turns.pairs;
    std::vector<float> inv_freq;
    for (int64_t i = 0; i < pairs; ++i) inv_freq.push_back(static_cast<float>(std::pow(1e6, -2.0 * i / dim)));
    RopeArgs sections;
    sections.inv_freq.size = pairs;
    sections.sections = turns.sections;
    std::vector<int32_t> positions;  // those of each axis differ
    for (const int32_t number : numbers) {
      for (int64_t axis = 0; axis < sections.axes(); ++axis)
        positions.push_back(number + static_cast<int32_t>(3 * axis));
    }
    Storage q(device(), DType::kF32, tokens, heads * dim, gap), k(device(), DType::kF32, tokens, kv_heads * dim, gap),
        v(device(), DType::kF32, tokens, kv_heads * dim, gap), pool(device(), cache, 3, 2 * part);
    const std::vector<float> queries = Random(tokens * heads * dim), keys = Random(tokens * kv_heads * dim);
    q.Fill(queries);
    k.Fill(keys);
    v.Fill(Random(tokens * kv_heads * dim));
    const KvView kv = {.base = pool.view().data,
                       .block_bytes = 2 * part * SizeOf(cache),
                       .v_offset = part * SizeOf(cache),
                       .dtype = cache,
                       .blocks = 3,
                       .kv_heads = kv_heads,
                       .head_dim = dim,
                       .block_size = kBlockSize};
    const DeviceValues<int64_t> device_slots(device(), slots);
    const DeviceValues<int32_t> device_positions(device(), positions);
    const DeviceFloats device_freq(device(), inv_freq);
    ASSERT_TRUE(CheckPositions(positions).ok());
    const RopeArgs rope = {.q = q.view(),
                           .heads = heads,
                           .positions = device_positions.array(),
                           .inv_freq = device_freq.array(),
                           .sections = turns.sections,
                           .neighbours = turns.neighbours};
    ASSERT_TRUE(
        PagedKvWrite(device(), {.k = k.view(), .v = v.view(), .slots = device_slots.array(), .kv = kv, .rope = rope})
            .ok());
    const auto turned = [&](const std::vector<float>& from, int64_t row, int64_t cols, int64_t c) {
      const int64_t in_head = c % dim;
      if (in_head >= 2 * pairs) return double{from[static_cast<size_t>(row * cols + c)]};
      const int64_t pair = turns.neighbours ? in_head / 2 : in_head % pairs;
      const bool is_first = turns.neighbours ? in_head % 2 == 0 : in_head < pairs;
      int64_t axis = 0;
      while (pair >= sections.section_ends()[static_cast<size_t>(axis)]) ++axis;
      const auto first = static_cast<size_t>(row * cols + c / dim * dim + (turns.neighbours ? 2 * pair : pair));
      const auto position = positions[static_cast<size_t>(row * sections.axes() + axis)];
      const double angle = static_cast<float>(position) * inv_freq[static_cast<size_t>(pair)];
      const double a = from[first], b = from[first + (turns.neighbours ? 1 : static_cast<size_t>(pairs))];
      return is_first ? a * std::cos(angle) - b * std::sin(angle) : b * std::cos(angle) + a * std::sin(angle);
    };
    std::vector<double> want_q, want_pool(static_cast<size_t>(3 * 2 * part), double{Storage::kSentinel});
    for (int64_t t = 0; t < tokens; ++t) {
      const bool kept = slots[static_cast<size_t>(t)] != kNoSlot;
      for (int64_t c = 0; c < heads * dim; ++c) {
        const double as_it_was = queries[static_cast<size_t>(t * heads * dim + c)];
        want_q.push_back(kept ? turned(queries, t, heads * dim, c) : as_it_was);
      }
      if (!kept) continue;
      for (int64_t c = 0; c < kv_heads * dim; ++c) {
        const int64_t slot = slots[static_cast<size_t>(t)];
        const int64_t at = slot / kBlockSize * 2 * part + (c / dim * kBlockSize + slot % kBlockSize) * dim + c % dim;
        want_pool[static_cast<size_t>(at)] = turned(keys, t, kv_heads * dim, c);
        want_pool[static_cast<size_t>(at + part)] = v.Get(t, c);
      }
    }
    EXPECT_LT(RelativeError(q, want_q), Tolerance(DType::kF32));
    EXPECT_LT(RelativeError(pool, want_pool), Tolerance(cache));
    EXPECT_TRUE(q.GapsUntouched());
    Storage alone(device(), DType::kF32, tokens, heads * dim, gap);
    alone.Fill(queries);
    RopeArgs by_itself = rope;
    by_itself.q = alone.view();
    ASSERT_TRUE(Rope(device(), by_itself).ok());
    std::vector<double> want_alone;
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t c = 0; c < heads * dim; ++c) want_alone.push_back(turned(queries, t, heads * dim, c));
    }
    EXPECT_LT(RelativeError(alone, want_alone), Tolerance(DType::kF32));
    EXPECT_TRUE(alone.GapsUntouched());
    for (int64_t c = 0; c < kv_heads * dim; ++c)
      ASSERT_EQ(k.Get(3, c), keys[static_cast<size_t>(3 * kv_heads * dim + c)]);
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
    CheckWrite(cache, 9, 128, 0, 2);
    CheckWrite(cache, 5, 72, 1, 2);
    CheckWrite(cache, 1, 72, 3, 4);
    CheckWrite(cache, 2, 4, 0, 0);
  }
}

TEST_F(KvCacheTest, KeysAndQueriesTurnOnTheWay) {
  for (const DType cache : {DType::kF32, DType::kBF16}) {
    CheckRope(cache, 3, 1, 2, 7);
    CheckRope(cache, 6, 2, 18, 1);
    CheckRope(cache, 4, 4, 72, 4);
    CheckRope(cache, 28, 4, 128, 0);
    CheckRope(cache, 1, 1, 512, 2);
  }
}

TEST_F(KvCacheTest, PartsOfHeadsTurnByTheAxesOfAPosition) {
  for (const DType cache : {DType::kF32, DType::kBF16}) {
    for (const bool neighbours : {false, true}) {
      CheckRope(cache, 3, 1, 24, 0, {.pairs = 6, .neighbours = neighbours, .sections = {1, 2, 3}});
      CheckRope(cache, 8, 2, 128, 4, {.pairs = 32, .neighbours = neighbours, .sections = {8, 12, 12}});
      CheckRope(cache, 2, 2, 20, 1, {.neighbours = neighbours, .sections = {5, 5}});
      CheckRope(cache, 4, 1, 128, 0, {.neighbours = neighbours, .sections = {16, 16, 16, 16}});
      CheckRope(cache, 2, 1, 9, 0, {.pairs = 3, .neighbours = neighbours});
    }
  }
}

TEST_F(KvCacheTest, WrongRopesAreRefused) {
  Storage k(device(), DType::kF32, 2, 8), q(device(), DType::kF32, 2, 16), pool(device(), DType::kF32, 2, 32);
  const DeviceValues<int64_t> slots(device(), {0, 1});
  const DeviceValues<int32_t> positions(device(), {0, 1});
  const DeviceFloats inv_freq(device(), std::vector<float>(4, 1.0f));
  const KvView even = {.base = pool.view().data,
                       .block_bytes = 128,
                       .v_offset = 64,
                       .blocks = 2,
                       .kv_heads = 1,
                       .head_dim = 8,
                       .block_size = 2};
  const RopeArgs good = {.q = q.view(), .heads = 2, .positions = positions.array(), .inv_freq = inv_freq.array()};
  const auto code = [&](const RopeArgs& rope, const KvView& kv) {
    return PagedKvWrite(device(), {.k = k.view(), .v = k.view(), .slots = slots.array(), .kv = kv, .rope = rope})
        .code();
  };
  EXPECT_EQ(code(good, even), absl::StatusCode::kOk);
  RopeArgs bad = good;
  bad.inv_freq = {};
  EXPECT_EQ(code(bad, even), kInvalid);
  bad = good;
  bad.heads = 3;
  EXPECT_EQ(code(bad, even), kInvalid);
  bad.heads = 0;
  EXPECT_EQ(code(bad, even), kInvalid);
  bad = good;
  bad.positions.size = 1;
  EXPECT_EQ(code(bad, even), kInvalid);
  bad = good;
  bad.q = q.view().RowRange(0, 1);
  EXPECT_EQ(code(bad, even), kInvalid);
  bad = good;
  for (const auto& sections : {std::array{1, 2, 0, 0}, {4, 1, 0, 0}, {2, 0, 2, 0}, {-1, 5, 0, 0}, {2, 2, 0, 0}}) {
    bad.sections = sections;  // the last one fits, but for its positions
    EXPECT_EQ(code(bad, even), kInvalid);
  }
  KvView odd = even;
  odd.kv_heads = 8, odd.head_dim = 1, odd.block_size = 1;
  EXPECT_EQ(code(good, odd), kInvalid);
  EXPECT_EQ(CheckPositions(std::vector<int32_t>{0, -1}).code(), kInvalid);
}

TEST_F(KvCacheTest, BlocksAreCopiedWhole) {
  // One turn of 64 blocks of 256 threads, and several, by 16 bytes and by one.
  for (const int64_t block_bytes : {200, 77, 16 * 256 * 64 + 16, 16 * 256 * 64 * 5 + 16, 256 * 64 * 5 + 3})
    CheckCopy(block_bytes);
}

}  // namespace
}  // namespace headroom::runtime
