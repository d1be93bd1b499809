// Programs that nvcc linked against the real libcudart run unchanged on the emulated one.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "common/testing/paths.h"
#include "tests/emulation/programs/run_program.h"

namespace emulation {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const char* const kOrders[] = {"eager", "late", "seeded"};

class RightPrograms : public testing::TestWithParam<const char*> {};

TEST_P(RightPrograms, PassInEveryOrderOfTheStreams) {
  for (const std::string order : kOrders) {
    const ProgramResult result = RunProgram("runtime", GetParam(),
                                            {{"EMULATED_GPU_STREAMS", order},
                                             {"EMULATED_GPU_SEED", "3"},
                                             {"EMULATED_GPU_COUNT", "3"},
                                             {"EMULATED_GPU_MEMORY", "2GiB"}});
    EXPECT_EQ(result.status, 0) << order << ": " << result.output;
    EXPECT_THAT(result.output, HasSubstr("passed")) << order;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, RightPrograms,
                         testing::Values("basics", "properties", "symbols", "events", "default_stream", "graphs",
                                         "capture_broken", "out_of_memory", "local_memory", "shared_memory",
                                         "cooperative", "threads", "errors", "query", "refused"),
                         [](const auto& setting) { return std::string(setting.param); });

struct HostBug {
  std::string name;
  std::string order;   // in which it is found
  std::string finder;  // in the output
};

class HostBugs : public testing::TestWithParam<HostBug> {};

TEST_P(HostBugs, AreFoundAndTheirRightVersionsPass) {
  const HostBug& bug = GetParam();
  const Variables variables = {{"EMULATED_GPU_STREAMS", bug.order}, {"EMULATED_GPU_SEED", "1"}};
  const ProgramResult wrong = RunProgram("host_bugs", bug.name, variables);
  EXPECT_NE(wrong.status, 0) << wrong.output;
  EXPECT_THAT(wrong.output, HasSubstr(bug.finder));
  EXPECT_THAT(wrong.output, testing::Not(HasSubstr("passed")));
  printf("%-30s %s", bug.name.c_str(), wrong.output.c_str());
  for (const std::string order : kOrders) {
    const ProgramResult right =
        RunProgram("host_bugs", bug.name + "_right", {{"EMULATED_GPU_STREAMS", order}, {"EMULATED_GPU_SEED", "1"}});
    EXPECT_EQ(right.status, 0) << order << ": " << right.output;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, HostBugs,
                         testing::Values(HostBug{"staging_reused", "late", "host mistake: 1024 bytes of pinned memory"},
                                         HostBug{"wait_missing", "late", "never written"},
                                         HostBug{"wait_missing_later", "late", "does not hold"},
                                         HostBug{"synchronize_missing", "late", "does not hold"},
                                         HostBug{"wrong_stream_synchronized", "late", "does not hold"},
                                         HostBug{"event_before_record", "late", "never written"},
                                         HostBug{"host_pointer_on_device", "eager", "to no allocation of this device"},
                                         HostBug{"copy_too_long", "eager", "a copy of 1028 bytes"},
                                         HostBug{"use_after_free", "eager", "out of bounds"},
                                         HostBug{"sticky", "eager", "cudaErrorIllegalAddress"}),
                         [](const auto& setting) { return setting.param.name; });

TEST(DevicePointers, FaultOnTheHost) {
  EXPECT_EQ(RunProgram("host_bugs", "device_pointer_on_host").status, 128 + SIGSEGV);
  EXPECT_EQ(RunProgram("host_bugs", "device_pointer_on_host_right").status, 0);
}

// Nobody sees these without the declarations, which nobody reads without the tool.
TEST(Regions, PiecesOfAnArenaAreBoundsOfTheirOwn) {
  const Variables tool = {{"NVTX_INJECTION64_PATH", headroom::BinaryDir() + "/emulation/lib/libcudart.so.13"}};
  EXPECT_EQ(RunProgram("regions", "kernel").status, 0);
  EXPECT_THAT(RunProgram("regions", "kernel", tool).output,
              HasSubstr("out of bounds: global access of 4 bytes, 4000 bytes into region 'weights' of 4000 bytes"));
  EXPECT_THAT(RunProgram("regions", "copy", tool).output, HasSubstr("a copy of 4001 bytes"));
  EXPECT_THAT(RunProgram("regions", "shrink", tool).output,
              HasSubstr("2000 bytes into region 'weights' of 2000 bytes"));
  EXPECT_THAT(RunProgram("regions", "unregister", tool).output, HasSubstr("out of bounds"));
  for (const char* right : {"kernel_right", "copy_right", "shrink_right", "grow_right", "unregister_right"}) {
    const ProgramResult result = RunProgram("regions", right, tool);
    EXPECT_EQ(result.status, 0) << result.output;
  }
}

TEST(Settings, AreSeenByTheProgram) {
  const ProgramResult result = RunProgram("runtime", "properties",
                                          {{"EMULATED_GPU_COUNT", "2"},
                                           {"EMULATED_GPU_NAME", "Card"},
                                           {"EMULATED_GPU_CAPABILITY", "9.0"},
                                           {"EMULATED_GPU_MEMORY", "3GiB"}});
  EXPECT_THAT(result.output, HasSubstr("2 devices, Card, 9.0, 3221225472 bytes"));
  const ProgramResult bad = RunProgram("runtime", "properties", {{"EMULATED_GPU_MEMORY", "much"}});
  EXPECT_EQ(bad.status, 2);
  EXPECT_THAT(bad.output, HasSubstr("EMULATED_GPU_MEMORY='much'"));
}

TEST(VisibleDevices, AreThoseThatTheVariableNames) {
  const auto seen = [](const std::string& visible) {
    return RunProgram("runtime", "visible", {{"EMULATED_GPU_COUNT", "3"}, {"CUDA_VISIBLE_DEVICES", visible}}).output;
  };
  const std::string all = RunProgram("runtime", "visible", {{"EMULATED_GPU_COUNT", "3"}}).output;
  const std::vector<std::string> uuids = {all.substr(0, 40), all.substr(41, 40), all.substr(82, 40)};
  for (const std::string& uuid : uuids) ASSERT_EQ(uuid.substr(0, 4), "GPU-") << all;
  EXPECT_EQ(all, uuids[0] + "\n" + uuids[1] + "\n" + uuids[2] + "\npassed\n");
  EXPECT_EQ(seen("2,0"), uuids[2] + "\n" + uuids[0] + "\npassed\n");
  EXPECT_EQ(seen(uuids[1]), uuids[1] + "\npassed\n");
  // What names no card ends the list.
  EXPECT_EQ(seen("1,7,0"), uuids[1] + "\npassed\n");
  EXPECT_THAT(seen(""), HasSubstr("cudaErrorNoDevice"));
  EXPECT_THAT(seen("-1"), HasSubstr("cudaErrorNoDevice"));
}

TEST(Faults, HappenOnDemand) {
  EXPECT_THAT(RunProgram("runtime", "basics", {{"EMULATED_GPU_FAULTS", "malloc:2"}}).output,
              HasSubstr("cudaErrorMemoryAllocation"));
  EXPECT_THAT(RunProgram("runtime", "basics", {{"EMULATED_GPU_FAULTS", "hostalloc:1"}}).output,
              HasSubstr("cudaErrorMemoryAllocation"));
  EXPECT_THAT(RunProgram("runtime", "basics", {{"EMULATED_GPU_FAULTS", "launch:1"}}).output,
              AllOf(HasSubstr("fails on demand"), HasSubstr("cudaErrorLaunchFailure")));
  EXPECT_THAT(RunProgram("runtime", "basics", {{"EMULATED_GPU_FAULTS", "ecc:1"}}).output,
              HasSubstr("cudaErrorECCUncorrectable"));
  EXPECT_THAT(RunProgram("runtime", "basics", {{"EMULATED_GPU_FAULTS", "xid:1"}}).output,
              AllOf(HasSubstr("fallen off its bus"), HasSubstr("cudaErrorDevicesUnavailable")));
  EXPECT_THAT(RunProgram("runtime", "basics", {{"EMULATED_GPU_FAULTS", "fire:1"}}).output, HasSubstr("is wanted"));
}

TEST(Faults, ASlowStreamIsNotReadyAtFirst) {
  EXPECT_THAT(RunProgram("runtime", "query", {{"EMULATED_GPU_SLOW", "20"}}).output,
              AllOf(HasSubstr("cudaErrorNotReady at first"), HasSubstr("passed")));
  EXPECT_THAT(RunProgram("runtime", "query").output, AllOf(HasSubstr("cudaSuccess at first"), HasSubstr("passed")));
  EXPECT_EQ(RunProgram("runtime", "graphs", {{"EMULATED_GPU_SLOW", "2"}}).status, 0);
}

TEST(Faults, OthersTakeMemory) {
  const auto free_bytes = [](const std::string& others) {
    return RunProgram("runtime", "print_free",
                      {{"EMULATED_GPU_MEMORY", "2GiB"}, {"EMULATED_GPU_CONTEXT", "0"}, {"EMULATED_GPU_OTHERS", others}})
        .output;
  };
  EXPECT_THAT(free_bytes("0"), HasSubstr("free 2147483648\n"));
  EXPECT_THAT(free_bytes("1GiB"), HasSubstr("free 1073741824\n"));
  EXPECT_THAT(free_bytes("2GiB"), HasSubstr("free 0\n"));
  EXPECT_THAT(RunProgram("runtime", "basics", {{"EMULATED_GPU_OTHERS", "8GiB"}}).output,
              HasSubstr("cudaErrorMemoryAllocation"));
}

TEST(Architectures, TheHighestThatTheCapabilityRunsIsTaken) {
  for (const std::string capability : {"8.0", "8.9", "9.0"}) {
    EXPECT_EQ(RunProgram("runtime", "basics", {{"EMULATED_GPU_CAPABILITY", capability}}).status, 0) << capability;
  }
  EXPECT_THAT(RunProgram("runtime", "basics", {{"EMULATED_GPU_CAPABILITY", "7.5"}}).output,
              HasSubstr("no PTX for capability 7.5"));
}

// A folder in which processes that name the same device meet.
class SharedCard : public testing::Test {
 public:
  SharedCard() : folder_(testing::TempDir() + "emulated-gpu-" + std::to_string(getpid())), pipe_(folder_ + "/pipe") {
    mkdir(folder_.c_str(), 0700);
  }
  ~SharedCard() override {
    unlink((folder_ + "/Emulated GPU.0").c_str());
    unlink(pipe_.c_str());
    rmdir(folder_.c_str());
  }
  Variables With(const std::string& name = "", const std::string& value = "") const {
    Variables variables = {
        {"EMULATED_GPU_STATE", folder_}, {"EMULATED_GPU_MEMORY", "1GiB"}, {"EMULATED_GPU_CONTEXT", "100MiB"}};
    if (!name.empty()) variables[name] = value;
    return variables;
  }
  uint64_t Free() const {
    const std::string output = RunProgram("runtime", "print_free", With()).output;
    EXPECT_THAT(output, HasSubstr("free "));
    return strtoull(output.c_str() + output.find("free ") + 5, nullptr, 10);
  }

 protected:
  std::string folder_, pipe_;
};

constexpr uint64_t kMiB = 1 << 20;

TEST_F(SharedCard, ProcessesShareTheBytesWhileTheyLive) {
  EXPECT_EQ(Free(), (1024 - 100) * kMiB);
  // The holder reads from a pipe and ends with it.
  ASSERT_EQ(mkfifo(pipe_.c_str(), 0600), 0);
  FILE* holder = popen((CommandLine("runtime", "hold", With("HOLD_BYTES", "0x10000000")) + " <" + pipe_).c_str(), "r");
  const int hold = open(pipe_.c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_GE(hold, 0);
  char line[64];
  ASSERT_NE(fgets(line, sizeof line, holder), nullptr);
  EXPECT_STREQ(line, "holding\n");
  EXPECT_EQ(Free(), (1024 - 2 * 100 - 256) * kMiB);
  const ProgramResult refused =
      RunProgram("runtime", "hold </dev/null", With("HOLD_BYTES", std::to_string(569 * kMiB)));
  EXPECT_THAT(refused.output, HasSubstr("cudaErrorMemoryAllocation"));
  close(hold);
  pclose(holder);
  EXPECT_EQ(Free(), (1024 - 100) * kMiB);
}

TEST_F(SharedCard, ADeadProcessHoldsNothing) {
  Variables variables = With("HOLD_BYTES", "0x10000000");
  variables["HOLD_AND_DIE"] = "1";
  EXPECT_EQ(RunProgram("runtime", "hold", variables).status, 128 + SIGABRT);
  EXPECT_EQ(Free(), (1024 - 100) * kMiB);
}

TEST(Reports, CountersAndCoverage) {
  const std::string base = testing::TempDir() + "emulated-gpu-report-" + std::to_string(getpid());
  RunProgram("runtime", "basics",
             {{"EMULATED_GPU_COUNTERS", base + ".json"}, {"EMULATED_GPU_COVERAGE", base + ".info"}});
  const auto read = [](const std::string& path) {
    std::string text(1 << 20, 0);
    FILE* file = fopen(path.c_str(), "r");
    if (file == nullptr) return std::string();
    text.resize(fread(text.data(), 1, text.size(), file));
    fclose(file);
    unlink(path.c_str());
    return text;
  };
  EXPECT_THAT(read(base + ".json"),
              AllOf(HasSubstr("Axpy"), HasSubstr("\"launches\": 1,"), HasSubstr("\"global_sectors\": ")));
  EXPECT_THAT(read(base + ".info"), AllOf(HasSubstr("runtime.cu"), HasSubstr("DA:"), HasSubstr("end_of_record")));
}

}  // namespace
}  // namespace emulation
