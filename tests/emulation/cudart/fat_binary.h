// What nvcc embeds into a program: modules for several architectures. Only their PTX is of use here.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "tests/emulation/ptx/module.h"

namespace emulation {

class FatBinary {
 public:
  // `wrapper`: the argument of __cudaRegisterFatBinary. The program must be built with --compress-mode=none.
  explicit FatBinary(const void* wrapper);

  // The module of the highest architecture that the capability (80 for 8.0) runs; parsed at the first call. nullptr:
  // there is none. Throws ptx::Error.
  const ptx::Module* ModuleFor(int capability) const;

 private:
  std::map<int, std::string> texts_;  // by architecture
  bool compressed_ = false;
  mutable std::mutex mutex_;
  mutable std::map<int, std::unique_ptr<ptx::Module>> modules_;
};

}  // namespace emulation
