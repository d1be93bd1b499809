#include "worker/device_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <optional>

namespace headroom::worker {
namespace {

using testing::HasSubstr;
using testing::Not;

// A card of 1,000 bytes, of which others take what they are told to.
class FakeMonitor : public runtime::DeviceMonitor {
 public:
  absl::StatusOr<runtime::DeviceUse> Use() override {
    const std::lock_guard lock(mutex_);
    ++looks_;
    changed_.notify_all();
    if (other_ < 0) return absl::UnavailableError("gone");
    return runtime::DeviceUse{1000, 1000 - own_ - other_, own_, other_, told_};
  }
  std::string WaitForFault(std::chrono::milliseconds patience) override {
    std::unique_lock lock(mutex_);
    // Not the whole patience: looks follow each other fast.
    changed_.wait_for(lock, patience / 1000, [this] { return !fault_.empty(); });
    return fault_;
  }

  void Break(const std::string& fault) {
    const std::lock_guard lock(mutex_);
    fault_ = fault;
    changed_.notify_all();
  }
  // Return when it has been seen.
  void SetOther(int64_t bytes) {
    Change([&] { other_ = bytes; });
  }
  void SetOwn(int64_t bytes) {
    Change([&] { own_ = bytes; });
  }
  void SetTold(bool told) {
    Change([&] { told_ = told; });
  }

 private:
  template <typename Set>
  void Change(const Set& set) {
    std::unique_lock lock(mutex_);
    set();
    const int64_t seen = looks_ + 2;  // one look may be half over
    changed_.wait(lock, [&] { return looks_ >= seen; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string fault_;
  int64_t own_ = 300, other_ = 100;
  bool told_ = true;
  int64_t looks_ = 0;
};

class DeviceWatchTest : public testing::Test {
 protected:
  DeviceWatch::Settled Settled() {
    return [this] { return settled_.load(); };
  }
  DeviceWatch::Lost Lost() {
    return [this] { return broken_ ? absl::InternalError("cuda: in one of 3 operations") : absl::OkStatus(); };
  }
  std::unique_ptr<Metrics> metrics_ = *Metrics::Create("");
  std::atomic<std::optional<int64_t>> settled_;
  std::atomic<bool> broken_ = false;
  ProcessEnd process_;
  FakeMonitor monitor_;
};

TEST_F(DeviceWatchTest, ADeviceWithoutMonitorIsNotWatched) {
  EXPECT_EQ(DeviceWatch::Start(nullptr, "cpu", Lost(), Settled(), *metrics_, process_), nullptr);
}

TEST_F(DeviceWatchTest, ShowsWhoUsesTheCard) {
  const auto watch = DeviceWatch::Start(&monitor_, "cuda", Lost(), Settled(), *metrics_, process_);
  EXPECT_THAT(metrics_->Render(), HasSubstr("headroom_card_other_bytes{device=\"cuda\"} 100"));
  monitor_.SetOther(250);
  const std::string text = metrics_->Render();
  EXPECT_THAT(text, HasSubstr("headroom_card_other_bytes{device=\"cuda\"} 250"));
  EXPECT_THAT(text, HasSubstr("headroom_card_free_bytes{device=\"cuda\"} 450"));
  EXPECT_THAT(text, HasSubstr("headroom_card_own_bytes{device=\"cuda\"} 300"));
  EXPECT_THAT(text, HasSubstr("headroom_card_total_bytes{device=\"cuda\"} 1000"));
  monitor_.SetOther(-1);
  EXPECT_THAT(metrics_->Render(), Not(HasSubstr("headroom_card_")));
}

TEST_F(DeviceWatchTest, ShowsWhatThisProcessTookSinceItWasReady) {
  const auto watch = DeviceWatch::Start(&monitor_, "cuda", Lost(), Settled(), *metrics_, process_);
  monitor_.SetOwn(310);
  EXPECT_THAT(metrics_->Render(), Not(HasSubstr("headroom_card_growth_bytes"))) << "it is not ready";
  settled_ = 310;
  monitor_.SetOther(120);
  EXPECT_THAT(metrics_->Render(), HasSubstr("headroom_card_growth_bytes{device=\"cuda\"} 0"));
  monitor_.SetOwn(350);
  EXPECT_THAT(metrics_->Render(), HasSubstr("headroom_card_growth_bytes{device=\"cuda\"} 40"));
  monitor_.SetOwn(300);
  EXPECT_THAT(metrics_->Render(), HasSubstr("headroom_card_growth_bytes{device=\"cuda\"} 0"));
  monitor_.SetTold(false);
  EXPECT_THAT(metrics_->Render(), Not(HasSubstr("headroom_card_growth_bytes"))) << "it may be another's";
}

TEST_F(DeviceWatchTest, ABrokenCardEndsTheProcess) {
  const auto watch = DeviceWatch::Start(&monitor_, "cuda", Lost(), Settled(), *metrics_, process_);
  monitor_.Break("the driver reports XID 79 of the card");
  EXPECT_EQ(process_.Wait(), absl::InternalError("device cuda: the driver reports XID 79 of the card"));
}

TEST_F(DeviceWatchTest, AnErrorThatStaysEndsTheProcess) {
  const auto watch = DeviceWatch::Start(&monitor_, "cuda", Lost(), Settled(), *metrics_, process_);
  broken_ = true;
  EXPECT_EQ(process_.Wait(), absl::InternalError("device cuda: cuda: in one of 3 operations"));
}

}  // namespace
}  // namespace headroom::worker
