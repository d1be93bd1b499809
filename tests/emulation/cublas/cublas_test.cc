// Programs linked with the real cuBLAS and cuBLASLt run on the emulated ones.
#include <gmock/gmock.h>

#include "tests/emulation/programs/run_program.h"

namespace emulation {
namespace {

using testing::HasSubstr;

struct Program {
  std::string program, name, capability = "8.0";
};

class CublasPrograms : public testing::TestWithParam<Program> {};

TEST_P(CublasPrograms, PassInEveryOrderOfTheStreams) {
  const Program& run = GetParam();
  for (const std::string order : {"eager", "late", "seeded"}) {
    const ProgramResult result = RunProgram(run.program, run.name,
                                            {{"EMULATED_GPU_STREAMS", order},
                                             {"EMULATED_GPU_SEED", "5"},
                                             {"EMULATED_GPU_COUNT", "2"},
                                             {"EMULATED_GPU_CAPABILITY", run.capability}});
    EXPECT_EQ(result.status, 0) << order << ": " << result.output;
    EXPECT_THAT(result.output, HasSubstr("passed")) << order;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, CublasPrograms,
    testing::Values(Program{"matmul", "floats"}, Program{"matmul", "integers"}, Program{"matmul", "tf32"},
                    Program{"matmul", "fp8", "8.9"}, Program{"matmul", "fp8_vectors", "9.0"},
                    Program{"matmul", "fp8_refused"}, Program{"matmul", "batches"}, Program{"matmul", "captured"},
                    Program{"matmul", "algorithms"}, Program{"matmul", "refusals"}, Program{"matmul", "mistakes"},
                    Program{"matmul", "handle_of_another_device"}, Program{"gemm", "plain"},
                    Program{"gemm", "workspace"}, Program{"gemm", "handle_bytes"}, Program{"gemm", "refusals"},
                    Program{"gemm", "strided"}, Program{"gemm", "grouped"}, Program{"gemm", "stream_order"}),
    [](const auto& test) { return test.param.program + "_" + test.param.name; });

struct Bug {
  std::string program, name, finder;
};

class CublasBugs : public testing::TestWithParam<Bug> {};

TEST_P(CublasBugs, AreFoundWhenTheOperationsTurnComes) {
  const ProgramResult result = RunProgram(GetParam().program, GetParam().name, {{"EMULATED_GPU_STREAMS", "late"}});
  EXPECT_NE(result.status, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr(GetParam().finder));
  EXPECT_THAT(result.output, HasSubstr("cudaErrorIllegalAddress"));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, CublasBugs,
    testing::Values(Bug{"matmul", "never_written",
                        "cublasLtMatmul: matrix B, 64 x 5 of 16BF, ld 64: reads device memory that nobody wrote"},
                    Bug{"matmul", "out_of_bounds",
                        "cublasLtMatmul: matrix D, 48 x 5 of 16BF, ld 48: 480 bytes, 0 into an allocation of 384"},
                    Bug{"gemm", "grouped_arrays_on_host",
                        "cublasGemmGroupedBatchedEx: array of A: a pointer that is not of a device"},
                    Bug{"gemm", "grouped_misaligned",
                        "cublasGemmGroupedBatchedEx, problem 2: B is not aligned to 16 bytes"}),
    [](const auto& test) { return test.param.name; });

TEST(CublasMessages, NameWhatIsMissing) {
  EXPECT_THAT(RunProgram("gemm", "workspace").output,
              HasSubstr("no workspace was set since the handle was made or its stream was set"));
  const std::string refusals = RunProgram("matmul", "refusals").output;
  EXPECT_THAT(refusals, HasSubstr("8I needs A transposed and B not (TN)"));
  EXPECT_THAT(refusals, HasSubstr("leading dimension 68 of 16BF is no multiple of 16 bytes"));
}

}  // namespace
}  // namespace emulation
