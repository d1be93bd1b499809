// Loads, stores, atomics and fences against plain C++.
#include <algorithm>

#include "tests/emulation/machine/floats.h"
#include "tests/emulation/machine/testing.h"

namespace emulation {
namespace {

// %d0: 8 bytes a thread into p0.
constexpr char kOwnAddress[] = "mul.wide.u32 %d0, %t, 8;\nadd.u64 %d0, %d0, %p0;\n";

OPCODE_TEST(ld) {
  TestDevice device;
  // Narrow loads extend into wide registers, with the sign where the type has one.
  device.Load(KernelText(2,
                         "ld.global.s8 %r0, [%p0];\nld.global.u8 %r1, [%p0];\nld.global.s16 %r2, "
                         "[%p0+2];\nld.global.s32 %d1, [%p0+4];\nld.global.v2.u16 {%h0, %h1}, [%p0];\n"
                         "cvt.u32.u16 %r3, %h1;\ncvt.u32.u64 %r4, %d1;\nshr.u64 %d2, %d1, 32;\ncvt.u32.u64 %r5, %d2;\n"
                         "st.global.v4.u32 [%p1], {%r0, %r1, %r2, %r3};\nst.global.v2.u32 [%p1+16], {%r4, %r5};\n"));
  const uint64_t in = device.Upload(std::vector<uint32_t>{0x8001ff80, 0xfffffffe}), out = device.Allocate(24);
  device.Run("K", {1}, {1}, {in, out});
  EXPECT_EQ(device.Download<uint32_t>(out, 6),
            (std::vector<uint32_t>{0xffffff80, 0x80, 0xffff8001, 0x8001, 0xfffffffe, 0xffffffff}));
}

OPCODE_TEST(ldu) {
  TestDevice device;
  device.Load(KernelText(2, "ldu.global.u32 %r0, [%p0];\nst.global.u32 [%p1], %r0;\n"));
  const uint64_t out = device.Allocate(4);
  device.Run("K", {1}, {1}, {device.Upload(std::vector<uint32_t>{5}), out});
  EXPECT_EQ(device.Download<uint32_t>(out, 1)[0], 5u);
}

OPCODE_TEST(st) {
  TestDevice device;
  // Through local and shared memory; the value is cut to the type.
  device.Load(
      KernelText(1, std::string(".local .align 8 .b8 l[16];\n.shared .align 8 .b8 s[512];\n") + kOwnAddress +
                        "add.u32 %r0, %t, 0x1ff;\nst.local.u32 [l+4], %r0;\nld.local.u8 %r1, [l+4];\nshl.b32 %r2, %t, "
                        "3;\nmov.u32 %r3, s;\nadd.u32 %r3, %r3, %r2;\n"
                        "st.shared.u8 [%r3], %r0;\nld.shared.u8 %r4, [%r3];\nst.global.v2.u32 [%d0], {%r1, %r4};\n"));
  const uint64_t out = device.Allocate(64 * 8);
  device.Run("K", {1}, {64}, {out});
  const std::vector<uint32_t> results = device.Download<uint32_t>(out, 128);
  for (uint32_t t = 0; t < 64; t++) {
    EXPECT_EQ(results[2 * t], (t + 0x1ff) & 0xff);
    EXPECT_EQ(results[2 * t + 1], (t + 0x1ff) & 0xff);
  }
}

// 96 threads in each of 4 blocks apply the operation to one word; returns the word and checks that the old values are a
// chain.
template <class T>
T Atomically(const std::string& op, const std::string& bits, T initial, const std::string& operands,
             bool shared = false) {
  TestDevice device;
  const std::string reg = sizeof(T) == 8 ? "%d5" : "%r5";
  std::string body = "cvt.u64.u32 %d6, %t;\nadd.u32 %r6, %t, 1;\nmov.u32 %r7, 0;\n";
  if (shared) {
    body += ".shared .align 8 .b8 s[8];\nsetp.ne.u32 %q0, %t, 0;\n@!%q0 ld.global." + bits + " " + reg +
            ", [%p0];\n@!%q0 st.shared." + bits + " [s], " + reg + ";\nbar.sync 0;\n" + op + " " + reg + ", [s]" +
            operands + ";\nbar.sync 0;\n@!%q0 ld.shared." + bits + " " + reg + ", [s];\n@!%q0 st.global." + bits +
            " [%p0], " + reg + ";\n";
  } else {
    body += op + " " + reg + ", [%p0]" + operands + ";\n";
  }
  device.Load(KernelText(1, body));
  const uint64_t word = device.Upload(std::vector<T>{initial});
  device.options.seed = 5;
  device.Run("K", {shared ? 1u : 4u}, {96}, {word});
  return device.Download<T>(word, 1)[0];
}

OPCODE_TEST(atom) {
  EXPECT_EQ(Atomically<uint32_t>("atom.global.add.u32", "u32", 7, ", %r6"), 7 + 4 * 96 * 97 / 2u);
  EXPECT_EQ(Atomically<uint32_t>("atom.shared.add.u32", "u32", 7, ", %r6", true), 7 + 96 * 97 / 2u);
  EXPECT_EQ(Atomically<uint64_t>("atom.global.add.u64", "u64", 1ull << 40, ", %d6"), (1ull << 40) + 4 * 95 * 96 / 2);
  EXPECT_EQ(Atomically<uint32_t>("atom.global.max.u32", "u32", 3, ", %r6"), 96u);
  EXPECT_EQ(Atomically<int32_t>("atom.global.min.s32", "s32", 3, ", -9"), -9);
  EXPECT_EQ(Atomically<uint32_t>("atom.global.inc.u32", "u32", 0, ", 9"), 4 * 96 % 10u);
  EXPECT_EQ(Atomically<uint32_t>("atom.global.dec.u32", "u32", 9, ", 9"), 9 - 4 * 96 % 10u);
  EXPECT_EQ(Atomically<uint32_t>("atom.global.or.b32", "b32", 0, ", %r6"), 127u);
  EXPECT_EQ(Atomically<uint32_t>("atom.global.and.b32", "b32", 0xff, ", 0x0f"), 0x0fu);
  EXPECT_EQ(Atomically<uint32_t>("atom.global.xor.b32", "b32", 1, ", 1"), 1u);
  EXPECT_EQ(Atomically<uint32_t>("atom.global.exch.b32", "b32", 1, ", 12"), 12u);
  // The first lane of whichever warp comes first.
  EXPECT_EQ(Atomically<uint32_t>("atom.global.cas.b32", "b32", 0, ", 0, %r6") % 32, 1u);
  EXPECT_EQ(Atomically<float>("atom.global.add.f32", "f32", 0.5F, ", 0f3F800000"), 384.5F);
  EXPECT_EQ(Atomically<double>("atom.global.add.f64", "f64", 0.5, ", 0d3FF0000000000000"), 384.5);
  EXPECT_EQ(Atomically<uint32_t>("atom.global.add.noftz.bf16x2", "b32", 0x3f800000, ", 0x00003f80"),
            0x3f804380u);  // 1 and, from 256 on, lost additions
}

OPCODE_TEST(red) {
  TestDevice device;
  device.Load(KernelText(1, "red.global.add.u32 [%p0], %t;\nred.global.max.u32 [%p0+4], %t;\n"));
  const uint64_t words = device.Upload(std::vector<uint32_t>{0, 0});
  device.Run("K", {2}, {64}, {words});
  EXPECT_EQ(device.Download<uint32_t>(words, 2), (std::vector<uint32_t>{63 * 64, 63}));
}

OPCODE_TEST(membar) {
  // Message passing between blocks: data, fence, flag; the reader waits for the flag, fences and reads. Any order of
  // the blocks.
  const std::string writer =
      "mov.u32 %r0, %ctaid.x;\nsetp.ne.u32 %q0, %r0, 0;\n@%q0 bra READ;\nst.global.u32 [%p0], "
      "42;\nmembar.gl;\nst.volatile.global.u32 [%p1], 1;\nbra DONE;\n";
  const std::string reader =
      "READ:\nld.volatile.global.u32 %r1, [%p1];\nsetp.eq.u32 %q1, %r1, 0;\n@%q1 bra READ;\nmembar.gl;\nld.global.u32 "
      "%r2, [%p0];\nst.global.u32 [%p2], %r2;\nDONE:\n";
  for (const uint64_t seed : {0, 1, 2, 3, 4, 5}) {
    TestDevice device;
    device.options.seed = seed;
    device.Load(KernelText(3, writer + reader));
    const uint64_t data = device.Upload(std::vector<uint32_t>{0}), flag = device.Upload(std::vector<uint32_t>{0}),
                   out = device.Allocate(4);
    device.Run("K", {2}, {1}, {data, flag, out});
    EXPECT_EQ(device.Download<uint32_t>(out, 1)[0], 42u);
  }
}

OPCODE_TEST(fence) {
  TestDevice device;
  device.Load(KernelText(1, "fence.acq_rel.gpu;\nfence.sc.cta;\nfence.proxy.async;\nst.global.u32 [%p0], 1;\n"));
  const uint64_t out = device.Allocate(4);
  device.Run("K", {1}, {1}, {out});
  EXPECT_EQ(device.Download<uint32_t>(out, 1)[0], 1u);
}

// Hints: an address that belongs to nobody is no error, and nothing changes.
#define HINT_TEST(name, text)                                                                    \
  OPCODE_TEST(name) {                                                                            \
    TestDevice device;                                                                           \
    device.Load(KernelText(1, text "\nld.global.u32 %r0, [%p0];\nst.global.u32 [%p0], %r0;\n")); \
    const uint64_t word = device.Upload(std::vector<uint32_t>{9});                               \
    device.Run("K", {1}, {1}, {word});                                                           \
    EXPECT_EQ(device.Download<uint32_t>(word, 1)[0], 9u);                                        \
  }
HINT_TEST(prefetch, "prefetch.global.L2 [%p0+100000];")
HINT_TEST(prefetchu, "prefetchu.L1 [%p0+100000];")
HINT_TEST(applypriority, "applypriority.global.L2::evict_normal [%p0], 128;")
HINT_TEST(discard, "discard.global.L2 [%p0+128], 128;")
HINT_TEST(pmevent, "pmevent 3;")
HINT_TEST(griddepcontrol, "griddepcontrol.wait;")
HINT_TEST(nanosleep, "nanosleep.u32 100;")

// As nvcc reads a struct that is __grid_constant__, and a large one of a function.
TEST(Parameters, AreReadThroughTheirAddress) {
  TestDevice device;
  device.Load(
      ".version 8.7\n.target sm_80\n.address_size 64\n"
      ".func (.param .b32 result) second(.param .align 4 .b8 pair[8]) {\n.reg .b64 %d<2>;\n.reg .b32 %r<2>;\n"
      "mov.b64 %d0, pair;\nld.param.u32 %r0, [%d0+4];\nst.param.b32 [result], %r0;\nret;\n}\n"
      ".visible .entry K(.param .u64 out, .param .align 8 .b8 values[24]) {\n.reg .b64 %d<5>;\n.reg .b32 %r<5>;\n"
      "ld.param.u64 %d0, [out];\nmov.b64 %d1, values;\nld.param.v2.u32 {%r0, %r1}, [%d1+8];\n"
      "cvta.param.u64 %d2, %d1;\nld.u32 %r2, [%d2+16];\n"
      "{ .param .align 4 .b8 a[8]; st.param.b32 [a], %r0; st.param.b32 [a+4], %r1; .param .b32 x; "
      "call.uni (x), second, (a); ld.param.b32 %r3, [x]; }\n"
      "st.global.v4.u32 [%d0], {%r0, %r1, %r2, %r3};\nret;\n}\n");
  const uint64_t out = device.Allocate(16);
  device.Run("K", {1}, {32}, {out, 0, 4ull << 32 | 3, 5});
  EXPECT_EQ(device.Download<uint32_t>(out, 4), (std::vector<uint32_t>{3, 4, 5, 4}));
}

TEST(ModuleVariables, AreInitialisedAndPointToEachOther) {
  TestDevice device;
  device.Load(
      ".version 8.7\n.target sm_80\n.address_size 64\n.global .align 4 .u32 count = 3;\n.const .align 4 .b8 table[8] = "
      "{1, 0, 0, 0, 2};\n"
      ".global .align 8 .u64 pointer = generic(count);\n.global .align 4 .b8 zeros[4];\n"
      ".visible .entry K(.param .u64 out) {\n.reg .b64 %d<4>;\n.reg .b32 %r<5>;\nld.param.u64 %d0, "
      "[out];\nld.global.u64 %d1, [pointer];\nld.u32 %r0, [%d1];\n"
      "ld.const.u32 %r1, [table+4];\nld.global.u32 %r2, [zeros];\nmov.u64 %d2, count;\nsub.u64 %d3, %d2, "
      "%d1;\ncvt.u32.u64 %r3, %d3;\nst.global.v4.u32 [%d0], {%r0, %r1, %r2, %r3};\nret;\n}\n");
  const uint64_t out = device.Allocate(16);
  device.Run("K", {1}, {1}, {out});
  EXPECT_EQ(device.Download<uint32_t>(out, 4), (std::vector<uint32_t>{3, 2, 0, 0}));
}

}  // namespace
}  // namespace emulation
