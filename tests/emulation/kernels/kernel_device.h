// What the workloads need of a device: the machine (machine_device.h), or the card behind libcudart
// (programs/record.cc).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/emulation/machine/floats.h"
#include "tests/emulation/machine/launch.h"
#include "tests/emulation/machine/pack.h"

namespace emulation {

// How far two devices' results x and y may be apart: |x - y| <= relative · |x| + absolute. Zeros: the same bits, which
// is what PTX promises where no approximate instruction and no mma is involved.
struct Closeness {
  double relative = 0, absolute = 0;
};

template <class T>
constexpr const char* kTypeName = nullptr;
template <>
inline constexpr const char* kTypeName<Bf16> = "bf16";
template <>
inline constexpr const char* kTypeName<float> = "f32";
template <>
inline constexpr const char* kTypeName<int32_t> = "s32";
template <>
inline constexpr const char* kTypeName<uint32_t> = "u32";

class KernelDevice {
 public:
  virtual ~KernelDevice() = default;

  // Memory that nobody wrote.
  virtual uint64_t Allocate(uint64_t bytes) = 0;
  virtual void Run(const std::string& kernel, Dim grid, Dim block, const Packed& arguments,
                   uint32_t dynamic_shared = 0) = 0;

  template <class T>
  uint64_t Upload(const std::vector<T>& values) {
    const uint64_t address = Allocate(values.size() * sizeof(T));
    Write(address, values.data(), values.size() * sizeof(T));
    return address;
  }
  // What a kernel has computed.
  template <class T>
  std::vector<T> Download(uint64_t address, size_t n, Closeness closeness) {
    std::vector<T> values(n);
    Read(address, values.data(), n * sizeof(T), kTypeName<T>, closeness);
    return values;
  }

 protected:
  virtual void Write(uint64_t to, const void* from, size_t bytes) = 0;
  virtual void Read(uint64_t from, void* to, size_t bytes, const char* type, Closeness closeness) = 0;
};

}  // namespace emulation
