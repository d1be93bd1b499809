// A kernel's arguments, each aligned to its size: as one parameter block, and where each lies in it.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

namespace emulation {

struct Packed {
  std::vector<uint8_t> block;
  std::vector<size_t> offsets;
};

template <class... T>
Packed Pack(T... values) {
  Packed packed;
  const auto add = [&](auto value) {
    const size_t at = (packed.block.size() + sizeof value - 1) / sizeof value * sizeof value;
    packed.block.resize(at + sizeof value);
    memcpy(packed.block.data() + at, &value, sizeof value);
    packed.offsets.push_back(at);
  };
  (add(values), ...);
  return packed;
}

}  // namespace emulation
