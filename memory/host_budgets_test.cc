#include "memory/host_budgets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "common/units.h"

namespace headroom::memory {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr HostedServices kAll = {
    .gateway = true, .scheduler = true, .vision = 1, .llm = 1, .decoder_bytes = 566 * kMiB};

ClusterConfig Config(const std::vector<std::string>& overrides) {
  const auto config = ParseConfig("", "", overrides);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.value_or(ClusterConfig());
}

HostMemory Machine(int64_t available) { return {.total = available + 64 * kMiB, .available = available}; }

TEST(HostBudgets, WithRoomNothingChanges) {
  ClusterConfig config = Config({"device.memory=512MiB"});
  for (const int64_t available : {int64_t{5} * kGiB + 164 * kMiB, std::numeric_limits<int64_t>::max() - kGiB}) {
    const auto fit = FitHostMemory(kAll, config, Machine(available));
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_EQ(fit->LackingBytes(config.device.memory), 0);
    EXPECT_EQ(fit->budget_bytes(), 4 * kGiB + (16 + 566 + 64) * kMiB);
    EXPECT_EQ(config.gateway.host_bytes_max, kGiB);
    EXPECT_EQ(config.llm_worker.grpc_bytes_max, 256 * kMiB);
  }
}

// What tools/demo meets on a machine of 4 GiB, and deploy/compose/single.yaml in its 4 GiB.
TEST(HostBudgets, DefaultsAreLoweredUntilAllFits) {
  for (const int64_t available : {3 * kGiB, 3 * kGiB + 12345, 2 * kGiB, 4 * kGiB}) {
    ClusterConfig config = Config({"device.memory=512MiB"});
    const auto fit = FitHostMemory(kAll, config, Machine(available));
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_EQ(fit->LackingBytes(config.device.memory), 0);
    EXPECT_LE(fit->budget_bytes() + 512 * kMiB, available);
    // And little is given away.
    EXPECT_GT(fit->budget_bytes() + 512 * kMiB, available - 16 * kMiB);
    EXPECT_LT(config.gateway.host_bytes_max, kGiB);
    EXPECT_GE(config.gateway.host_bytes_max, 128 * kMiB);
    EXPECT_EQ(config.scheduler.queue_bytes_max, 16 * kMiB);
    // The servers read what the fit counted.
    int64_t read = 0;
    for (const HostLine& line : HostLines(config, kAll)) read += line.bytes;
    EXPECT_EQ(read, fit->budget_bytes());
  }
}

TEST(HostBudgets, WhatWasSetStays) {
  ClusterConfig config = Config({"device.memory=512MiB", "gateway.host_bytes_max=1GiB"});
  const auto fit = FitHostMemory(kAll, config, Machine(3 * kGiB));
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(config.gateway.host_bytes_max, kGiB);
  EXPECT_LT(config.vision_worker.host_bytes_max, kGiB / 2);
  EXPECT_EQ(fit->LackingBytes(config.device.memory), 0);

  ClusterConfig from_file = *ParseConfig("llm_worker: {host_bytes_max: 1GiB}", "x.yaml", {});
  EXPECT_TRUE(from_file.llm_worker.host_bytes_given);
  EXPECT_FALSE(from_file.gateway.host_bytes_given);
}

TEST(HostBudgets, TheDeviceYieldsWhatTheLowestBudgetsLack) {
  ClusterConfig config = Config({"device.memory=1GiB"});
  const auto fit = FitHostMemory(kAll, config, Machine(2 * kGiB));
  ASSERT_TRUE(fit.ok()) << fit.status();
  int64_t lowest = 0;
  for (const HostLine& line : HostLines(Config({}), kAll)) lowest += line.bytes_min;
  EXPECT_EQ(fit->budget_bytes(), lowest);
  EXPECT_EQ(fit->LackingBytes(config.device.memory), kGiB + lowest - 2 * kGiB);
  EXPECT_THAT(fit->Account(config.device.memory),
              AllOf(HasSubstr("2147483648 of 2214592512 bytes"), HasSubstr("1073741824 of device.memory"),
                    HasSubstr(absl::StrCat(lowest, " of host budgets")), HasSubstr("gateway.host_bytes_max"),
                    HasSubstr("gateway.image_pixels_max"), HasSubstr("scheduler.queue_bytes_max")));
}

TEST(HostBudgets, AMachineThatHasNotSoMuchAtAllIsAnError) {
  ClusterConfig config = Config({"device.memory=64TiB"});
  const auto fit = FitHostMemory(kAll, config, Machine(23 * kGiB));
  EXPECT_EQ(fit.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(fit.status().message()),
              AllOf(HasSubstr("device.memory is 70368744177664"), HasSubstr(absl::StrCat(23 * kGiB + 64 * kMiB))));
  // To the byte, and only where this process has a device.
  config = Config({"device.memory=1GiB"});
  EXPECT_TRUE(FitHostMemory(kAll, config, {.total = kGiB, .available = kGiB}).ok());
  EXPECT_FALSE(FitHostMemory(kAll, config, {.total = kGiB - 1, .available = kGiB - 1}).ok());
  config = Config({"device.memory=64TiB"});
  EXPECT_TRUE(FitHostMemory({.gateway = true}, config, Machine(23 * kGiB)).ok());
}

TEST(HostBudgets, ServicesWithoutADeviceHaveBudgetsToo) {
  ClusterConfig config = Config({});
  ASSERT_TRUE(FitHostMemory({.gateway = true}, config, Machine(512 * kMiB)).ok());
  EXPECT_LE(config.gateway.host_bytes_max + config.gateway.grpc_bytes_max + 64 * kMiB, 512 * kMiB);
  EXPECT_GE(config.gateway.grpc_bytes_max, 4 * config.gateway.receive_bytes_max);
  EXPECT_EQ(config.llm_worker.host_bytes_max, kGiB);  // of another process

  config = Config({"gateway.host_bytes_max=1GiB"});
  const auto fit = FitHostMemory({.gateway = true}, config, Machine(kGiB));
  EXPECT_EQ(fit.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(fit.status().message()),
              AllOf(HasSubstr("1073741824 of"), HasSubstr("what can be lowered: gateway.host_bytes_max")));
}

}  // namespace
}  // namespace headroom::memory
