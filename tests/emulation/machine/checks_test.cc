// Each check on the smallest kernel that should trip it, and beside it the kernel that should not.
#include <gmock/gmock.h>

#include <functional>

#include "tests/emulation/machine/testing.h"
#include "tests/emulation/ptx/error.h"
#include "tests/emulation/ptx/parser.h"

namespace emulation {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr char kShared[] = ".shared .align 16 .b8 s[1024];\nmov.u32 %r0, s;\nmad.lo.u32 %r1, %t, 4, %r0;\n";

std::string FaultOf(const std::string& body, Dim grid, Dim block,
                    const std::function<void(TestDevice&)>& configure = {}) {
  TestDevice device;
  device.Load(KernelText(1, body));
  if (configure) configure(device);
  return device.Fault("K", grid, block, {device.Upload(std::vector<uint32_t>(64))});
}

void ExpectNoFault(const std::string& body, Dim grid, Dim block) {
  for (const uint64_t seed : {0, 1, 2}) {
    TestDevice device;
    device.options.seed = seed;
    device.Load(KernelText(1, body));
    EXPECT_NO_THROW(device.Run("K", grid, block, {device.Upload(std::vector<uint32_t>(4096))})) << body;
  }
}

TEST(Bounds, GlobalTellsTheDistance) {
  const std::string body = "mul.wide.u32 %d0, %t, 4;\nadd.u64 %d0, %d0, %p0;\nst.global.u32 [%d0], %t;\n";
  EXPECT_THAT(FaultOf(body, {1}, {65}),
              AllOf(HasSubstr("out of bounds"), HasSubstr("256 bytes into an allocation of 256 bytes"),
                    HasSubstr("thread (64,0,0)")));
  ExpectNoFault(body, {1}, {64});
}

TEST(Bounds, GlobalAfterFreeAndNull) {
  TestDevice device;
  device.Load(KernelText(1, "ld.global.u32 %r0, [%p0];\nst.global.u32 [%p0], %r0;\n"));
  const uint64_t word = device.Upload(std::vector<uint32_t>{1});
  device.Run("K", {1}, {1}, {word});
  device.memory.Free(word);
  EXPECT_THAT(device.Fault("K", {1}, {1}, {word}), HasSubstr("out of bounds"));
  EXPECT_THAT(device.Fault("K", {1}, {1}, {0}), HasSubstr("null pointer"));
}

TEST(Bounds, RegionsOfAnArena) {
  TestDevice device;
  const uint64_t arena = device.Upload(std::vector<uint32_t>(1024));
  device.Load(KernelText(1, "mul.wide.u32 %d0, %t, 4;\nadd.u64 %d0, %d0, %p0;\nst.global.u32 [%d0], %t;\n"));
  device.Run("K", {1}, {33}, {arena});  // inside the allocation
  ASSERT_TRUE(device.memory.DeclareHeap(arena));
  ASSERT_TRUE(device.memory.DeclareRegion(arena, 128, "weights"));
  ASSERT_TRUE(device.memory.DeclareRegion(arena + 256, 128, "cache"));
  device.Run("K", {1}, {32}, {arena});
  EXPECT_THAT(device.Fault("K", {1}, {33}, {arena}), HasSubstr("128 bytes into region 'weights' of 128 bytes"));
  ASSERT_TRUE(device.memory.ForgetRegion(arena + 256));
  EXPECT_THAT(device.Fault("K", {1}, {1}, {arena + 256}), HasSubstr("out of bounds"));
}

TEST(Bounds, SharedStaticAndDynamic) {
  EXPECT_THAT(FaultOf(std::string(kShared) + "st.shared.u32 [%r1], %t;\n", {1}, {257}),
              AllOf(HasSubstr("shared access"), HasSubstr("of 1024 bytes"), HasSubstr("thread (256,0,0)")));
  TestDevice device;
  device.Load(KernelText(1, "mov.u32 %r0, dynamic;\nmad.lo.u32 %r1, %t, 4, %r0;\nst.shared.u32 [%r1], %t;\n"));
  device.Run("K", {1}, {32}, {0}, 128);
  EXPECT_THAT(device.Fault("K", {1}, {33}, {0}, 128), HasSubstr("out of bounds"));
}

TEST(Alignment, GlobalAndShared) {
  EXPECT_THAT(FaultOf("ld.global.u32 %r0, [%p0+2];\n", {1}, {1}), HasSubstr("misaligned"));
  EXPECT_THAT(FaultOf(std::string(kShared) + "st.shared.v2.u32 [%r0+4], {%t, %t};\n", {1}, {1}),
              HasSubstr("misaligned"));
  EXPECT_THAT(
      FaultOf(std::string(kShared) +
                  "st.shared.u32 [%r1], %t;\nbar.sync 0;\nldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r2}, [%r1];\n",
              {1}, {32}),
      HasSubstr("misaligned"));
}

TEST(NeverWritten, GlobalAndShared) {
  TestDevice device;
  device.Load(KernelText(1, "ld.global.u32 %r0, [%p0];\nst.global.u32 [%p0+4], %r0;\n"));
  const uint64_t fresh = device.Allocate(8);
  EXPECT_THAT(device.Fault("K", {1}, {1}, {fresh}), HasSubstr("global memory that nobody wrote"));
  device.memory.MarkWritten(fresh, 4);
  device.Run("K", {1}, {1}, {fresh});
  EXPECT_THAT(FaultOf(std::string(kShared) + "ld.shared.u32 %r2, [%r1];\n", {1}, {1}),
              HasSubstr("shared memory that nobody wrote"));
  // Memory that was freed and comes back counts as fresh.
  device.memory.Free(fresh);
  const uint64_t again = device.Allocate(8);
  EXPECT_EQ(again, fresh);
  EXPECT_THAT(device.Fault("K", {1}, {1}, {again}), HasSubstr("nobody wrote"));
}

// Every thread writes its word and reads that of thread t xor `distance`.
std::string Exchange(const std::string& between, int distance, const std::string& type = "u32") {
  return std::string(kShared) + "st.shared." + type + " [%r1], %t;\n" + between + "xor.b32 %r2, %t, " +
         std::to_string(distance) + ";\nmad.lo.u32 %r2, %r2, 4, %r0;\nld.shared." + type + " %r3, [%r2];\n";
}

TEST(Races, SharedBetweenWarpsAndWithinOne) {
  EXPECT_THAT(FaultOf(Exchange("", 32), {1}, {64}), testing::AnyOf(HasSubstr("race"), HasSubstr("nobody wrote")));
  EXPECT_THAT(FaultOf(Exchange("", 1), {1}, {32}), AllOf(HasSubstr("race"), HasSubstr("read after write")));
  ExpectNoFault(Exchange("bar.sync 0;\n", 32), {1}, {64});
  ExpectNoFault(Exchange("bar.warp.sync -1;\n", 1), {1}, {32});
  // Bytes of one word, for which words are split.
  EXPECT_THAT(FaultOf(Exchange("", 1, "u8"), {1}, {32}), HasSubstr("race"));
  ExpectNoFault(Exchange("bar.sync 0;\n", 33, "u8"), {1}, {64});
}

// A warp whose lanes lie in a row, or at one place, is looked at as a whole; what is wrong with one lane shows all the
// same.
TEST(WholeWarps, OfWhichOneLaneIsWrong) {
  const std::string row = "mul.wide.u32 %d0, %t, 4;\nadd.u64 %d0, %d0, %p0;\n";
  TestDevice device;
  device.Load(KernelText(1, row + "ld.global.u32 %r0, [%d0];\nst.global.u32 [%d0+128], %r0;\n"));
  const uint64_t words = device.Allocate(512);
  device.memory.MarkWritten(words, 127);
  EXPECT_THAT(device.Fault("K", {1}, {32}, {words}), AllOf(HasSubstr("nobody wrote"), HasSubstr("thread (31,0,0)")));
  device.memory.MarkWritten(words, 128);
  device.Run("K", {1}, {32}, {words});
  EXPECT_THAT(device.Fault("K", {1}, {32}, {words + 2}), HasSubstr("misaligned"));
  EXPECT_THAT(FaultOf(row + "st.global.u32 [%d0+132], %t;\n", {1}, {32}),
              AllOf(HasSubstr("out of bounds"), HasSubstr("thread (31,0,0)")));
  EXPECT_THAT(FaultOf(std::string(kShared) + "st.shared.u32 [%r1+900], %t;\n", {1}, {32}),
              AllOf(HasSubstr("out of bounds"), HasSubstr("thread (31,0,0)")));
}

TEST(WholeWarps, ThatRace) {
  const std::string row = "mul.wide.u32 %d0, %t, 4;\nadd.u64 %d0, %d0, %p0;\n";
  const std::string by_block = "mov.u32 %r2, %ctaid.x;\nmul.wide.u32 %d1, %r2, ";
  // Two blocks: one row, rows that overlap in one word, rows beside each other; all read one row, one writes it.
  for (const auto& [distance, races] : {std::pair(0, true), {124, true}, {128, false}}) {
    const std::string body =
        row + by_block + std::to_string(distance) + ";\nadd.u64 %d0, %d0, %d1;\nst.global.u32 [%d0], %t;\n";
    if (races) {
      EXPECT_THAT(FaultOf(body, {2}, {32}), AllOf(HasSubstr("race"), HasSubstr("write after write"))) << distance;
    } else {
      ExpectNoFault(body, {2}, {32});
    }
  }
  const std::string all_read = row + "ld.global.u32 %r3, [%d0];\n";
  ExpectNoFault(all_read, {3}, {32});
  EXPECT_THAT(
      FaultOf(all_read + by_block + "4;\nsetp.eq.u32 %q0, %r2, 1;\n@%q0 st.global.u32 [%d0], %r3;\n", {2}, {32}),
      AllOf(HasSubstr("race"), HasSubstr("write after read")));
  // Halves of words, whose rows begin in the middle of one: blocks share words and no bytes.
  const std::string halves = "mul.wide.u32 %d0, %t, 2;\nadd.u64 %d0, %d0, %p0;\n" + by_block +
                             "64;\nadd.u64 %d0, %d0, %d1;\nst.global.u16 [%d0+2], %t;\n";
  ExpectNoFault(halves, {2}, {32});
}

TEST(WholeWarps, ReadOneWordThatWasJustWritten) {
  const auto body = [](const std::string& between) {
    return std::string(kShared) + "setp.eq.u32 %q0, %t, 0;\n@%q0 st.shared.u32 [%r0], 1;\n" + between +
           "ld.shared.u32 %r2, [%r0];\n";
  };
  EXPECT_THAT(FaultOf(body(""), {1}, {32}), AllOf(HasSubstr("race"), HasSubstr("read after write")));
  ExpectNoFault(body("bar.warp.sync -1;\n"), {1}, {32});
}

TEST(Races, WriteAfterReadByOtherWarps) {
  // All warps read word 0, then thread 0 writes it: with a barrier between or not.
  const auto body = [](const std::string& between) {
    return std::string(kShared) +
           "setp.eq.u32 %q0, %t, 0;\n@%q0 st.shared.u32 [%r0], 1;\nbar.sync 0;\nld.shared.u32 %r2, [%r0];\n" + between +
           "@%q0 st.shared.u32 [%r0], 2;\n";
  };
  // Which of the two comes first depends on the order of the warps.
  EXPECT_THAT(FaultOf(body(""), {1}, {96}), AllOf(HasSubstr("race"), HasSubstr("shared")));
  ExpectNoFault(body("bar.sync 0;\n"), {1}, {96});
}

TEST(Races, SameValueIsNone) {
  ExpectNoFault(std::string(kShared) + "st.shared.u32 [%r0], 5;\n", {1}, {32});
  EXPECT_THAT(FaultOf(std::string(kShared) + "st.shared.u32 [%r0], %t;\n", {1}, {32}),
              AllOf(HasSubstr("race"), HasSubstr("write after write")));
}

TEST(Races, BetweenBlocks) {
  // Neighbouring bytes are no race, one byte is; atomics are none, atomics against plain reads are.
  ExpectNoFault("mov.u32 %r0, %ctaid.x;\ncvt.u64.u32 %d0, %r0;\nadd.u64 %d0, %d0, %p0;\nst.global.u8 [%d0], %r0;\n",
                {8}, {1});
  EXPECT_THAT(FaultOf("st.global.u32 [%p0], %t;\n", {2}, {1}), AllOf(HasSubstr("race"), HasSubstr("global")));
  ExpectNoFault("atom.global.add.u32 %r0, [%p0], 1;\n", {8}, {1});
  EXPECT_THAT(FaultOf("atom.global.add.u32 %r0, [%p0], 1;\nld.global.u32 %r1, [%p0];\n", {8}, {1}), HasSubstr("race"));
  EXPECT_THAT(FaultOf("mov.u32 %r0, %ctaid.x;\nsetp.eq.u32 %q0, %r0, 0;\n@%q0 st.global.u32 [%p0], 3;\n@!%q0 "
                      "ld.global.u32 %r1, [%p0];\n",
                      {2}, {1}),
              HasSubstr("race"));
}

TEST(Races, AFlagWithoutFenceOrdersNothing) {
  const auto body = [](const std::string& fence) {
    return "mov.u32 %r0, %ctaid.x;\nsetp.ne.u32 %q0, %r0, 0;\n@%q0 bra READ;\nst.global.u32 [%p0], 42;\n" + fence +
           "st.volatile.global.u32 [%p0+4], 1;\nbra DONE;\nREAD:\nld.volatile.global.u32 %r1, [%p0+4];\n"
           "setp.eq.u32 %q1, %r1, 0;\n@%q1 bra READ;\nmembar.gl;\nld.global.u32 %r2, [%p0];\nDONE:\n";
  };
  EXPECT_THAT(FaultOf(body(""), {2}, {1}), AllOf(HasSubstr("race"), HasSubstr("read after write")));
  ExpectNoFault(body("membar.gl;\n"), {2}, {1});
}

constexpr char kCopy[] = "cp.async.ca.shared.global [%r1], [%p0], 4;\ncp.async.commit_group;\n";

TEST(PendingCopy, TouchedOrLeftInFlight) {
  EXPECT_THAT(FaultOf(std::string(kShared) + kCopy + "ld.shared.u32 %r2, [%r1];\n", {1}, {32}), HasSubstr("cp.async"));
  EXPECT_THAT(FaultOf(std::string(kShared) + kCopy + kCopy, {1}, {32}), HasSubstr("cp.async"));
  EXPECT_THAT(FaultOf(std::string(kShared) + kCopy, {1}, {32}), HasSubstr("exit with cp.async in flight"));
  EXPECT_THAT(FaultOf(std::string(kShared) + kCopy + "cp.async.wait_group 1;\nld.shared.u32 %r2, [%r1];\n", {1}, {32}),
              HasSubstr("cp.async"));
  ExpectNoFault(std::string(kShared) + kCopy + "cp.async.wait_group 0;\nld.shared.u32 %r2, [%r1];\n", {1}, {32});
  // Awaited by the one who copies, not yet seen by the others.
  EXPECT_THAT(
      FaultOf(std::string(kShared) + kCopy +
                  "cp.async.wait_all;\nxor.b32 %r2, %t, 1;\nmad.lo.u32 %r2, %r2, 4, %r0;\nld.shared.u32 %r3, [%r2];\n",
              {1}, {32}),
      HasSubstr("race"));
}

TEST(Divergence, ShufflesAndBarriers) {
  const std::string half = "setp.lt.u32 %q0, %t, 16;\n";
  EXPECT_THAT(FaultOf(half + "@%q0 shfl.sync.bfly.b32 %r0, %t, 1, 31, -1;\n", {1}, {32}), HasSubstr("divergence"));
  EXPECT_THAT(FaultOf(half + "@%q0 bra L;\nbar.sync 0;\nbra E;\nL:\nadd.u32 %r0, %t, 1;\nbar.sync 0;\nE:\n", {1}, {32}),
              HasSubstr("divergence"));
  EXPECT_THAT(FaultOf(half + "@%q0 shfl.sync.idx.b32 %r0, %t, 20, 31, 0xffff;\n", {1}, {32}),
              AllOf(HasSubstr("divergence"), HasSubstr("reads lane 20")));
  EXPECT_THAT(FaultOf("shfl.sync.bfly.b32 %r0, %t, 1, 31, 0xffff;\n", {1}, {32}), HasSubstr("its own mask"));
  ExpectNoFault(half + "@%q0 shfl.sync.bfly.b32 %r0, %t, 1, 31, 0xffff;\n", {1}, {32});
  // Lanes that come later are waited for.
  ExpectNoFault(half + "@%q0 bra L;\nadd.u32 %r0, %t, 1;\nL:\nshfl.sync.bfly.b32 %r0, %t, 16, 31, -1;\n", {1}, {32});
}

TEST(Barriers, ThatAreNeverComplete) {
  EXPECT_THAT(FaultOf("setp.gt.u32 %q0, %t, 31;\n@%q0 bra L;\nbar.sync 1;\nbra E;\nL:\nbar.sync 2;\nE:\n", {1}, {64}),
              HasSubstr("never complete"));
  EXPECT_THAT(FaultOf("bar.sync 0, 96;\n", {1}, {64}), HasSubstr("never complete"));
  EXPECT_THAT(FaultOf("bar.sync 0, 20;\n", {1}, {32}), HasSubstr("no multiple of 32"));
}

TEST(Limits, OfTheLaunch) {
  EXPECT_THAT(FaultOf("", {1}, {1025}), HasSubstr("1025 threads a block, limit 1024"));
  EXPECT_THAT(FaultOf("L:\nbra L;\n", {1}, {32}, [](TestDevice& device) { device.options.instructions_max = 1000000; }),
              HasSubstr("no end"));
}

TEST(Unknown, OpcodesAndTypesAreNamed) {
  const auto error = [](const std::string& body) {
    TestDevice device;
    try {
      device.Load(KernelText(1, body));
    } catch (const ptx::Error& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(error("wgmma.fence.sync.aligned;\n"),
              AllOf(HasSubstr("wgmma.fence"), HasSubstr("unknown opcode"), HasSubstr("PTX line")));
  EXPECT_THAT(error("cp.async.bulk.commit_group;\n"), HasSubstr("not emulated"));
  EXPECT_THAT(error("add.f128 %r0, %r1, %r2;\n"), HasSubstr("add.f128"));
  EXPECT_THAT(error("bra NOWHERE;\n"), HasSubstr("NOWHERE"));
  EXPECT_THAT(error("mov.u32 %r0, nothing;\n"), HasSubstr("nothing"));
  EXPECT_THAT(error("mov.u32 %r0 %r1;\n"), HasSubstr("expected ','"));
}

TEST(Counters, SectorsAndWaves) {
  const auto count = [](const std::string& body) {
    TestDevice device;
    device.options.count = true;
    device.Load(KernelText(1, body));
    return device.Run("K", {1}, {32}, {device.Upload(std::vector<uint32_t>(4096))});
  };
  const auto strided = [](int stride) {
    return "mul.wide.u32 %d0, %t, " + std::to_string(stride) + ";\nadd.u64 %d0, %d0, %p0;\nld.global.u32 %r2, [%d0];\n";
  };
  EXPECT_EQ(count(strided(4)).global_sectors, 4u);
  EXPECT_EQ(count(strided(8)).global_sectors, 8u);
  EXPECT_EQ(count(strided(64)).global_sectors, 32u);
  EXPECT_EQ(count(strided(64)).global_ideal_sectors, 4u);
  const auto banks = [](int stride) {
    return ".shared .align 16 .b8 s[4096];\nmov.u32 %r0, s;\nmad.lo.u32 %r1, %t, " + std::to_string(stride) +
           ", %r0;\nst.shared.u32 [%r1], %t;\n";
  };
  EXPECT_EQ(count(banks(4)).shared_waves, 1u);
  EXPECT_EQ(count(banks(8)).shared_waves, 2u);
  EXPECT_EQ(count(banks(128)).shared_waves, 32u);
  EXPECT_EQ(count("").warp_instructions, 3u);  // mov, ld.param, ret
}

TEST(DeviceMemory, FaultsOnTheHost) {
  TestDevice device;
  const uint64_t word = device.Upload(std::vector<uint32_t>{1});
  // NOLINTNEXTLINE(performance-no-int-to-ptr): what must not be done
  EXPECT_DEATH(*reinterpret_cast<volatile uint32_t*>(word) = 1, "");
}

}  // namespace
}  // namespace emulation
