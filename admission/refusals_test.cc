#include "admission/refusals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "admission/price.h"
#include "common/random.h"
#include "common/testing/seeded_random.h"

namespace headroom::admission {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::optional<Remedy> Find(const std::vector<Remedy>& remedies, const std::string& what) {
  for (const Remedy& remedy : remedies) {
    if (remedy.what == what) return remedy;
  }
  return std::nullopt;
}

PriceInput TextInput(int64_t prompt, int64_t max_tokens) {
  return {.prompt_tokens = prompt, .max_tokens = max_tokens, .block_size = 16};
}

PriceInput ImageInput(int64_t images, int64_t pieces_each) {
  const int64_t pieces = images * pieces_each;
  return {.prompt_tokens = 20 + pieces * 64,
          .image_tokens = pieces * 64,
          .max_tokens = 40,
          .block_size = 16,
          .images = images,
          .pieces = pieces,
          .patches = pieces * 1000,
          .largest_piece_patches = 1000,
          .embedding_pages = pieces * 2,
          .embedding_row_bytes = 64,
          .compressed_bytes = images * 10'000,
          .decoded_bytes = images * 300'000};
}

constexpr Resources kLlmCapacity{.slots = 4, .kv_blocks = 100, .host_bytes = 1 << 20};
constexpr Resources kVisionCapacity{
    .slots = 8, .patches = 30'000, .embedding_bytes = 20 * 4096, .host_bytes = 10 << 20};

RefusalRecord Refused(const PriceInput& input, const Resources& vision_room, const Resources& llm_room, bool ever) {
  RefusalRecord record;
  record.price = *ComputePrice(input);
  record.reason = ever ? RefusalReason::kNeverFits : RefusalReason::kWaitTooLong;
  auto add = [&](Role role, const std::string& worker, const Resources& capacity, const Resources& room) {
    record.legs.push_back({.role = role,
                           .need = *record.price.ForRole(role),
                           .worker = worker,
                           .device = "cpu",
                           .capacity = capacity,
                           .room = room,
                           .max_patches_per_step = 4096,
                           .max_model_len = 4096,
                           .block_size = 16,
                           .block_bytes = 2048,
                           .row_bytes = 64,
                           .device_bytes = 1 << 20});
    const auto worst = WorstShortfall(*record.price.ForRole(role), ever ? capacity : room, capacity, worker);
    if (worst) record.shortfall = worst;
  };
  if (record.price.vision) add(Role::kVision, "vision-0", kVisionCapacity, vision_room);
  add(Role::kLlm, "llm-0", kLlmCapacity, llm_room);
  return record;
}

// 61 prompt tokens leave 100 · 16 − 61 for the answer: 1539 fit, 1540 do not.
TEST(Remedies, LargestAnswerThatFits) {
  const RefusalRecord record = Refused(TextInput(61, 2000), {}, kLlmCapacity, true);
  ASSERT_TRUE(record.shortfall);
  EXPECT_EQ(record.shortfall->budget, "kv_blocks");
  EXPECT_EQ(record.UnitBytes(), 2048);
  ASSERT_NE(record.ShortLeg(), nullptr);
  EXPECT_EQ(record.ShortLeg()->worker, "llm-0");
  const auto remedies = Remedies(record);
  const auto answer = Find(remedies, "max_tokens");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->now, 2000);
  EXPECT_EQ(answer->fits, 100 * 16 - 61);
  EXPECT_TRUE(answer->request);
  EXPECT_EQ(ComputePrice(TextInput(61, answer->fits))->llm->kv_blocks, 100);
  EXPECT_EQ(ComputePrice(TextInput(61, answer->fits + 1))->llm->kv_blocks, 101);
  // Or 29 blocks more: 2061 tokens are 129 blocks. 29 · 2048 bytes are 15 pages.
  const auto memory = Find(remedies, "device.memory");
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->now, 1 << 20);
  EXPECT_EQ(memory->fits, (1 << 20) + 15 * 4096);
  EXPECT_TRUE(memory->bytes);
  EXPECT_FALSE(memory->request);
}

TEST(Remedies, AgainstTheRoomOfThatMoment) {
  const RefusalRecord record =
      Refused(TextInput(100, 500), {}, {.slots = 2, .kv_blocks = 20, .host_bytes = 1 << 20}, false);
  const auto answer = Find(Remedies(record), "max_tokens");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->fits, 20 * 16 - 100);
  // No free slot: no shorter answer helps, one more sequence does.
  const RefusalRecord full =
      Refused(TextInput(100, 500), {}, {.slots = 0, .kv_blocks = 90, .host_bytes = 1 << 20}, false);
  EXPECT_FALSE(Find(Remedies(full), "max_tokens"));
  const auto sequences = Find(Remedies(full), "knobs.max_num_seqs");
  ASSERT_TRUE(sequences);
  EXPECT_EQ(sequences->now, 4);
  EXPECT_EQ(sequences->fits, 5);
  // A prompt that alone is too long.
  EXPECT_FALSE(Find(Remedies(Refused(TextInput(2000, 5), {}, kLlmCapacity, true)), "max_tokens"));
}

TEST(Remedies, FewerImagesOrPieces) {
  // 4 images of 9 pieces: 36 pieces, room for 20 embeddings and 30,000 patches.
  const RefusalRecord record =
      Refused(ImageInput(4, 9), kVisionCapacity, {.slots = 4, .kv_blocks = 1000, .host_bytes = 1 << 20}, false);
  const auto remedies = Remedies(record);
  const auto images = Find(remedies, "images");
  ASSERT_TRUE(images);
  EXPECT_EQ(images->now, 4);
  EXPECT_EQ(images->fits, 2);
  const auto pieces = Find(remedies, "pieces");
  ASSERT_TRUE(pieces);
  EXPECT_EQ(pieces->now, 36);
  EXPECT_EQ(pieces->fits, 20);
  const auto store = Find(remedies, "knobs.embedding_store_pages");
  ASSERT_TRUE(store);
  EXPECT_EQ(store->now, 40);
  EXPECT_EQ(store->fits, 72);
  EXPECT_THAT(store->note, ::testing::HasSubstr("together with the others"));
  const auto patches = Find(remedies, "vision_worker.patches_in_flight_max");
  ASSERT_TRUE(patches);
  EXPECT_EQ(patches->fits, 36'000);
}

TEST(Remedies, LimitsOfTheModel) {
  RefusalRecord record = Refused(TextInput(4000, 100), {}, kLlmCapacity, true);
  record.reason = RefusalReason::kModelLimit;
  record.legs[0].capacity.kv_blocks = 1000;
  record.shortfall = Shortfall{"model_len", "", 4100, 4096, 4096};
  const auto remedies = Remedies(record);
  ASSERT_TRUE(Find(remedies, "max_tokens"));
  EXPECT_EQ(Find(remedies, "max_tokens")->fits, 96);
  ASSERT_TRUE(Find(remedies, "knobs.max_model_len"));
  EXPECT_EQ(Find(remedies, "knobs.max_model_len")->fits, 4100);
  EXPECT_EQ(record.UnitBytes(), 0);
}

TEST(Remedies, QueueAndNothing) {
  RefusalRecord record = Refused(TextInput(10, 10), {}, kLlmCapacity, false);
  EXPECT_THAT(Remedies(record), IsEmpty()) << "no budget was short";
  record.reason = RefusalReason::kQueueFull;
  record.shortfall = Shortfall{"queue", "", 1, 0, 64};
  const auto remedies = Remedies(record);
  ASSERT_THAT(remedies, SizeIs(1));
  EXPECT_EQ(remedies[0].what, "scheduler.queue_entries_max");
  EXPECT_EQ(remedies[0].now, 64);
  EXPECT_EQ(remedies[0].fits, 65);
}

// For random requests and rooms: with the value a remedy names the request's price fits, with one more it does not.
TEST(Remedies, AreTheLargestThatFit) {
  const uint64_t seed = SystemRandom().Next();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  SeededRandom random(seed);
  auto below = [&random](int64_t bound) { return static_cast<int64_t>(random.Below(static_cast<uint64_t>(bound))); };
  int found = 0;
  for (int i = 0; i < 3'000; ++i) {
    PriceInput input =
        below(2) == 0 ? TextInput(1 + below(500), 2 + below(500)) : ImageInput(1 + below(4), 1 + below(4));
    input.max_tokens = 2 + below(800);
    const Resources llm{.slots = 1 + below(3), .kv_blocks = below(80), .host_bytes = below(200'000)};
    const Resources vision{.slots = below(9),
                           .patches = below(20'000),
                           .embedding_bytes = below(20) * 4096,
                           .host_bytes = below(2'000'000)};
    const RefusalRecord record = Refused(input, vision, llm, false);
    auto fits = [&](const PriceInput& changed) {
      const Price price = *ComputePrice(changed);
      return price.sequence_tokens <= 4096 && Fits(*price.llm, llm) && (!price.vision || Fits(*price.vision, vision));
    };
    ASSERT_EQ(fits(input), !record.shortfall.has_value());
    if (fits(input)) continue;
    const auto answer = Find(Remedies(record), "max_tokens");
    PriceInput changed = input;
    if (answer) {
      ++found;
      changed.max_tokens = answer->fits;
      EXPECT_TRUE(fits(changed)) << answer->fits;
      changed.max_tokens = answer->fits + 1;
      EXPECT_FALSE(fits(changed)) << answer->fits;
    } else {
      changed.max_tokens = 1;
      EXPECT_FALSE(fits(changed));
    }
    // All images of these requests are equal, so the mean is exact.
    const auto images = Find(Remedies(record), "images");
    for (int64_t count = 1; count < input.images; ++count) {
      PriceInput fewer = ImageInput(count, input.pieces / input.images);
      fewer.max_tokens = input.max_tokens;
      EXPECT_EQ(fits(fewer), images && count <= images->fits) << count << " of " << input.images;
    }
  }
  EXPECT_GE(found, 20);
}

TEST(RefusalLog, KeepsTheNewestInItsBytes) {
  RefusalLog log(20'000);
  for (int i = 0; i < 200; ++i) {
    RefusalRecord record;
    record.request_id = "r" + std::to_string(i % 100);
    record.message = std::string(2'000, 'm');
    record.queue_entries = i;
    log.Add(record);
    EXPECT_LE(log.bytes(), 20'000u);
  }
  EXPECT_GE(log.size(), 5u);
  EXPECT_LT(log.size(), 100u);
  const auto last = log.Last("", 3);
  ASSERT_THAT(last, SizeIs(3));
  EXPECT_THAT(last, ElementsAre(Field(&RefusalRecord::queue_entries, 199), Field(&RefusalRecord::queue_entries, 198),
                                Field(&RefusalRecord::queue_entries, 197)));
  EXPECT_EQ(last[0].message.size(), RefusalLog::kTextBytesMax);
  const auto one = log.Last("r98", 10);
  ASSERT_THAT(one, SizeIs(1)) << "the older one of that request has given way";
  EXPECT_EQ(one[0].queue_entries, 198);
  EXPECT_THAT(log.Last("r0", 10), IsEmpty());
  EXPECT_THAT(log.Last("", 1'000), SizeIs(log.size()));
  EXPECT_THAT(log.Last("", 0), IsEmpty());
}

// Text is cut between characters: half a character would make the whole message unreadable.
TEST(RefusalLog, CutsTextBetweenCharacters) {
  RefusalLog log(20'000);
  RefusalRecord record;
  record.message = std::string(RefusalLog::kTextBytesMax - 1, 'm') + "é";
  log.Add(record);
  EXPECT_EQ(log.Last("", 1)[0].message, std::string(RefusalLog::kTextBytesMax - 1, 'm'));
}

}  // namespace
}  // namespace headroom::admission
