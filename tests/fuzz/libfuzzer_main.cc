// Joins the one target of a program to libFuzzer. `PROGRAM --write-seeds DIRECTORY` writes the corpus to start from.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>

#include "tests/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc != 3 || std::string((*argv)[1]) != "--write-seeds") return 0;
  int number = 0;
  for (const std::string& seed : headroom::fuzz::Targets().front().seeds()) {
    std::ofstream file((*argv)[2] + ("/seed-" + std::to_string(number++)), std::ios::binary);
    file << seed;
    if (!file) std::exit(1);
  }
  std::exit(0);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  headroom::fuzz::Targets().front().run(std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
