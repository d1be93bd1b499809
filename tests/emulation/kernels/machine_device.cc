#include "tests/emulation/kernels/machine_device.h"

#include <fstream>
#include <sstream>
#include <stdexcept>

#include "common/testing/paths.h"

namespace emulation {

std::string KernelPtx(const std::string& name, int architecture) {
  const std::string path =
      headroom::BinaryDir() + "/emulation/" + name + ".sm_" + std::to_string(architecture) + ".ptx";
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace emulation
