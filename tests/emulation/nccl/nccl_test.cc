// Programs linked with the real NCCL run on the emulated one: ranks as threads, as processes, and as devices of one
// thread.
#include <gmock/gmock.h>

#include <csignal>

#include "tests/emulation/programs/run_program.h"

namespace emulation {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;

Variables With(Variables more) {
  Variables variables = {{"EMULATED_GPU_COUNT", "3"}, {"EMULATED_GPU_SEED", "7"}, {"EMULATED_GPU_MEMORY", "2GiB"}};
  variables.merge(more);
  return variables;
}

struct RankCase {
  const char *program, *name;
};

class NcclPrograms : public testing::TestWithParam<RankCase> {};

TEST_P(NcclPrograms, PassInEveryOrderOfTheStreams) {
  for (const std::string order : {"eager", "late", "seeded"}) {
    const ProgramResult result =
        RunProgram(GetParam().program, GetParam().name, With({{"EMULATED_GPU_STREAMS", order}}));
    EXPECT_EQ(result.status, 0) << order << ": " << result.output;
    EXPECT_THAT(result.output, HasSubstr("passed")) << order;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, NcclPrograms,
    testing::Values(RankCase{"collectives", "threads"}, RankCase{"collectives", "processes"},
                    RankCase{"collectives", "early_end"}, RankCase{"collectives", "one_thread"},
                    RankCase{"collectives", "others_go_on"}, RankCase{"collectives", "two_streams"},
                    RankCase{"collective_graphs", "captured"}, RankCase{"collective_graphs", "captured_one_thread"},
                    RankCase{"communicators", "arguments"}, RankCase{"communicators", "same_device"},
                    RankCase{"communicators", "not_blocking"}, RankCase{"communicators", "no_memory"}),
    [](const auto& test) { return std::string(test.param.name); });

struct Disagreement {
  std::string what, first, second;
};

class NcclMismatch : public testing::TestWithParam<Disagreement> {};

TEST_P(NcclMismatch, EndsTheProcessWithBothCallSites) {
  for (const std::string order : {"eager", "late"}) {
    const ProgramResult result =
        RunProgram("collective_faults", "mismatch_" + GetParam().what, With({{"EMULATED_GPU_STREAMS", order}}));
    EXPECT_EQ(result.status, 128 + SIGABRT) << result.output;
    // Both ranks, what each wanted, and the lines of this program that asked for it.
    EXPECT_THAT(result.output, AllOf(HasSubstr("disagree"),
                                     ContainsRegex(GetParam().first + "[^\n]* at [^\n]*collective_faults.cc:[0-9]+"),
                                     ContainsRegex(GetParam().second + "[^\n]* at [^\n]*collective_faults.cc:[0-9]+")));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, NcclMismatch,
    testing::Values(Disagreement{"count", "all-reduce of 32 f32, sum", "rank 1: all-reduce of 31 f32, sum"},
                    Disagreement{"type", "all-reduce of 16 f32, sum", "rank 1: all-reduce of 16 i32, sum"},
                    Disagreement{"op", "all-reduce of 16 f32, sum", "rank 1: all-reduce of 16 f32, maximum"},
                    Disagreement{"root", "broadcast of 16 f32, root 0", "rank 1: broadcast of 16 f32, root 1"},
                    Disagreement{"kind", "all-gather of 16 f32", "rank 1: all-reduce of 16 f32, sum"},
                    Disagreement{"send", "rank 0: send of 16 f32 to rank 1", "rank 1: receive of 17 f32 from rank 0"}),
    [](const auto& test) { return test.param.what; });

TEST(NcclUsage, OneThreadForSeveralRanksIsToldBothCallSites) {
  const ProgramResult result = RunProgram("collectives", "one_thread", With({}));
  EXPECT_THAT(
      result.output,
      ContainsRegex("outside of a group:\n  rank 0: all-reduce of 100 f32, sum at [^\n]*collectives.cc:[0-9]+[^\n]*\n"
                    "  rank 1: all-reduce of 100 f32, sum at [^\n]*collectives.cc:[0-9]+"));
}

TEST(NcclUsage, AGraphDoesNotOutliveItsCommunicator) {
  const ProgramResult result = RunProgram("collective_graphs", "launched_after_destroy", With({}));
  EXPECT_THAT(result.output, AllOf(HasSubstr("a graph was launched whose communicator was destroyed"),
                                   HasSubstr("cudaErrorLaunchFailure")));
}

TEST(NcclMemory, IsTakenFromTheDeviceWhenPeersConnect) {
  for (const std::string connect : {"1", "0"}) {
    const ProgramResult result = RunProgram(
        "communicators", "memory",
        With({{"NCCL_MAX_NCHANNELS", "2"}, {"NCCL_BUFFSIZE", "1048576"}, {"NCCL_RUNTIME_CONNECT", connect}}));
    EXPECT_EQ(result.status, 0) << result.output;
  }
}

class NcclFaults : public testing::TestWithParam<const char*> {};

TEST_P(NcclFaults, ReachTheOthers) {
  const std::string name = GetParam();
  Variables more;
  if (name == "lost_on_demand") more = {{"EMULATED_NCCL_FAULTS", "lost:1:2"}};
  if (name == "stuck_on_demand") more = {{"EMULATED_NCCL_FAULTS", "stuck:1:2"}};
  for (const std::string order : {"eager", "late"}) {
    more["EMULATED_GPU_STREAMS"] = order;
    const ProgramResult result = RunProgram("collective_faults", name, With(more));
    EXPECT_EQ(result.status, 0) << order << ": " << result.output;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, NcclFaults, testing::Values("lost_peer", "lost_on_demand", "stuck_on_demand"),
                         [](const auto& test) { return std::string(test.param); });

TEST(NcclSettings, ThatCannotBeUnderstoodEndTheProcess) {
  EXPECT_THAT(RunProgram("collectives", "threads", With({{"EMULATED_NCCL_FAULTS", "gone:1:2"}})).output,
              HasSubstr("lost:RANK:N or stuck:RANK:N is wanted"));
  EXPECT_THAT(RunProgram("collectives", "threads", With({{"NCCL_BUFFSIZE", "4MiB"}})).output,
              HasSubstr("'4MiB' is no number"));
}

}  // namespace
}  // namespace emulation
