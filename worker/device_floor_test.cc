#include "worker/device_floor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

namespace headroom::worker {
namespace {

using memory::Component;
using testing::AllOf;
using testing::HasSubstr;

// A card that takes what a test says. It computes nothing.
class FakeCard : public runtime::Device, private runtime::DeviceMonitor {
 public:
  explicit FakeCard(const runtime::OpeningUse& opening) : opening_(opening) {}
  std::string Describe() const override { return "fake"; }
  memory::DeviceMemory& memory() override { std::abort(); }
  absl::Status Upload(std::span<const std::byte>, memory::DevicePtr) override { return absl::OkStatus(); }
  absl::Status Download(memory::DevicePtr, std::span<std::byte>) override { return absl::OkStatus(); }
  absl::Status Wait() override { return absl::OkStatus(); }
  runtime::OpeningUse opening() const override { return opening_; }
  std::optional<int64_t> TakenBytes() override { return taken_; }
  runtime::DeviceMonitor* monitor() override { return this; }
  runtime::Backend& backend() override { std::abort(); }

  // A step that takes so much.
  DeviceFloor::Step Taking(int64_t bytes) {
    return [this, bytes] {
      *taken_ += bytes;
      return absl::OkStatus();
    };
  }
  void TellNothing() { taken_.reset(); }
  void TellOfAll() { told_ = false; }

 private:
  absl::StatusOr<runtime::DeviceUse> Use() override {
    return runtime::DeviceUse{.own_bytes = taken_.value_or(0), .own_is_told = told_};
  }
  std::string WaitForFault(std::chrono::milliseconds) override { return ""; }

  const runtime::OpeningUse opening_;
  std::optional<int64_t> taken_ = 0;
  bool told_ = true;
};

constexpr int64_t kMiB = 1 << 20;

class DeviceFloorTest : public testing::Test {
 protected:
  DeviceFloorTest() {
    plan_.device = "cuda";
    plan_.arena_bytes = 100 * kMiB;
    for (const auto& [line, bytes] :
         {std::pair(Component::kContextFloor, 50 * kMiB), std::pair(Component::kLibraries, 20 * kMiB),
          std::pair(Component::kGraphs, 5 * kMiB)}) {
      ledger_.SetPlanned(line, bytes);
      ledger_.AddReserved(line, bytes);
    }
  }
  DeviceFloor FloorOf(FakeCard& card) { return DeviceFloor(card, plan_, ledger_); }
  int64_t Used(Component line) const { return ledger_.Snapshot()[line].used; }

  memory::Plan plan_;
  memory::Ledger ledger_{1000 * kMiB};
};

TEST_F(DeviceFloorTest, WhatIsMeasuredBecomesTheUseOfItsLine) {
  FakeCard card({.context = 30 * kMiB, .modules = 20 * kMiB, .libraries = 4 * kMiB});
  DeviceFloor floor = FloorOf(card);
  ASSERT_TRUE(floor.CheckOpening().ok());
  ASSERT_TRUE(floor.ReserveArena(card.Taking(101 * kMiB)).ok());
  EXPECT_EQ(floor.SettledBytes(), std::nullopt);
  ASSERT_TRUE(floor.Take(Component::kLibraries, card.Taking(15 * kMiB)).ok());
  ASSERT_TRUE(floor.Take(Component::kGraphs, card.Taking(5 * kMiB)).ok());
  EXPECT_EQ(Used(Component::kContextFloor), 50 * kMiB);
  EXPECT_EQ(Used(Component::kLibraries), 20 * kMiB) << "a page of the arena among it";
  EXPECT_EQ(Used(Component::kGraphs), 5 * kMiB);
  EXPECT_EQ(floor.SettledBytes(), 121 * kMiB);
}

TEST_F(DeviceFloorTest, ALineAboveItsPlanIsNamedWithItsKey) {
  FakeCard context({.context = 50 * kMiB + 1, .modules = 0, .libraries = 0});
  EXPECT_THAT(
      std::string(FloorOf(context).CheckOpening().message()),
      AllOf(HasSubstr("context floor: context took 52428801"), HasSubstr("device.context_floor to at least 52428801")));
  FakeCard modules({.context = 1, .modules = 50 * kMiB, .libraries = 0});
  EXPECT_THAT(std::string(FloorOf(modules).CheckOpening().message()), HasSubstr("context floor: kernel modules took"));
}

TEST_F(DeviceFloorTest, AStepAboveItsPlanIsNamed) {
  FakeCard card({});
  DeviceFloor floor = FloorOf(card);
  ASSERT_TRUE(floor.CheckOpening().ok());
  EXPECT_THAT(std::string(floor.ReserveArena(card.Taking(102 * kMiB + 1)).message()), HasSubstr("cuda: arena"));
  EXPECT_THAT(std::string(floor.Take(Component::kLibraries, card.Taking(20 * kMiB + 1)).message()),
              AllOf(HasSubstr("libraries: a first run took"), HasSubstr("device.libraries")));
  EXPECT_THAT(std::string(floor.Take(Component::kGraphs, card.Taking(6 * kMiB)).message()),
              AllOf(HasSubstr("graphs: a first run took"), HasSubstr("knobs.decode_graphs")));
  EXPECT_EQ(floor.SettledBytes(), std::nullopt);
  const absl::Status none =
      floor.Take(Component::kLibraries, [] { return absl::ResourceExhaustedError("cuda: out of memory"); });
  EXPECT_EQ(none.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(none.message()), AllOf(HasSubstr("found no memory"), HasSubstr("device.libraries")));
  EXPECT_EQ(floor.Take(Component::kLibraries, [] { return absl::InternalError("broken"); }),
            absl::InternalError("broken"));
}

TEST_F(DeviceFloorTest, WhoMeasuresNothingIsHeldToNothing) {
  FakeCard card({});
  card.TellNothing();
  DeviceFloor floor = FloorOf(card);
  EXPECT_TRUE(floor.CheckOpening().ok());
  EXPECT_TRUE(floor.ReserveArena([] { return absl::OkStatus(); }).ok());
  EXPECT_TRUE(floor.Take(Component::kLibraries, [] { return absl::OkStatus(); }).ok());
  EXPECT_EQ(Used(Component::kLibraries), 0);
}

TEST_F(DeviceFloorTest, WithoutItsOwnShareGrowthIsNotToldFromAnothers) {
  FakeCard card({});
  card.TellOfAll();
  DeviceFloor floor = FloorOf(card);
  ASSERT_TRUE(floor.Take(Component::kLibraries, card.Taking(kMiB)).ok());
  EXPECT_EQ(Used(Component::kLibraries), kMiB);
  EXPECT_EQ(floor.SettledBytes(), std::nullopt);
}

}  // namespace
}  // namespace headroom::worker
