#include "common/testing/allocation_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "common/compute_thread.h"

namespace headroom {
namespace {

constexpr size_t kTooMuch = 2 << 20;

// What the optimiser may not take away.
void Touch(void* p) {
  volatile char* byte = static_cast<char*>(p);
  *byte = 1;
}

void AllocateAndFree(size_t bytes) {
  void* const p = std::malloc(bytes);
  Touch(p);
  std::free(p);
}

class AllocationGuardDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST(AllocationGuardTest, IsHere) {
  ASSERT_TRUE(AllocationGuardWorks());
  const int64_t before = GuardedAllocations();
  AllocateAndFree(64);  // not marked
  EXPECT_EQ(GuardedAllocations(), before);
}

TEST(AllocationGuardTest, LeavesOthersAlone) {
  AllocateAndFree(kTooMuch);
  std::thread([] { AllocateAndFree(kTooMuch); }).join();
  {
    const ComputeScope scope;
    // Another thread than the one that computes.
    std::thread other([] { AllocateAndFree(kTooMuch); });
    other.join();
  }
  AllocateAndFree(kTooMuch);
}

TEST(AllocationGuardTest, AllowsSmallOnesAgainAndAgain) {
  const ComputeScope scope;
  for (int i = 0; i < 100; ++i) AllocateAndFree(static_cast<size_t>(kAllocationBytesMax) / 2);
  for (int i = 0; i < 100; ++i) {
    const ComputeScope nested;
    std::vector<char> bytes(static_cast<size_t>(kAllocationBytesMax) / 4);
    bytes.resize(bytes.size() + 1000);
    Touch(bytes.data());
  }
}

TEST(AllocationGuardTest, EachStepBeginsAnew) {
  std::vector<std::unique_ptr<char[]>> kept;
  kept.reserve(8);
  for (int step = 0; step < 8; ++step) {
    const ComputeScope scope;
    kept.push_back(std::make_unique<char[]>(600 << 10));
    Touch(kept.back().get());
  }
}

TEST_F(AllocationGuardDeathTest, OneLargePiece) {
  ASSERT_TRUE(AllocationGuardWorks());
  EXPECT_DEATH(
      {
        const ComputeScope scope;
        AllocateAndFree(kTooMuch);
      },
      "allocation guard: .* asks for 2097152 bytes");
  EXPECT_DEATH(
      {
        const ComputeScope scope;
        Touch(::operator new(kTooMuch));
      },
      "allocation guard");
  EXPECT_DEATH(
      {
        const ComputeScope scope;
        Touch(std::calloc(2, kTooMuch / 2));
      },
      "allocation guard");
  EXPECT_DEATH(
      {
        void* p = std::malloc(16);
        const ComputeScope scope;
        Touch(p = std::realloc(p, kTooMuch));
      },
      "allocation guard");
  EXPECT_DEATH(
      {
        void* p = nullptr;
        const ComputeScope scope;
        if (posix_memalign(&p, 64, kTooMuch) == 0) Touch(p);
      },
      "allocation guard");
  EXPECT_DEATH(
      {
        const ComputeScope scope;
        Touch(std::aligned_alloc(64, kTooMuch));
      },
      "allocation guard");
}

#ifndef HEADROOM_GUARD_BY_HOOKS
TEST_F(AllocationGuardDeathTest, AMapping) {
  EXPECT_DEATH(
      {
        const ComputeScope scope;
        Touch(mmap(nullptr, kTooMuch, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
      },
      "allocation guard: .* maps 2097152 bytes");
}
#endif

TEST_F(AllocationGuardDeathTest, ManySmallOnesTogether) {
  EXPECT_DEATH(
      {
        const ComputeScope scope;
        std::vector<std::unique_ptr<char[]>> kept;
        for (int i = 0; i < 40; ++i) {
          kept.push_back(std::make_unique<char[]>(32 << 10));
          Touch(kept.back().get());
        }
      },
      "allocation guard: .* holds");
}

TEST_F(AllocationGuardDeathTest, AThreadOfATeam) {
  EXPECT_DEATH(std::thread([] {
                 BeComputeThread();
                 BeComputeThread();
                 AllocateAndFree(kTooMuch);
               }).join(),
               "allocation guard");
}

TEST_F(AllocationGuardDeathTest, BuildingLate) {
  BuiltWhileComputing("at start: allowed");
  EXPECT_DEATH(
      {
        const ComputeScope scope;
        BuiltWhileComputing("a product");
      },
      "allocation guard: .* builds after start: a product");
}

}  // namespace
}  // namespace headroom
