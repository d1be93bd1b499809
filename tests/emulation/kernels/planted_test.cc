// Bugs that plant.py puts into copies of the kernels. Each must be found by the check that is there for it.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "common/testing/paths.h"
#include "tests/emulation/kernels/machine_device.h"
#include "tests/emulation/kernels/workloads.h"

namespace emulation {
namespace {

struct PlantedBug {
  std::string kernel, file, workload, expected, name;
};

// kernel, file, workload, what must find it, name: separated by tabs.
std::vector<PlantedBug> ReadBugs() {
  std::ifstream file(headroom::BinaryDir() + "/emulation/planted.tsv");
  std::vector<PlantedBug> bugs;
  for (std::string line; std::getline(file, line);) {
    std::stringstream fields(line);
    PlantedBug bug;
    for (std::string* field : {&bug.kernel, &bug.file, &bug.workload, &bug.expected, &bug.name})
      std::getline(fields, *field, '\t');
    bugs.push_back(bug);
  }
  return bugs;
}

// What found it: the kind of the fault, "numbers", or "nothing". Several orders: a race that one order hides shows in
// another.
std::string Find(TestDevice& device, const PlantedBug& bug, std::string& message) {
  for (const uint64_t seed : {0, 1, 2, 3}) {
    device.options.seed = seed;
    try {
      MachineDevice machine(device);
      const double error = WorkloadOf(bug.workload).run(machine, bug.kernel, {});
      if (error > kErrorMax) {
        message = "error " + std::to_string(error);
        return "numbers";
      }
    } catch (const Fault& fault) {
      message = fault.what();
      return FaultName(fault.kind);
    }
  }
  return "nothing";
}

TEST(PlantedBugs, AreFoundByTheirCheck) {
  const std::vector<PlantedBug> bugs = ReadBugs();
  ASSERT_GE(bugs.size(), 24u);
  std::string loaded;
  TestDevice device;
  device.options.instructions_max = 50'000'000;
  for (const PlantedBug& bug : bugs) {
    if (bug.file != loaded) device.Load(KernelPtx(bug.file + "_planted"));
    loaded = bug.file;
    std::string message;
    const std::string found = Find(device, bug, message);
    EXPECT_EQ(found, bug.expected) << bug.name << ": " << message;
    // A check names the source line; of a planted kernel it is that of the file it came from.
    if (found != "numbers" && found != "nothing" && found != "no end") {
      EXPECT_NE(message.find(bug.file + ".cu:"), std::string::npos) << message;
    }
    printf("%-60s %s\n", bug.name.c_str(), message.c_str());
  }
}

}  // namespace
}  // namespace emulation
