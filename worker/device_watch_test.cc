#include "worker/device_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>

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
    return runtime::DeviceUse{1000, 700 - other_, 300, other_, true};
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
  // Returns when it has been seen.
  void SetOther(int64_t bytes) {
    std::unique_lock lock(mutex_);
    other_ = bytes;
    const int64_t seen = looks_ + 2;  // one look may be half over
    changed_.wait(lock, [&] { return looks_ >= seen; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string fault_;
  int64_t other_ = 100;
  int64_t looks_ = 0;
};

class DeviceWatchTest : public testing::Test {
 protected:
  std::unique_ptr<Metrics> metrics_ = *Metrics::Create("");
  ProcessEnd process_;
  FakeMonitor monitor_;
};

TEST_F(DeviceWatchTest, ADeviceWithoutMonitorIsNotWatched) {
  EXPECT_EQ(DeviceWatch::Start(nullptr, "cpu", *metrics_, process_), nullptr);
}

TEST_F(DeviceWatchTest, ShowsWhoUsesTheCard) {
  const auto watch = DeviceWatch::Start(&monitor_, "cuda", *metrics_, process_);
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

TEST_F(DeviceWatchTest, ABrokenCardEndsTheProcess) {
  const auto watch = DeviceWatch::Start(&monitor_, "cuda", *metrics_, process_);
  monitor_.Break("the driver reports XID 79 of the card");
  EXPECT_EQ(process_.Wait(), absl::InternalError("device cuda: the driver reports XID 79 of the card"));
}

}  // namespace
}  // namespace headroom::worker
