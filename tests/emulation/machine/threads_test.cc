// Several threads launch kernels of one program on one device, as streams and ranks do, while another allocates: run
// under ThreadSanitizer as well.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/emulation/machine/testing.h"
#include "tests/emulation/ptx/parser.h"

namespace emulation {
namespace {

constexpr int kThreads = 4, kLaunches = 20, kWords = 4 * 64;

TEST(Threads, LaunchOneProgramOnOneDevice) {
  DeviceMemory memory(64 << 20);
  const std::unique_ptr<ptx::Module> module = ptx::Parse(
      KernelText(1,
                 ".shared .align 4 .b8 s[256];\nmov.u32 %r0, s;\nmad.lo.u32 %r1, %t, 4, %r0;\n"
                 "mov.u32 %r2, %ctaid.x;\nmad.lo.u32 %r3, %r2, 64, %t;\nmul.wide.u32 %d0, %r3, 4;\n"
                 "add.u64 %d0, %d0, %p0;\nld.global.u32 %r4, [%d0];\nst.shared.u32 [%r1], %r4;\nbar.sync 0;\n"
                 "ld.shared.u32 %r5, [%r1];\nadd.u32 %r5, %r5, %r3;\nst.global.u32 [%d0], %r5;\n"));
  const std::unique_ptr<Program> program = LoadProgram(*module, memory);
  std::atomic<bool> working = true;
  std::thread other([&] {
    while (working) memory.Free(memory.Allocate(4096));
  });
  std::vector<std::thread> threads;
  for (int k = 0; k < kThreads; k++) {
    threads.emplace_back([&, k] {
      const uint64_t words = memory.Allocate(kWords * sizeof(uint32_t));
      memory.MarkWritten(words, kWords * sizeof(uint32_t));
      memset(memory.Host(words), 0, kWords * sizeof(uint32_t));
      Options options;
      options.count = true;
      options.seed = k;
      for (int turn = 0; turn < kLaunches; turn++)
        Launch(*program, *program->Kernel("K"), {{kWords / 64}, {64}, Pack(words).block}, memory, options);
      const auto* values = reinterpret_cast<const uint32_t*>(memory.Host(words));
      for (uint32_t i = 0; i < kWords; i++) EXPECT_EQ(values[i], kLaunches * i) << "thread " << k;
      memory.Free(words);
    });
  }
  for (std::thread& thread : threads) thread.join();
  working = false;
  other.join();
}

}  // namespace
}  // namespace emulation
