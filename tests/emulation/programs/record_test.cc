// The harness for hardware, tried with an emulated card on both sides: what `record` stores does not depend on the
// order of streams, blocks and warps, and a planted bug on one side is found by kernels/compare.py.
#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/testing/paths.h"
#include "tests/emulation/programs/run_program.h"

namespace emulation {
namespace {

using testing::HasSubstr;

class Record : public testing::Test {
 public:
  Record() {
    const char* scratch = getenv("TMPDIR");
    std::string name = std::string(scratch == nullptr ? "/tmp" : scratch) + "/record-XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~Record() override { std::filesystem::remove_all(folder_); }

  // Runs it and returns the folder with what it stored.
  std::string Store(const std::string& name, const Variables& variables, const std::string& instead = "") {
    const ProgramResult result = RunProgram("record", "'" + folder_ + "/" + name + "' " + instead, variables);
    EXPECT_EQ(result.status, 0) << result.output;
    return folder_ + "/" + name;
  }

  static ProgramResult Compare(const std::string& one, const std::string& other) {
    return RunShell("exec python3 '" + headroom::SourceDir() + "/tests/emulation/kernels/compare.py' '" + one + "' '" +
                    other + "'");
  }

 private:
  std::string folder_;
};

const Variables kPlain = {{"EMULATED_GPU_STREAMS", "eager"}, {"EMULATED_GPU_CAPABILITY", "8.0"}};
const Variables kOther = {{"EMULATED_GPU_STREAMS", "late"},
                          {"EMULATED_GPU_SEED", "11"},
                          {"EMULATED_GPU_SPLIT_WARPS", "1"},
                          {"EMULATED_GPU_CAPABILITY", "9.0"}};

TEST_F(Record, TwoOrdersAndArchitecturesAgree) {
  const ProgramResult result = Compare(Store("one", kPlain), Store("other", kOther));
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("capability 9.0"));
  printf("%s", result.output.c_str());
}

// The kernel with the bug of that name, from the list that kernels/plant.py wrote.
std::string Planted(const std::string& bug) {
  std::ifstream file(headroom::BinaryDir() + "/emulation/planted.tsv");
  for (std::string line; std::getline(file, line);) {
    if (line.ends_with("\t" + bug)) return line.substr(0, line.find('\t'));
  }
  ADD_FAILURE() << "no planted bug is called " << bug;
  return "";
}

TEST_F(Record, APlantedBugOnOneSideIsFound) {
  const std::string right = Store("right", kPlain);
  for (const auto& [kernel, bug] :
       {std::pair("RowNorm", "row_norm: eps lost"), {"SumByLastBlock", "features: count not set back"}}) {
    const ProgramResult result = Compare(right, Store(kernel, kPlain, std::string(kernel) + "=" + Planted(bug)));
    EXPECT_EQ(result.status, 1) << result.output;
    std::stringstream lines(result.output);
    int found = 0;
    for (std::string line; std::getline(lines, line);) {
      if (line.find("DIFFERS") == std::string::npos) continue;
      EXPECT_THAT(line, testing::StartsWith(kernel));
      found++;
    }
    EXPECT_GT(found, 0) << result.output;
  }
}

TEST_F(Record, SidesThatDidNotRunTheSameDiffer) {
  const std::string one = Store("one", kPlain), other = Store("other", kPlain);
  std::filesystem::resize_file(other + "/outputs.tsv", 400);
  EXPECT_THAT(Compare(one, other).output, HasSubstr("did not run the same workloads"));
  // A file that was cut off.
  const std::string third = Store("third", kPlain);
  std::filesystem::resize_file(third + "/Calls-size1-seed0.0.bin", 100);
  EXPECT_THAT(Compare(one, third).output, HasSubstr("50 and 25 elements"));
}

}  // namespace
}  // namespace emulation
