// Resources, price, placement, fair queue and grant holder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "admission/fair_queue.h"
#include "admission/grant_holder.h"
#include "admission/placement.h"
#include "admission/price.h"
#include "admission/seen_prices.h"
#include "common/embedding_pages.h"
#include "common/random.h"
#include "common/testing/seeded_random.h"

namespace headroom::admission {
namespace {

using std::chrono::seconds;

TEST(ResourcesTest, FitsAndShortfalls) {
  const Resources room{.slots = 2, .kv_blocks = 10};
  EXPECT_TRUE(Fits({.slots = 2, .kv_blocks = 10}, room));
  EXPECT_FALSE(Fits({.slots = 2, .kv_blocks = 11}, room));
  EXPECT_FALSE(Fits({.patches = 1}, room));
  EXPECT_TRUE(Fits({}, Resources{.slots = -1})) << "nothing always fits";
  const auto shortfalls = Shortfalls({.slots = 3, .kv_blocks = 30}, room, {.slots = 4, .kv_blocks = 100}, "w");
  ASSERT_EQ(shortfalls.size(), 2u);
  EXPECT_EQ(WorstShortfall({.slots = 3, .kv_blocks = 30}, room, {.slots = 4, .kv_blocks = 100}, "w")->budget, "slots");
  EXPECT_EQ(Describe(shortfalls[1]), "kv_blocks: needs 30, free 10 of 100 (short by 20)");
  EXPECT_FALSE(WorstShortfall(room, room, room, "w").has_value());
  EXPECT_TRUE(ValidateResources({.slots = kDimensionMax}).ok());
  EXPECT_FALSE(ValidateResources({.slots = kDimensionMax + 1}).ok());
  EXPECT_FALSE(ValidateResources({.host_bytes = -1}).ok());
  EXPECT_DOUBLE_EQ(LoadRatio({.slots = 1, .kv_blocks = 30}, {.slots = 4, .kv_blocks = 100}), 0.3);
}

TEST(ResourcesDeathTest, OverflowIsAProgrammerError) {
  Resources resources{.slots = INT64_MAX};
  EXPECT_DEATH(resources += Resources{.slots = 1}, "slots");
}

PriceInput Picture() {
  return {.prompt_tokens = 700,
          .image_tokens = 640,
          .max_tokens = 100,
          .block_size = 16,
          .images = 1,
          .pieces = 10,
          .patches = 10'000,
          .largest_piece_patches = 1024,
          .embedding_pages = 20,
          .embedding_row_bytes = 7168,
          .compressed_bytes = 300'000,
          .decoded_bytes = 3'000'000};
}

TEST(PriceTest, FollowsTheFormulas) {
  auto price = ComputePrice(Picture());
  ASSERT_TRUE(price.ok()) << price.status();
  EXPECT_EQ(price->sequence_tokens, 800);
  EXPECT_EQ(price->largest_piece_patches, 1024);
  EXPECT_EQ(*price->vision,
            (Resources{.slots = 1, .patches = 10'000, .embedding_bytes = 4'587'520, .host_bytes = 3'300'000}));
  EXPECT_EQ(*price->llm,
            (Resources{.slots = 1, .kv_blocks = 50, .host_bytes = 4'587'520 + 800 * 4 + 100 * kTokenEventBytes}));
  PriceInput text{.prompt_tokens = 1, .max_tokens = 16, .block_size = 16};
  price = ComputePrice(text);
  ASSERT_TRUE(price.ok());
  EXPECT_FALSE(price->vision.has_value());
  EXPECT_EQ(price->llm->kv_blocks, 2) << "rounded up";
  EXPECT_TRUE(ValidatePrice(*price).ok());
}

// Pieces of 1, 32, 33 and 300 rows: the store holds whole pages, the llm-worker the rows alone.
TEST(PriceTest, PiecesOfMixedRowsPayForTheirPagesAndTheirRows) {
  PriceInput input = Picture();
  input.pieces = 4;
  input.image_tokens = input.embedding_pages = 0;
  for (const int64_t rows : {1, 32, 33, 300}) {
    input.image_tokens += rows;
    input.embedding_pages += EmbeddingPages(rows);
  }
  const auto price = ComputePrice(input);
  ASSERT_TRUE(price.ok()) << price.status();
  EXPECT_EQ(price->vision->embedding_bytes, (1 + 1 + 2 + 10) * 32 * 7168);
  EXPECT_EQ(price->llm->host_bytes, 366 * 7168 + 800 * 4 + 100 * kTokenEventBytes);
}

TEST(PriceTest, RefusesWhatIsOutOfBounds) {
  const auto refused = [](auto change) {
    PriceInput input = Picture();
    change(input);
    return absl::IsInvalidArgument(ComputePrice(input).status());
  };
  EXPECT_TRUE(refused([](PriceInput& input) { input.prompt_tokens = 0; }));
  EXPECT_TRUE(refused([](PriceInput& input) { input.max_tokens = 0; }));
  EXPECT_TRUE(refused([](PriceInput& input) { input.max_tokens = INT64_MAX; }));
  EXPECT_TRUE(refused([](PriceInput& input) { input.prompt_tokens = input.max_tokens = kSequenceTokensMax; }));
  EXPECT_TRUE(refused([](PriceInput& input) { input.block_size = 0; }));
  EXPECT_TRUE(refused([](PriceInput& input) { input.images = 0; })) << "pieces without an image";
  EXPECT_TRUE(refused([](PriceInput& input) { input.pieces = 0; }));
  EXPECT_TRUE(refused([](PriceInput& input) { input.patches = kPatchesMax + 1; }));
  EXPECT_TRUE(refused([](PriceInput& input) { input.largest_piece_patches = 0; }));
  EXPECT_TRUE(refused([](PriceInput& input) { input.compressed_bytes = -1; }));
  EXPECT_TRUE(refused([](PriceInput& input) { input.decoded_bytes = -1; }));
  EXPECT_TRUE(refused([](PriceInput& input) { input.pieces = input.patches = kPatchesMax; }));
  EXPECT_TRUE(refused([](PriceInput& input) { input.image_tokens = 9; })) << "a piece has a row at least";
  EXPECT_TRUE(refused([](PriceInput& input) { input.embedding_pages = 19; })) << "the rows do not fit";
  EXPECT_TRUE(refused([](PriceInput& input) { input.embedding_pages = 641; })) << "pages without a row";
  EXPECT_TRUE(refused([](PriceInput& input) { input.embedding_row_bytes = 0; }));
  EXPECT_TRUE(refused([](PriceInput& input) { input.embedding_row_bytes = kDimensionMax; })) << "overflows";
}

Candidate Worker(const std::string& name, const std::string& endpoint, int64_t capacity, int64_t room) {
  return {.worker = name, .endpoint = endpoint, .capacity = {.slots = capacity}, .room = {.slots = room}};
}

TEST(PlacementTest, LeastLoadThenNearness) {
  const Candidate busy = Worker("a", "h1:1", 10, 1);
  const Candidate idle = Worker("b", "h2:1", 10, 9);
  EXPECT_EQ(*Place({{Role::kLlm, {.slots = 1}, {&busy, &idle}}}, Against::kRoom), std::vector<size_t>{1});
  EXPECT_FALSE(Place({{Role::kLlm, {.slots = 10}, {&busy, &idle}}}, Against::kRoom).has_value());
  EXPECT_TRUE(Place({{Role::kLlm, {.slots = 10}, {&busy, &idle}}}, Against::kCapacity).has_value());
  const Candidate llm_here = Worker("llm-here", "h2:2", 10, 9);
  const Candidate llm_there = Worker("llm-a-there", "h3:2", 10, 9);
  EXPECT_EQ(*Place({{Role::kVision, {.slots = 1}, {&idle}}, {Role::kLlm, {.slots = 1}, {&llm_there, &llm_here}}},
                   Against::kRoom),
            (std::vector<size_t>{0, 1}))
      << "equal load: the near one";
  EXPECT_EQ(Nearness("inproc:a", "inproc:b"), 2);
  EXPECT_EQ(Nearness("h:1", "h:2"), 1);
  EXPECT_EQ(Nearness("h:1", "g:1"), 0);
  EXPECT_TRUE(Place({}, Against::kRoom)->empty());
}

Waiting Entry(Ticket ticket, const std::string& tenant, int64_t cost = 10, int32_t priority = 0) {
  Waiting waiting;
  waiting.ticket = ticket;
  waiting.tenant = tenant;
  waiting.cost = cost;
  waiting.priority = priority;
  waiting.arrival = TimePoint(seconds(ticket));
  return waiting;
}

std::vector<Ticket> Tickets(FairQueue& queue) {
  std::vector<Ticket> tickets;
  for (const Waiting* waiting : queue.Order()) tickets.push_back(waiting->ticket);
  return tickets;
}

// What SeenPrices stands on: of two prices, where the larger one can be placed, so can the other.
TEST(SeenPricesTest, WhereMoreFitsLessFitsToo) {
  const uint64_t seed = TestSeed();
  SCOPED_TRACE(absl::StrCat("HEADROOM_TEST_SEED=", seed));
  SeededRandom random(seed);
  const auto below = [&](uint64_t most) { return static_cast<int64_t>(random.Next() % most); };
  int within = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<Candidate> workers(1 + static_cast<size_t>(below(3)));
    for (size_t i = 0; i < workers.size(); ++i) {
      workers[i].worker = workers[i].endpoint = absl::StrCat("w:", i);
      workers[i].room = {.slots = below(5), .kv_blocks = below(5), .patches = below(5)};
      workers[i].max_patches_per_step = below(4);
      workers[i].max_model_len = below(4);
    }
    const auto price = [&] {
      Price made;
      made.largest_piece_patches = below(4);
      made.sequence_tokens = below(4);
      if (below(2) != 0) made.vision = Resources{.slots = below(4), .patches = below(4)};
      if (!made.vision || below(2) != 0) made.llm = Resources{.slots = below(4), .kv_blocks = below(4)};
      return made;
    };
    const auto can_go = [&](const Price& asked) {
      std::vector<LegChoice> legs;
      for (Role role : {Role::kVision, Role::kLlm}) {
        if (!asked.ForRole(role)) continue;
        legs.push_back({.role = role, .need = *asked.ForRole(role), .candidates = {}});
        for (const Candidate& worker : workers) {
          if (WithinLimits(worker, role, asked)) legs.back().candidates.push_back(&worker);
        }
      }
      return Place(legs, Against::kRoom).has_value();
    };
    const Price less = price(), more = price();
    if (!IsWithin(less, more)) continue;
    ++within;
    EXPECT_TRUE(can_go(less) || !can_go(more)) << "round " << round;
  }
  EXPECT_GT(within, 500);
}

TEST(SeenPricesTest, KnowsThoseOfTheSameWorkersAlone) {
  const auto waiting = [](int64_t blocks, const std::string& model, std::vector<std::string> exclude = {}) {
    Waiting made;
    made.model = model;
    made.exclude_workers = std::move(exclude);
    made.price.llm = Resources{.slots = 1, .kv_blocks = blocks};
    return made;
  };
  SeenPrices seen;
  const Waiting five = waiting(5, "m");
  seen.Note(five);
  EXPECT_TRUE(seen.HasAtLeast(waiting(5, "m")) && seen.HasAtMost(waiting(5, "m")));
  EXPECT_TRUE(seen.HasAtLeast(waiting(4, "m")) && !seen.HasAtMost(waiting(4, "m")));
  EXPECT_TRUE(!seen.HasAtLeast(waiting(6, "m")) && seen.HasAtMost(waiting(6, "m")));
  EXPECT_FALSE(seen.HasAtLeast(waiting(4, "other")) || seen.HasAtMost(waiting(6, "other")));
  EXPECT_FALSE(seen.HasAtLeast(waiting(4, "m", {"w"})) || seen.HasAtMost(waiting(6, "m", {"w"})));
  Waiting of_vision = waiting(5, "m");
  of_vision.price.vision = Resources{.slots = 1};
  EXPECT_FALSE(seen.HasAtLeast(of_vision) || seen.HasAtMost(of_vision));
  // Its bound: one more, and the first gives way.
  std::vector<Waiting> others;
  for (int i = 0; i < 16; ++i) others.push_back(waiting(1, absl::StrCat("model ", i)));
  for (const Waiting& other : others) seen.Note(other);
  EXPECT_FALSE(seen.HasAtLeast(five));
  EXPECT_TRUE(seen.HasAtLeast(others.front()) && seen.HasAtLeast(others.back()));
}

TEST(FairQueueTest, OrderIsFairBetweenTenantsAndByPriority) {
  FairQueue queue({});
  for (Ticket ticket : {1, 2, 3}) ASSERT_TRUE(queue.Push(Entry(ticket, "a")));
  ASSERT_TRUE(queue.Push(Entry(4, "b")));
  ASSERT_TRUE(queue.Push(Entry(5, "b", 10, kPriorityMax)));
  EXPECT_THAT(Tickets(queue), testing::ElementsAre(5, 1, 4, 2, 3));
  queue.Serve(1);
  EXPECT_THAT(Tickets(queue), testing::ElementsAre(5, 4, 2, 3));
  queue.Remove(5);
  queue.Remove(5);
  EXPECT_EQ(queue.size(), 3u);
  EXPECT_EQ(queue.Find(5), nullptr);
}

TEST(FairQueueTest, AnIdleTenantSavesNothingUp) {
  FairQueue queue({});
  Ticket next = 0;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(queue.Push(Entry(++next, "busy")));
    queue.Serve(next);
  }
  ASSERT_TRUE(queue.Push(Entry(++next, "busy")));
  ASSERT_TRUE(queue.Push(Entry(++next, "busy")));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(queue.Push(Entry(++next, "new")));
  EXPECT_THAT(Tickets(queue), testing::ElementsAre(103, 101, 104, 102, 105))
      << "in turns, not first all of the newcomer";
}

// The bound of the paper: two tenants that both always wait are never further apart than twice the largest request.
TEST(FairQueueTest, BackloggedTenantsStayWithinTheBound) {
  const uint64_t seed = SystemRandom().Next();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  SeededRandom random(seed);
  FairQueue queue({});
  constexpr int64_t kCostMax = 1000;
  std::map<std::string, int64_t> served;
  Ticket next = 0;
  auto push = [&](const std::string& tenant) {
    ASSERT_TRUE(queue.Push(Entry(++next, tenant, 1 + static_cast<int64_t>(random.Below(kCostMax)))));
  };
  for (const char* tenant : {"a", "b", "c"}) {
    push(tenant);
    push(tenant);
  }
  for (int i = 0; i < 20'000; ++i) {
    const Waiting* first = queue.Order().front();
    const std::string tenant = first->tenant;
    served[tenant] += first->cost;
    queue.Serve(first->ticket);
    push(tenant);
    const auto [least, most] = std::minmax({served["a"], served["b"], served["c"]});
    ASSERT_LE(most - least, 2 * kCostMax);
  }
}

TEST(FairQueueTest, ModelsShareThePlaces) {
  const auto waiting = [](Ticket ticket, const std::string& model) {
    return Waiting{.ticket = ticket,
                   .tenant = "t",
                   .arrival = {},
                   .give_up_at = {},
                   .model = model,
                   .price = {},
                   .exclude_workers = {}};
  };
  FairQueue queue({.entries_max = 5});
  for (Ticket ticket : {1, 2, 3}) EXPECT_TRUE(queue.Push(waiting(ticket, "a"), 2));
  EXPECT_FALSE(queue.Push(waiting(4, "a"), 2));
  EXPECT_TRUE(queue.Push(waiting(4, "b"), 2));
  EXPECT_TRUE(queue.Push(waiting(5, "b"), 2));
  EXPECT_FALSE(queue.Push(waiting(6, "b"), 2)) << "all five are taken";
  EXPECT_EQ(queue.SizeOf("a"), 3U);
  queue.Remove(1);
  queue.Serve(2);
  EXPECT_EQ(queue.SizeOf("a"), 1U);
  EXPECT_TRUE(queue.Push(waiting(6, "b"), 2));
  EXPECT_FALSE(queue.Push(waiting(7, "b"), 2));
  EXPECT_TRUE(queue.Push(waiting(7, "a"), 2));
  // By bytes likewise, but one of each may always wait.
  FairQueue small({.entries_max = 100, .bytes_max = 3 * queue.bytes() / queue.size()});
  EXPECT_TRUE(small.Push(waiting(1, "a"), 2));
  EXPECT_FALSE(small.Push(waiting(2, "a"), 2));
  EXPECT_TRUE(small.Push(waiting(2, "b"), 2));
  for (Ticket ticket : {1, 2}) small.Remove(ticket);
  EXPECT_EQ(small.SizeOf("a") + small.SizeOf("b") + small.bytes(), 0U);
}

TEST(FairQueueTest, BoundsHoldAtOneMore) {
  FairQueue queue({.entries_max = 2, .bytes_max = 1 << 20, .idle_tenants_max = 3});
  EXPECT_TRUE(queue.Push(Entry(1, "a")));
  EXPECT_TRUE(queue.Push(Entry(2, "a")));
  EXPECT_FALSE(queue.Push(Entry(3, "a")));
  FairQueue sized({.entries_max = 100});
  ASSERT_TRUE(sized.Push(Entry(1, "a")));
  const size_t one = sized.bytes();
  FairQueue small({.entries_max = 100, .bytes_max = 2 * one});
  EXPECT_TRUE(small.Push(Entry(1, "a")));
  EXPECT_TRUE(small.Push(Entry(2, "a")));
  EXPECT_FALSE(small.Push(Entry(3, "a")));
  small.Remove(1);
  EXPECT_TRUE(small.Push(Entry(3, "a")));
  small.Remove(2);
  small.Remove(3);
  EXPECT_EQ(small.bytes(), 0u);
  // Tenants that come once and never again do not pile up (their order survives up to the bound).
  FairQueue many({.entries_max = 10, .idle_tenants_max = 3});
  for (Ticket ticket = 1; ticket < 1000; ++ticket) {
    ASSERT_TRUE(many.Push(Entry(ticket, absl::StrCat("tenant-", ticket))));
    many.Serve(ticket);
  }
  EXPECT_EQ(many.size(), 0u);
}

Grant TwoLegs() {
  Grant grant{.id = {1, 2}, .cluster_id = "c", .epoch = 1, .legs = {}, .ttl = seconds(10), .model = "m"};
  grant.legs.push_back(
      {.role = Role::kVision, .worker = "v", .endpoint = "", .incarnation = 1, .rank = 0, .resources = {}});
  grant.legs.push_back(
      {.role = Role::kLlm, .worker = "l", .endpoint = "", .incarnation = 1, .rank = 0, .resources = {}});
  return grant;
}

TEST(GrantHolderTest, StopsAtNineTenthsAndRenewsAtHalf) {
  const TimePoint start(seconds(100));
  GrantHolder holder(TwoLegs(), start);
  EXPECT_EQ(holder.RenewAt(), start + seconds(5));
  EXPECT_EQ(holder.Forward(start + seconds(2)).ttl, seconds(7));
  EXPECT_FALSE(holder.Expired(start + seconds(9) - milliseconds(1)));
  EXPECT_TRUE(holder.Expired(start + seconds(9)));
  EXPECT_EQ(holder.Forward(start + seconds(20)).ttl.count(), 0);
  holder.Renewed(start + seconds(5), seconds(10));
  EXPECT_FALSE(holder.Expired(start + seconds(9)));
  EXPECT_TRUE(holder.Expired(start + seconds(14)));
  holder.MarkActivated(Role::kVision);
  holder.MarkActivated(Role::kVision);
  EXPECT_TRUE(holder.NeedsVoid());
  EXPECT_TRUE(holder.Expired(start + seconds(14)));
  holder.MarkActivated(Role::kLlm);
  EXPECT_FALSE(holder.NeedsVoid());
  EXPECT_FALSE(holder.Expired(start + seconds(1000))) << "active legs do not expire";
  EXPECT_EQ(holder.RenewAt(), TimePoint::max());
}

TEST(GrantHolderTest, SurvivesAbsurdTtls) {
  Grant grant = TwoLegs();
  grant.ttl = milliseconds(INT64_MAX);
  GrantHolder holder(grant, TimePoint(seconds(100)));
  EXPECT_FALSE(holder.Expired(TimePoint(seconds(100))));
  EXPECT_TRUE(holder.NeedsVoid());
  grant.ttl = milliseconds(-5);
  EXPECT_TRUE(GrantHolder(grant, TimePoint(seconds(100))).Expired(TimePoint(seconds(100))));
}

}  // namespace
}  // namespace headroom::admission
