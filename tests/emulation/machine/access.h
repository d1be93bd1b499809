// Addresses of a warp's access → host pointers, with the checks of bounds and alignment; and, apart from these, the
// checks of who wrote what when.
#pragma once

#include "tests/emulation/machine/lanes.h"
#include "tests/emulation/machine/warp.h"

namespace emulation {

// Instruction::flags of memory accesses.
enum AccessFlag : uint8_t { kSigned = 1, kStrong = 2, kAcquire = 4, kRelease = 8, kVolatile = 16 };

// All 32 lanes at one place, or in a row without gaps: then the access is looked at as a whole.
enum class Shape : uint8_t { kAny, kPoint, kRow };

// One access by the lanes of `mask`, each to `bytes` at its address.
struct WarpAccess {
  uint64_t address[kLanes];  // in its space: global, or an offset in shared or local memory
  uint8_t* host[kLanes];     // of a shape: the first alone
  uint32_t bytes;
  Mask mask;
  Shape shape = Shape::kAny;

  uint32_t RangeBytes() const { return shape == Shape::kRow ? kLanes * bytes : bytes; }
  uint8_t* HostOf(int lane) const {
    return shape == Shape::kAny ? host[lane] : shape == Shape::kRow ? host[0] + size_t{bytes} * lane : host[0];
  }
};

// For those who know shapes, before Resolve(), which takes the shape away where lanes have to be looked at one by one.
void FindShape(WarpAccess& access);

// Bounds and alignment. Global covers .const; generic looks at each lane's window.
template <ptx::Space kSpace>
void Resolve(Warp& w, const Instruction& i, WarpAccess& access);

// Reads registers a + displacement into access.address.
void ReadAddresses(const Warp& w, const Instruction& i, WarpAccess& access);

// What is known of the bytes: never written, races, pending copies. To be called before a write changes them; `values`
// are the bytes that it will write, `stride` apart a lane, so that writers of one value are not taken for a race.
enum class Kind : uint8_t { kRead, kWrite, kAtomic };
// Looks at an access that has a shape as a whole and notes it. False: lanes have to be looked at one by one.
template <ptx::Space kSpace>
bool InspectWhole(Warp& w, const Instruction& i, const WarpAccess& access, Kind kind);
template <ptx::Space kSpace>
void Inspect(Warp& w, const Instruction& i, const WarpAccess& access, Kind kind, const uint8_t* values = nullptr,
             uint32_t stride = 0);

// One lane's access to global or shared memory, for cp.async, ldmatrix and mbarrier.
uint8_t* ResolveGlobal(Warp& w, const Instruction& i, int lane, uint64_t address, uint32_t bytes);
uint8_t* ResolveShared(Warp& w, const Instruction& i, int lane, uint64_t offset, uint32_t bytes, uint32_t alignment);
void InspectGlobal(Warp& w, const Instruction& i, int lane, uint64_t address, uint32_t bytes, Kind kind);
void InspectShared(Warp& w, const Instruction& i, int lane, uint32_t offset, uint32_t bytes, Kind kind,
                   const uint8_t* value = nullptr);
[[noreturn]] void FailConflict(const Warp& w, const Instruction& i, int lane, const Conflict& conflict);

// counters.cc
void CountGlobal(LaunchState& launch, const WarpAccess& access);
void CountShared(LaunchState& launch, const WarpAccess& access);
void CountMatrix(LaunchState& launch, const uint64_t (&rows)[8]);

}  // namespace emulation
