#include "admission/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/random.h"
#include "common/testing/seeded_random.h"

namespace headroom::admission {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::IsEmpty;
using ::testing::SizeIs;

WorkerInfo Info(const std::string& worker) {
  WorkerInfo info;
  info.worker = worker;
  info.endpoint = "host:" + worker;
  info.device = "cpu";
  info.model = "m";
  info.roles = {Role::kLlm};
  info.capacity = {.slots = 4, .kv_blocks = 100};
  return info;
}

LedgerReport Ledger(int64_t reserved) {
  return {.total_bytes = 1000,
          .lines = {{.component = "kv_pool", .planned = 800, .reserved = reserved, .used = reserved / 2},
                    {.component = "llm_weights", .planned = 200, .reserved = 200, .used = 200}}};
}

class HistoryTest : public testing::Test {
 protected:
  HistoryTest() { Start({}); }

  void Start(History::Options options) { history_.emplace(options, now_); }
  TimePoint After(Duration by) { return now_ += by; }
  void Report(const std::string& worker, int64_t reserved, uint64_t incarnation = 1) {
    history_->Report(Info(worker), incarnation, WorkerState::kReady, Ledger(reserved), now_);
  }
  void Grant(uint64_t id, const std::string& worker, int64_t blocks, const std::string& request = "r") {
    admission::Grant grant;
    grant.id = {1, id};
    grant.legs.push_back({.role = Role::kLlm, .worker = worker, .endpoint = {}, .resources = Blocks(blocks)});
    history_->Granted(grant, request, "t", now_);
  }
  static Resources Blocks(int64_t blocks) { return {.slots = 1, .kv_blocks = blocks}; }
  static LegKey Key(uint64_t id) { return {{1, id}, Role::kLlm}; }
  std::vector<PastWorker> At(TimePoint when, const std::string& worker = "", size_t legs_max = 100) const {
    return history_->At(when, worker, legs_max);
  }

  TimePoint now_ = TimePoint(minutes(100));
  std::optional<History> history_;
};

TEST_F(HistoryTest, LegsAreExactToTheEvent) {
  history_->Hello(Info("llm-0"), 1);
  const TimePoint granted = now_;
  Grant(1, "llm-0", 10, "first");
  const TimePoint active = After(milliseconds(3));
  history_->Active("llm-0", Key(1), Blocks(9), now_);
  const TimePoint ended = After(milliseconds(7));
  history_->Ended("llm-0", Key(1), now_);

  EXPECT_THAT(At(granted - milliseconds(1)), IsEmpty());
  for (const TimePoint when : {granted, active, ended - milliseconds(1)}) {
    const auto workers = At(when);
    ASSERT_THAT(workers, SizeIs(1));
    ASSERT_THAT(workers[0].legs, SizeIs(1));
    const PastLeg& leg = workers[0].legs[0];
    EXPECT_EQ(leg.request_id, "first");
    EXPECT_EQ(leg.tenant, "t");
    EXPECT_EQ(leg.resources.kv_blocks, 9) << "the worker's report is the truth";
    EXPECT_EQ(leg.granted_at, granted);
    EXPECT_EQ(leg.active_at, active);
    EXPECT_EQ(leg.ended_at, ended);
    EXPECT_FALSE(workers[0].sampled_at) << "no ledger was reported";
    EXPECT_EQ(workers[0].info.device, "cpu");
  }
  EXPECT_THAT(At(ended), IsEmpty());
}

TEST_F(HistoryTest, OpenAndUnknownLegs) {
  history_->Hello(Info("llm-0"), 1);
  // Granted by an earlier scheduler.
  history_->Active("llm-0", Key(5), Blocks(3), now_);
  // Voided: it was never active.
  Grant(6, "llm-0", 4);
  After(seconds(1));
  history_->Ended("llm-0", Key(6), now_);
  // Nothing to end, and a worker that never said hello.
  history_->Ended("llm-0", Key(7), now_);
  history_->Ended("llm-9", Key(5), now_);
  history_->Active("llm-9", Key(8), Blocks(1), now_);
  const auto before = At(now_ - milliseconds(1));
  ASSERT_THAT(before, SizeIs(1));
  ASSERT_THAT(before[0].legs, SizeIs(2));
  const auto workers = At(now_ + minutes(10));
  ASSERT_THAT(workers, SizeIs(1));
  ASSERT_THAT(workers[0].legs, SizeIs(1));
  EXPECT_EQ(workers[0].legs[0].request_id, "");
  EXPECT_FALSE(workers[0].legs[0].ended_at);
}

TEST_F(HistoryTest, NearestLedgerAtOrBefore) {
  const TimePoint first = now_;
  Report("llm-0", 100);
  const TimePoint second = After(seconds(2));
  Report("llm-0", 200);
  const TimePoint other = After(seconds(1));
  Report("llm-1", 300);
  EXPECT_THAT(At(first - milliseconds(1)), IsEmpty());
  for (const TimePoint when : {first, second - milliseconds(1)}) {
    const auto workers = At(when);
    ASSERT_THAT(workers, SizeIs(1));
    EXPECT_EQ(workers[0].sampled_at, first);
    ASSERT_THAT(workers[0].ledger.lines, SizeIs(2));
    EXPECT_EQ(workers[0].ledger.lines[0].component, "kv_pool");
    EXPECT_EQ(workers[0].ledger.lines[0].reserved, 100);
    EXPECT_EQ(workers[0].ledger.lines[0].used, 50);
    EXPECT_EQ(workers[0].ledger.lines[0].planned, 800);
    EXPECT_EQ(workers[0].ledger.total_bytes, 1000);
  }
  ASSERT_THAT(At(other), SizeIs(2));
  EXPECT_EQ(At(other)[0].sampled_at, second);
  EXPECT_EQ(At(other, "llm-1")[0].ledger.lines[0].reserved, 300);
  ASSERT_THAT(At(other, "llm-1"), SizeIs(1));
  EXPECT_THAT(At(other, "llm-2"), IsEmpty());
  // Nobody reported for long: what it was then is no statement about now.
  EXPECT_THAT(At(other + minutes(1)), IsEmpty());
}

TEST_F(HistoryTest, SamplesAreThinnedInTime) {
  const TimePoint begin = now_;
  // Ten reports a second, changing: one a second is kept.
  for (int i = 0; i < 100; ++i, After(milliseconds(100))) Report("llm-0", i);
  EXPECT_THAT(history_->Range("llm-0", begin, now_, 1000), SizeIs(10));
  // Nothing changes: one in ten seconds is kept, so that a moment always has one near.
  const TimePoint quiet = now_;
  for (int i = 0; i < 1000; ++i, After(milliseconds(100))) Report("llm-0", 7);
  EXPECT_THAT(history_->Range("llm-0", quiet, now_, 1000), SizeIs(10));
  for (TimePoint when = begin; when < now_; when += milliseconds(777)) {
    ASSERT_THAT(At(when), SizeIs(1));
    ASSERT_TRUE(At(when)[0].sampled_at);
    EXPECT_LE(when - *At(when)[0].sampled_at, seconds(10));
  }
}

TEST_F(HistoryTest, RangeIsBoundedAndKeepsTheNewest) {
  for (int i = 0; i < 60; ++i, After(seconds(1))) Report("llm-0", i);
  const auto all = history_->Range("llm-0", TimePoint(), now_, 1000);
  ASSERT_THAT(all, SizeIs(60));
  EXPECT_EQ(all[5].reserved, 205);
  EXPECT_EQ(all[5].used, 202);
  const auto some = history_->Range("llm-0", TimePoint(), now_, 7);
  ASSERT_THAT(some, SizeIs(7));
  EXPECT_EQ(some.back().at, all.back().at);
  for (size_t i = 1; i < some.size(); ++i) EXPECT_LT(some[i - 1].at, some[i].at);
  EXPECT_THAT(history_->Range("llm-0", all[3].at, all[5].at, 1000), SizeIs(3));
  EXPECT_THAT(history_->Range("llm-1", TimePoint(), now_, 1000), IsEmpty());
  EXPECT_THAT(history_->Range("llm-0", TimePoint(), now_, 0), IsEmpty());
}

// Room for n samples: with n + 1 the oldest is gone, and the coarse ones reach back further than the fine ones.
TEST_F(HistoryTest, OldestGiveWay) {
  Start({.bytes_max = 16 << 10});
  const TimePoint begin = now_;
  // How many seconds back there is a sample for each second.
  const auto reach = [this] {
    size_t count = 0;
    while (history_->Range("llm-0", now_ - seconds(count), now_, 1000).size() == count + 1) ++count;
    return count;
  };
  std::vector<size_t> reaches;
  for (int i = 0; i < 400; ++i) {
    if (i > 0) After(seconds(1));
    Report("llm-0", i);
    EXPECT_LE(history_->bytes(), size_t{16} << 10);
    reaches.push_back(reach());
  }
  const size_t room = reaches.back();
  EXPECT_GE(room, 10u);
  EXPECT_LT(room, 100u);
  for (size_t i = 0; i < reaches.size(); ++i) EXPECT_EQ(reaches[i], std::min(i + 1, room)) << i;
  const auto fine = history_->Range("llm-0", now_ - seconds(4), now_, 1000);
  ASSERT_THAT(fine, SizeIs(5));
  EXPECT_EQ(fine.back().reserved, 599);
  // A second apart does not reach back to the begin in so few bytes; ten seconds apart reaches further.
  const auto whole = history_->Range("llm-0", begin, now_, 1000);
  ASSERT_GE(whole.size(), 2u);
  EXPECT_EQ(whole[1].at - whole[0].at, seconds(10));
  const TimePoint oldest = whole.front().at;
  EXPECT_LT(oldest, now_ - seconds(100));
  EXPECT_THAT(At(oldest), SizeIs(1));
  EXPECT_THAT(At(oldest - milliseconds(1)), IsEmpty());
  EXPECT_EQ(history_->Begin(), begin);
}

TEST_F(HistoryTest, LegsGiveWayToo) {
  Start({.bytes_max = 16 << 10});
  history_->Hello(Info("llm-0"), 1);
  size_t most = 0;
  for (uint64_t id = 1; id <= 500; ++id, After(milliseconds(1))) {
    Grant(id, "llm-0", 1, std::string(1000, 'x'));
    EXPECT_LE(history_->bytes(), size_t{16} << 10);
    most = std::max(most, At(now_)[0].legs.size());
  }
  // All of them are held: some were not recorded.
  EXPECT_GE(most, 5u);
  EXPECT_LT(most, 100u);
  EXPECT_EQ(At(now_)[0].legs.size(), most);
  EXPECT_EQ(At(now_)[0].legs[0].request_id.size(), kNameBytesMax);
  for (uint64_t id = 1; id <= 500; ++id) history_->Ended("llm-0", Key(id), now_);
  After(milliseconds(1));
  EXPECT_THAT(At(now_), IsEmpty());
  ASSERT_THAT(At(now_ - milliseconds(2)), SizeIs(1));
  EXPECT_EQ(At(now_ - milliseconds(2))[0].legs.size(), most);
  // New ones push the ended ones out.
  Grant(1000, "llm-0", 1, "new");
  EXPECT_EQ(At(now_)[0].legs[0].request_id, "new");
}

TEST_F(HistoryTest, TheLargestHoldersComeFirstAndTheRestIsSummed) {
  history_->Hello(Info("llm-0"), 1);
  history_->Hello(Info("llm-1"), 1);
  for (uint64_t id = 1; id <= 9; ++id) Grant(id, id <= 8 ? "llm-0" : "llm-1", static_cast<int64_t>(id * 10));
  const auto workers = At(now_, "", 4);
  ASSERT_THAT(workers, SizeIs(2));
  // An equal part for each worker; what one does not need the next may have.
  ASSERT_THAT(workers[0].legs, SizeIs(2));
  EXPECT_EQ(workers[0].legs[0].resources.kv_blocks, 80);
  EXPECT_EQ(workers[0].legs[1].resources.kv_blocks, 70);
  EXPECT_EQ(workers[0].legs_left_out, 6);
  EXPECT_EQ(workers[0].left_out, (Resources{.slots = 6, .kv_blocks = 10 + 20 + 30 + 40 + 50 + 60}));
  ASSERT_THAT(workers[1].legs, SizeIs(1));
  EXPECT_EQ(workers[1].legs_left_out, 0);
  EXPECT_THAT(At(now_, "", 0)[0].legs, IsEmpty());
}

TEST_F(HistoryTest, RestartedWorkersKeepTheirPast) {
  Report("llm-0", 100, 1);
  Grant(1, "llm-0", 10);
  const TimePoint first = now_;
  After(seconds(1));
  history_->Ended("llm-0", Key(1), now_);
  WorkerInfo smaller = Info("llm-0");
  smaller.capacity.kv_blocks = 50;
  history_->Hello(smaller, 2);
  history_->Report(smaller, 2, WorkerState::kLoading, Ledger(5), now_);
  const TimePoint second = now_;
  const auto before = At(first);
  ASSERT_THAT(before, SizeIs(1));
  EXPECT_EQ(before[0].incarnation, 1u);
  EXPECT_EQ(before[0].info.capacity.kv_blocks, 100);
  EXPECT_THAT(before[0].legs, SizeIs(1));
  const auto after = At(second);
  ASSERT_THAT(after, SizeIs(1));
  EXPECT_EQ(after[0].incarnation, 2u);
  EXPECT_EQ(after[0].info.capacity.kv_blocks, 50);
  EXPECT_EQ(after[0].state, WorkerState::kLoading);
  EXPECT_EQ(after[0].ledger.lines[0].reserved, 5);
  EXPECT_THAT(after[0].legs, IsEmpty());
  history_->Forgotten("llm-0");
  EXPECT_THAT(At(second), SizeIs(1)) << "what was, stays";
}

TEST_F(HistoryTest, OddLedgersAreCut) {
  LedgerReport report;
  for (int i = 0; i < 300; ++i) report.lines.push_back({.component = "c" + std::to_string(i)});
  history_->Report(Info("llm-0"), 1, WorkerState::kReady, report, now_);
  EXPECT_THAT(At(now_)[0].ledger.lines, SizeIs(History::kLinesMax));
  // New names do not fill memory: there is a fixed number of them.
  for (int i = 0; i < 50; ++i) {
    After(seconds(2));
    report.lines = {{.component = "n" + std::to_string(i)}, {.component = std::string(500, 'n') + std::to_string(i)}};
    history_->Report(Info("llm-0"), 1, WorkerState::kReady, report, now_);
  }
  EXPECT_THAT(At(now_)[0].ledger.lines, SizeIs(1)) << "the long one is known by its first bytes; n49 came too late";
}

// Whatever happens, the bytes stay within their bound and the books agree with a simple model of them.
TEST_F(HistoryTest, RandomEventsStayInBoundsAndAgreeWithAModel) {
  const uint64_t seed = SystemRandom().Next();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  SeededRandom random(seed);
  for (const size_t bytes_max : {size_t{8} << 10, size_t{8} << 20}) {
    const bool complete = bytes_max > (1 << 20);
    Start({.bytes_max = bytes_max});
    struct Known {
      TimePoint granted, ended;
      std::string worker;
    };
    std::map<uint64_t, Known> model;
    for (uint64_t id = 1; id <= 3'000; ++id) {
      After(milliseconds(random.Below(20)));
      const std::string worker = "w" + std::to_string(random.Below(5));
      history_->Hello(Info(worker), 1 + random.Below(2));
      Grant(id, worker, 1 + static_cast<int64_t>(random.Below(9)));
      model[id] = {now_, TimePoint::max(), worker};
      const uint64_t other = 1 + random.Below(id);
      if (model[other].ended == TimePoint::max()) history_->Active(model[other].worker, Key(other), Blocks(1), now_);
      if (random.Below(3) > 0) {
        const uint64_t ending = 1 + random.Below(id);
        // The end of what has ended already changes nothing.
        history_->Ended(model[ending].worker, Key(ending), now_);
        model[ending].ended = std::min(model[ending].ended, now_);
      }
      ASSERT_LE(history_->bytes(), bytes_max);
    }
    if (!complete) continue;
    for (int i = 0; i < 50; ++i) {
      const TimePoint when = now_ - milliseconds(random.Below(20'000));
      size_t expected = 0, found = 0;
      for (const auto& [id, leg] : model) expected += leg.granted <= when && when < leg.ended ? 1 : 0;
      for (const PastWorker& worker : At(when, "", 100'000)) {
        for (const PastLeg& leg : worker.legs) {
          const Known& known = model.at(leg.leg.id.low);
          EXPECT_EQ(leg.granted_at, known.granted);
          EXPECT_EQ(leg.worker, known.worker);
          ++found;
        }
      }
      EXPECT_EQ(found, expected);
    }
  }
}

}  // namespace
}  // namespace headroom::admission
