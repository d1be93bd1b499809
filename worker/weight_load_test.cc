#include "worker/weight_load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "common/testing/fake_clock.h"

namespace headroom::worker {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(LoadPace, SaysEveryTenthAndEveryTwoSeconds) {
  FakeClock clock;
  LoadPace pace(1000, clock.Now());
  EXPECT_FALSE(pace.Due(99, clock.Now()));
  EXPECT_TRUE(pace.Due(100, clock.Now()));
  EXPECT_FALSE(pace.Due(199, clock.Now()));
  clock.Advance(milliseconds(1999));
  EXPECT_FALSE(pace.Due(199, clock.Now()));
  clock.Advance(milliseconds(1));
  EXPECT_TRUE(pace.Due(199, clock.Now()));
  EXPECT_FALSE(pace.Due(298, clock.Now()));
  EXPECT_TRUE(pace.Due(299, clock.Now()));
}

TEST(LoadPace, RateAndProgress) {
  FakeClock clock;
  LoadPace pace(1000, clock.Now());
  EXPECT_EQ(pace.BytesPerSecond(0, clock.Now()), 0);
  clock.Advance(milliseconds(500));
  EXPECT_DOUBLE_EQ(pace.BytesPerSecond(300, clock.Now()), 600);
  EXPECT_DOUBLE_EQ(pace.Progress(300), 0.3);
  // Loaded is not ready: only the worker says 1.
  EXPECT_LT(pace.Progress(1000), 1);
  EXPECT_LT(LoadPace(0, clock.Now()).Progress(0), 1);
}

class WeightLoadTest : public testing::Test {
 protected:
  WeightLoad::Parts Parts(std::function<absl::Status(const memory::LoadProgress&)> load) {
    return {.name = "worker",
            .total_bytes = 1000,
            .load = std::move(load),
            .loading = [this](double progress) { told_.push_back(progress); },
            .ready = [this] { ready_ = true; }};
  }

  ProcessEnd process_;
  // The load's thread writes, the test reads after it has ended.
  std::vector<double> told_;
  bool ready_ = false;
};

TEST_F(WeightLoadTest, TellsProgressThenReady) {
  WeightLoad load(Parts([this](const memory::LoadProgress& tell) {
                    EXPECT_FALSE(ready_);
                    for (const int64_t bytes : {1, 250, 251, 1000}) HEADROOM_RETURN_IF_ERROR(tell(bytes));
                    return absl::OkStatus();
                  }),
                  process_, SystemClock());
  load.Start();
  EXPECT_TRUE(load.WaitLoaded().ok());
  EXPECT_TRUE(load.Stop());
  EXPECT_TRUE(ready_);
  // Steps of a thousandth are not worth a message.
  EXPECT_THAT(told_, ElementsAre(0.25, 0.999));
}

// A load without end: each chunk is told, the first one to `first`.
std::function<absl::Status(const memory::LoadProgress&)> Endless(std::promise<void>& first) {
  return [&first](const memory::LoadProgress& tell) {
    for (int64_t chunk = 0;; ++chunk) {
      HEADROOM_RETURN_IF_ERROR(tell(1));
      if (chunk == 0) first.set_value();
    }
  };
}

TEST_F(WeightLoadTest, StopEndsItBetweenChunks) {
  std::promise<void> first;
  WeightLoad load(Parts(Endless(first)), process_, SystemClock());
  load.Start();
  first.get_future().wait();
  EXPECT_FALSE(load.Stop());
  EXPECT_TRUE(absl::IsCancelled(load.WaitLoaded()));
  EXPECT_FALSE(load.Stop());
  EXPECT_FALSE(ready_);
}

TEST_F(WeightLoadTest, EndOfTheProcessEndsItAndIsNoFailure) {
  std::promise<void> first;
  WeightLoad load(Parts(Endless(first)), process_, SystemClock());
  load.Start();
  first.get_future().wait();
  process_.RequestStop();
  EXPECT_TRUE(absl::IsCancelled(load.WaitLoaded()));
  EXPECT_TRUE(process_.Wait().ok());
  EXPECT_FALSE(ready_);
}

TEST_F(WeightLoadTest, FailureEndsTheProcess) {
  WeightLoad load(
      Parts([](const memory::LoadProgress&) { return absl::DataLossError("model.safetensors: too short"); }), process_,
      SystemClock());
  load.Start();
  const absl::Status end = process_.Wait();
  EXPECT_TRUE(absl::IsDataLoss(end));
  EXPECT_THAT(std::string(end.message()), HasSubstr("weights cannot be loaded: model.safetensors: too short"));
  EXPECT_EQ(load.WaitLoaded(), end);
  EXPECT_FALSE(load.Stop());
  EXPECT_FALSE(ready_);
}

TEST_F(WeightLoadTest, NeverStartedIsStopped) {
  WeightLoad load(Parts([](const memory::LoadProgress&) { return absl::OkStatus(); }), process_, SystemClock());
  EXPECT_FALSE(load.Stop());
}

}  // namespace
}  // namespace headroom::worker
