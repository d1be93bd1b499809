// Instructions across a warp, barriers, branches, calls.
#include <gmock/gmock.h>

#include <algorithm>
#include <bit>
#include <numeric>

#include "tests/emulation/machine/testing.h"

namespace emulation {
namespace {

// Runs `body`, which leaves its result in %r9, for one warp whose lane l finds values[l] in %r0.
std::vector<uint32_t> RunWarpOf(const std::string& body, const std::vector<uint32_t>& values, Options options = {}) {
  TestDevice device;
  device.options = options;
  device.Load(KernelText(
      2, "mul.wide.u32 %d0, %t, 4;\nadd.u64 %d1, %d0, %p0;\nadd.u64 %d2, %d0, %p1;\nld.global.u32 %r0, [%d1];\n" +
             body + "\nst.global.u32 [%d2], %r9;\n"));
  const uint64_t out = device.Allocate(values.size() * 4);
  device.Run("K", {1}, {static_cast<uint32_t>(values.size())}, {device.Upload(values), out});
  return device.Download<uint32_t>(out, values.size());
}

std::vector<uint32_t> Numbers() {
  std::vector<uint32_t> values(32);
  for (uint32_t k = 0; k < 32; k++) values[k] = k * k + 7;
  return values;
}

OPCODE_TEST(shfl) {
  const std::vector<uint32_t> v = Numbers();
  const std::vector<uint32_t> up =
      RunWarpOf("shfl.sync.up.b32 %r9|%q0, %r0, 3, 0, -1;\n@!%q0 add.u32 %r9, %r9, 1000;", v);
  const std::vector<uint32_t> down = RunWarpOf("shfl.sync.down.b32 %r9, %r0, 5, 31, -1;", v);
  const std::vector<uint32_t> cross = RunWarpOf("shfl.sync.bfly.b32 %r9, %r0, 9, 31, -1;", v);
  const std::vector<uint32_t> index =
      RunWarpOf("shfl.sync.idx.b32 %r9, %r0, %t, 0x181f, -1;", v);  // segments of 8: lane & 7 of each
  const std::vector<uint32_t> segment = RunWarpOf("shfl.sync.down.b32 %r9, %r0, 2, 0x181f, -1;", v);
  for (uint32_t k = 0; k < 32; k++) {
    EXPECT_EQ(up[k], k < 3 ? v[k] + 1000 : v[k - 3]);
    EXPECT_EQ(down[k], k + 5 < 32 ? v[k + 5] : v[k]);
    EXPECT_EQ(cross[k], v[k ^ 9]);
    EXPECT_EQ(index[k], v[k]);
    EXPECT_EQ(segment[k], k % 8 < 6 ? v[k + 2] : v[k]);
  }
}

OPCODE_TEST(vote) {
  const std::vector<uint32_t> v = Numbers();
  Mask even = 0;
  for (uint32_t k = 0; k < 32; k++) even |= (v[k] % 2 == 0 ? 1u : 0u) << k;
  const std::string parity = "and.b32 %r1, %r0, 1;\nsetp.eq.u32 %q0, %r1, 0;\n";
  EXPECT_EQ(RunWarpOf(parity + "vote.sync.ballot.b32 %r9, %q0, -1;", v)[5], even);
  EXPECT_EQ(RunWarpOf(parity + "vote.sync.any.pred %q1, %q0, -1;\nselp.u32 %r9, 1, 0, %q1;", v)[0], 1u);
  EXPECT_EQ(RunWarpOf(parity + "vote.sync.all.pred %q1, %q0, -1;\nselp.u32 %r9, 1, 0, %q1;", v)[0], 0u);
  EXPECT_EQ(RunWarpOf(parity + "vote.sync.uni.pred %q1, !%q0, -1;\nselp.u32 %r9, 1, 0, %q1;", v)[0], 0u);
}

OPCODE_TEST(match) {
  std::vector<uint32_t> v(32);
  for (uint32_t k = 0; k < 32; k++) v[k] = k % 5;
  const std::vector<uint32_t> any = RunWarpOf("match.any.sync.b32 %r9, %r0, -1;", v);
  for (uint32_t k = 0; k < 32; k++) {
    Mask same = 0;
    for (uint32_t other = 0; other < 32; other++) same |= (v[other] == v[k] ? 1u : 0u) << other;
    EXPECT_EQ(any[k], same);
  }
  EXPECT_EQ(RunWarpOf("match.all.sync.b32 %r9|%q0, %r0, -1;", v)[0], 0u);
}

OPCODE_TEST(redux) {
  const std::vector<uint32_t> v = Numbers();
  EXPECT_EQ(RunWarpOf("redux.sync.add.u32 %r9, %r0, -1;", v)[7], std::accumulate(v.begin(), v.end(), 0u));
  EXPECT_EQ(RunWarpOf("redux.sync.max.s32 %r9, %r0, -1;", v)[7], v[31]);
  EXPECT_EQ(RunWarpOf("redux.sync.min.u32 %r9, %r0, -1;", v)[7], v[0]);
  EXPECT_EQ(RunWarpOf("redux.sync.xor.b32 %r9, %r0, -1;", v)[7],
            std::accumulate(v.begin(), v.end(), 0u, std::bit_xor<>()));
}

OPCODE_TEST(activemask) {
  const std::vector<uint32_t> r =
      RunWarpOf("setp.lt.u32 %q0, %t, 10;\nmov.u32 %r9, 0;\n@%q0 activemask.b32 %r9;", Numbers());
  EXPECT_EQ(r[3], (1u << 10) - 1);
  EXPECT_EQ(r[10], 0u);
}

OPCODE_TEST(elect) {
  const std::vector<uint32_t> r = RunWarpOf("elect.sync %r1|%q0, -1;\nselp.u32 %r9, 1, 0, %q0;", Numbers());
  EXPECT_EQ(std::accumulate(r.begin(), r.end(), 0u), 1u);
}

// Lanes take different ways of different length and meet again, in order and when they run apart in random order.
constexpr char kCollatz[] = R"(
mov.u32 %r9, 0;
LOOP:
setp.eq.u32 %q0, %r0, 1;
@%q0 bra DONE;
and.b32 %r1, %r0, 1;
setp.eq.u32 %q1, %r1, 0;
@%q1 bra EVEN;
mad.lo.u32 %r0, %r0, 3, 1;
bra NEXT;
EVEN:
shr.u32 %r0, %r0, 1;
NEXT:
add.u32 %r9, %r9, 1;
bra LOOP;
DONE:
redux.sync.max.u32 %r2, %r9, -1;
shl.b32 %r2, %r2, 16;
or.b32 %r9, %r9, %r2;
)";

OPCODE_TEST(bra) {
  for (const bool split : {false, true}) {
    Options options;
    options.split_warps = split;
    options.seed = 9;
    const std::vector<uint32_t> r = RunWarpOf(kCollatz, Numbers(), options);
    std::vector<uint32_t> steps;
    for (uint32_t n : Numbers()) {
      steps.push_back(0);
      for (; n != 1; n = n % 2 == 0 ? n / 2 : 3 * n + 1) steps.back()++;
    }
    const uint32_t most = *std::max_element(steps.begin(), steps.end());
    for (uint32_t k = 0; k < 32; k++) EXPECT_EQ(r[k], steps[k] | most << 16) << split;
  }
}

OPCODE_TEST(brx) {
  const std::vector<uint32_t> r = RunWarpOf(
      "and.b32 %r1, %t, 3;\nts: .branchtargets L0, L1, L2, L1;\nbrx.idx %r1, ts;\nL0:\nmov.u32 %r9, 100;\nbra "
      "END;\nL1:\nmov.u32 %r9, 101;\nbra END;\nL2:\nmov.u32 %r9, 102;\nEND:",
      Numbers());
  for (uint32_t k = 0; k < 32; k++) EXPECT_EQ(r[k], (k & 3) == 0 ? 100u : (k & 3) == 2 ? 102u : 101u);
}

// fib by recursion, called directly and through a pointer, by lanes that need different depths.
constexpr char kCalls[] = R"(
.version 8.7
.target sm_80
.address_size 64
.func (.param .b32 result) fib(.param .b32 n) {
.reg .pred %q; .reg .b32 %r<5>;
ld.param.u32 %r0, [n];
setp.lt.u32 %q, %r0, 2;
@%q bra SMALL;
sub.u32 %r1, %r0, 1;
sub.u32 %r2, %r0, 2;
{ .param .b32 a; st.param.b32 [a], %r1; .param .b32 x; call.uni (x), fib, (a); ld.param.b32 %r3, [x]; }
{ .param .b32 a; st.param.b32 [a], %r2; .param .b32 x; call.uni (x), fib, (a); ld.param.b32 %r4, [x]; }
add.u32 %r0, %r3, %r4;
SMALL:
st.param.b32 [result], %r0;
ret;
}
.visible .entry K(.param .u64 out) {
.reg .b64 %d<4>; .reg .b32 %r<4>;
ld.param.u64 %d0, [out];
mov.u32 %r0, %tid.x;
rem.u32 %r1, %r0, 9;
{ .param .b32 a; st.param.b32 [a], %r1; .param .b32 x; call.uni (x), fib, (a); ld.param.b32 %r2, [x]; }
mov.u64 %d1, fib;
{ .param .b32 a; st.param.b32 [a], %r0; .param .b32 x; prototype : .callprototype (.param .b32 _) _ (.param .b32 _);
  and.b32 %r3, %r0, 3; st.param.b32 [a], %r3; call (x), %d1, (a), prototype; ld.param.b32 %r3, [x]; }
mul.wide.u32 %d2, %r0, 8;
add.u64 %d2, %d2, %d0;
st.global.v2.u32 [%d2], {%r2, %r3};
exit;
}
)";

uint32_t Fibonacci(uint32_t n) { return n < 2 ? n : Fibonacci(n - 1) + Fibonacci(n - 2); }

OPCODE_TEST(call) {
  TestDevice device;
  device.Load(kCalls);
  const uint64_t out = device.Allocate(64 * 8);
  device.Run("K", {1}, {64}, {out});
  const std::vector<uint32_t> r = device.Download<uint32_t>(out, 128);
  for (uint32_t t = 0; t < 64; t++) {
    EXPECT_EQ(r[2 * t], Fibonacci(t % 9));
    EXPECT_EQ(r[2 * t + 1], Fibonacci(t & 3));
  }
}

OPCODE_TEST(ret) {
  TestDevice device;
  device.Load(KernelText(1, "setp.gt.u32 %q0, %t, 4;\n@%q0 ret;\nred.global.add.u32 [%p0], 1;\n"));
  const uint64_t word = device.Upload(std::vector<uint32_t>{0});
  device.Run("K", {1}, {40}, {word});
  EXPECT_EQ(device.Download<uint32_t>(word, 1)[0], 5u);
}

OPCODE_TEST(exit) {
  TestDevice device;
  // Warps that have exited count as arrived at the barrier of the others.
  device.Load(KernelText(1, "setp.gt.u32 %q0, %t, 31;\n@%q0 exit;\nbar.sync 0;\nred.global.add.u32 [%p0], 1;\n"));
  const uint64_t word = device.Upload(std::vector<uint32_t>{0});
  device.Run("K", {1}, {96}, {word});
  EXPECT_EQ(device.Download<uint32_t>(word, 1)[0], 32u);
}

OPCODE_TEST(trap) {
  TestDevice device;
  device.Load(KernelText(1, "setp.eq.u32 %q0, %t, 33;\n@%q0 trap;\n"));
  EXPECT_THAT(device.Fault("K", {1}, {64}, {0}), testing::HasSubstr("thread (33,0,0)"));
}

OPCODE_TEST(brkpt) {
  TestDevice device;
  device.Load(KernelText(1, "brkpt;\n"));
  EXPECT_THAT(device.Fault("K", {1}, {1}, {0}), testing::HasSubstr("trap"));
}

OPCODE_TEST(bar) {
  TestDevice device;
  device.options.seed = 3;
  // Reversal through shared memory; bar.red counts and combines over the block.
  device.Load(
      KernelText(1,
                 ".shared .align 4 .b8 s[512];\nmov.u32 %r0, s;\nshl.b32 %r1, %t, 2;\nadd.u32 %r2, %r0, "
                 "%r1;\nst.shared.u32 [%r2], %t;\nbar.sync 0;\nsub.u32 %r3, 127, %t;\nshl.b32 %r3, %r3, 2;\n"
                 "add.u32 %r3, %r0, %r3;\nld.shared.u32 %r4, [%r3];\nsetp.lt.u32 %q0, %t, 50;\nbar.red.popc.u32 %r5, "
                 "1, %q0;\nbar.red.or.pred %q1, 2, %q0;\nbar.red.and.pred %q2, 2, %q0;\nbar.warp.sync -1;\n"
                 "selp.u32 %r6, 1, 0, %q1;\nselp.u32 %r7, 1, 0, %q2;\nmul.wide.u32 %d0, %t, 16;\nadd.u64 %d0, %d0, "
                 "%p0;\nst.global.v4.u32 [%d0], {%r4, %r5, %r6, %r7};\n"));
  const uint64_t out = device.Allocate(128 * 16);
  device.Run("K", {1}, {128}, {out});
  const std::vector<uint32_t> r = device.Download<uint32_t>(out, 512);
  for (uint32_t t = 0; t < 128; t++) {
    EXPECT_EQ(r[4 * t], 127 - t);
    EXPECT_EQ(r[4 * t + 1], 50u);
    EXPECT_EQ(r[4 * t + 2], 1u);
    EXPECT_EQ(r[4 * t + 3], 0u);
  }
}

OPCODE_TEST(barrier) {
  TestDevice device;
  // Producer and consumer warps with named barriers: bar.arrive by the one, barrier.sync by the other.
  device.Load(KernelText(1,
                         ".shared .align 4 .b8 s[128];\nmov.u32 %r0, s;\nand.b32 %r1, %t, 31;\nshl.b32 %r1, %r1, "
                         "2;\nadd.u32 %r0, %r0, %r1;\nsetp.gt.u32 %q0, %t, 31;\n@%q0 bra CONSUME;\n"
                         "st.shared.u32 [%r0], %t;\nbar.arrive 3, 64;\nbra DONE;\nCONSUME:\nbarrier.sync 3, "
                         "64;\nld.shared.u32 %r2, [%r0];\nred.global.add.u32 [%p0], %r2;\nDONE:\n"));
  const uint64_t word = device.Upload(std::vector<uint32_t>{0});
  for (const uint64_t seed : {0, 1, 2, 3}) {
    device.options.seed = seed;
    device.Run("K", {1}, {64}, {word});
  }
  EXPECT_EQ(device.Download<uint32_t>(word, 1)[0], 4 * 31 * 32 / 2u);
}

TEST(Special, RegistersSayWhoAndWhere) {
  TestDevice device;
  device.Load(KernelText(
      1,
      "mov.u32 %r0, %tid.y;\nmov.u32 %r1, %ctaid.z;\nmov.u32 %r2, %laneid;\nmov.u32 %r3, %lanemask_lt;\nmov.u32 %r4, "
      "%ntid.y;\nmov.u32 %r5, %nctaid.z;\n"
      "mad.lo.u32 %r6, %r0, %ntid.x, %t;\nmad.lo.u32 %r6, %r1, 64, %r6;\nmul.wide.u32 %d0, %r6, 16;\nadd.u64 %d0, %d0, "
      "%p0;\nmad.lo.u32 %r7, %r4, 16, %r5;\nst.global.v4.u32 [%d0], {%r1, %r2, %r3, %r7};\n"));
  const uint64_t out = device.Allocate(3 * 64 * 16);
  device.Run("K", {1, 1, 3}, {16, 4}, {out});
  const std::vector<uint32_t> r = device.Download<uint32_t>(out, 3 * 64 * 4);
  for (uint32_t k = 0; k < 192; k++) {
    EXPECT_EQ(r[4 * k], k / 64);
    EXPECT_EQ(r[4 * k + 1], k % 32);
    EXPECT_EQ(r[4 * k + 2], (1u << k % 32) - 1);
    EXPECT_EQ(r[4 * k + 3], 4 * 16 + 3u);
  }
}

}  // namespace
}  // namespace emulation
