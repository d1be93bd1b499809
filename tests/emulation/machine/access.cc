#include "tests/emulation/machine/access.h"

#include <algorithm>
#include <string>

#include "tests/emulation/machine/frame.h"

namespace emulation {
namespace {

using ptx::Space;

std::string Bytes(uint64_t n) { return std::to_string(n) + " bytes"; }

// Tells how far the access is from the range below it.
[[noreturn]] void FailGlobal(const Warp& w, const Instruction& i, int lane, uint64_t address, uint32_t bytes,
                             const DeviceMemory::Range& below) {
  std::string what = "global access of " + Bytes(bytes);
  if (address < kWindowBytes) {
    what += " at a null pointer + " + std::to_string(address);
  } else if (below.bytes == 0 || !w.launch->memory->Contains(address)) {
    what += " to no allocation of this device";
  } else {
    const std::string name = below.name.empty() ? "an allocation" : "region '" + below.name + "'";
    what += ", " + Bytes(address - below.begin) + " into " + name + " of " + Bytes(below.bytes);
  }
  Fail(w, i, lane, FaultKind::kOutOfBounds, what);
}

void CheckAlignment(const Warp& w, const Instruction& i, const WarpAccess& access) {
  ForLanes(access.mask, [&](int lane) {
    if (access.address[lane] % access.bytes != 0) {
      Fail(w, i, lane, FaultKind::kMisaligned,
           "access of " + Bytes(access.bytes) + " at an address that is " +
               std::to_string(access.address[lane] % access.bytes) + " beyond a multiple of it");
    }
  });
}

// Sizes are powers of two, and a division takes longer than the access.
bool IsAligned(uint64_t address, uint32_t bytes) { return (address & (bytes - 1)) == 0; }

struct Span {
  uint64_t low, high, bits;  // bits: all addresses or-ed
};

Span SpanOf(const WarpAccess& access) {
  Span span = {~uint64_t{0}, 0, 0};
  for (int lane = 0; lane < kLanes; lane++) {
    const bool active = access.mask >> lane & 1;
    const uint64_t a = access.address[lane];
    span.low = std::min(span.low, active ? a : ~uint64_t{0});
    span.high = std::max(span.high, active ? a : uint64_t{0});
    span.bits |= active ? a : 0;
  }
  return span;
}

bool InRange(const DeviceMemory::Range& range, uint64_t low, uint64_t end) {
  return low >= range.begin && end <= range.end() && low <= end;
}

// As a rule an instruction stays within one buffer.
DeviceMemory::Range& LastRange(Warp& w, const Instruction& i) {
  auto& ranges = w.launch->ranges;
  return ranges[i.statement % std::size(ranges)];
}

}  // namespace

void FailConflict(const Warp& w, const Instruction& i, int lane, const Conflict& conflict) {
  switch (conflict.kind) {
    case Conflict::kUninitialised:
      Fail(w, i, lane, FaultKind::kUninitialised, "shared memory that nobody wrote");
    case Conflict::kPending:
      Fail(w, i, lane, FaultKind::kPendingCopy,
           "shared memory that cp.async of thread " + ThreadName(*w.block, conflict.thread) + " is writing");
    default:
      Fail(w, i, lane, FaultKind::kRace,
           std::string(conflict.what) + " on shared memory, the other thread is " +
               ThreadName(*w.block, conflict.thread));
  }
}

void ReadAddresses(const Warp& w, const Instruction& i, WarpAccess& access) {
  if (i.wide) {
    for (int lane = 0; lane < kLanes; lane++) access.address[lane] = Lanes<uint64_t>(w, i.a)[lane] + i.value;
  } else {
    for (int lane = 0; lane < kLanes; lane++)
      access.address[lane] = static_cast<uint32_t>(Lanes<uint32_t>(w, i.a)[lane] + i.value);
  }
}

void FindShape(WarpAccess& access) {
  if (access.mask != kAllLanes) return;
  uint64_t from_point = 0, from_row = 0;
  for (int lane = 0; lane < kLanes; lane++) {
    const uint64_t distance = access.address[lane] - access.address[0];
    from_point |= distance;
    from_row |= distance - uint64_t{access.bytes} * lane;
  }
  access.shape = from_row == 0 ? Shape::kRow : from_point == 0 ? Shape::kPoint : Shape::kAny;
}

uint8_t* ResolveGlobal(Warp& w, const Instruction& i, int lane, uint64_t address, uint32_t bytes) {
  DeviceMemory::Range& range = LastRange(w, i);
  if (!InRange(range, address, address + bytes)) {
    const DeviceMemory::Range found = w.launch->memory->RangeAt(address);
    if (!InRange(found, address, address + bytes)) FailGlobal(w, i, lane, address, bytes, found);
    range = found;
  }
  return w.launch->memory->Host(address);
}

uint8_t* ResolveShared(Warp& w, const Instruction& i, int lane, uint64_t offset, uint32_t bytes, uint32_t alignment) {
  if (offset < kSharedReserved || offset + bytes > w.launch->shared_bytes) {
    Fail(w, i, lane, FaultKind::kOutOfBounds,
         "shared access of " + Bytes(bytes) + " at " + std::to_string(static_cast<int64_t>(offset) - kSharedReserved) +
             " of " + Bytes(w.launch->shared_bytes - kSharedReserved));
  }
  if (!IsAligned(offset, alignment)) {
    Fail(w, i, lane, FaultKind::kMisaligned,
         "shared access at " + std::to_string(offset) + ", no multiple of " + std::to_string(alignment));
  }
  return w.block->shared.data() + offset;
}

template <>
void Resolve<Space::kGlobal>(Warp& w, const Instruction& i, WarpAccess& access) {
  if (access.shape != Shape::kAny) {
    const uint64_t first = access.address[0];
    if (IsAligned(first, access.bytes) && InRange(LastRange(w, i), first, first + access.RangeBytes())) {
      access.host[0] = w.launch->memory->Host(first);
      return;
    }
    access.shape = Shape::kAny;
  }
  const Span span = SpanOf(access);
  if (!IsAligned(span.bits, access.bytes)) CheckAlignment(w, i, access);
  const uint64_t end = span.high + access.bytes;
  if (!InRange(LastRange(w, i), span.low, end)) {
    // As a rule all lanes are in one other range.
    const DeviceMemory::Range found = w.launch->memory->RangeAt(span.low);
    if (InRange(found, span.low, end)) {
      LastRange(w, i) = found;
    } else {
      ForLanes(access.mask, [&](int lane) { ResolveGlobal(w, i, lane, access.address[lane], access.bytes); });
    }
  }
  for (int lane = 0; lane < kLanes; lane++) access.host[lane] = w.launch->memory->Host(access.address[lane]);
}

template <>
void Resolve<Space::kShared>(Warp& w, const Instruction& i, WarpAccess& access) {
  if (access.shape != Shape::kAny) {
    const uint64_t first = access.address[0];
    if (IsAligned(first, access.bytes) && first >= kSharedReserved &&
        first + access.RangeBytes() <= w.launch->shared_bytes) {
      access.host[0] = w.block->shared.data() + first;
      return;
    }
    access.shape = Shape::kAny;
  }
  const Span span = SpanOf(access);
  if (!IsAligned(span.bits, access.bytes)) CheckAlignment(w, i, access);
  if (span.low < kSharedReserved || span.high + access.bytes > w.launch->shared_bytes) {
    ForLanes(access.mask, [&](int lane) { ResolveShared(w, i, lane, access.address[lane], access.bytes, 1); });
  }
  for (int lane = 0; lane < kLanes; lane++) access.host[lane] = w.block->shared.data() + access.address[lane];
}

template <>
void Resolve<Space::kLocal>(Warp& w, const Instruction& i, WarpAccess& access) {
  access.shape = Shape::kAny;
  CheckAlignment(w, i, access);
  ForLanes(access.mask, [&](int lane) {
    if (access.address[lane] + access.bytes > w.local_stride) {
      Fail(w, i, lane, FaultKind::kOutOfBounds,
           "local access of " + Bytes(access.bytes) + " at " + std::to_string(access.address[lane]) + " of " +
               Bytes(w.local_stride));
    }
    access.host[lane] = LocalMemory(w, lane, static_cast<uint32_t>(access.address[lane]));
  });
}

template <>
void Resolve<Space::kGeneric>(Warp& w, const Instruction& i, WarpAccess& access) {
  access.shape = Shape::kAny;
  CheckAlignment(w, i, access);
  ForLanes(access.mask, [&](int lane) {
    const uint64_t address = access.address[lane];
    if (address - kSharedWindow < kWindowBytes) {
      access.host[lane] = ResolveShared(w, i, lane, address - kSharedWindow, access.bytes, 1);
    } else if (address - kLocalWindow < kWindowBytes) {
      if (address - kLocalWindow + access.bytes > w.local_stride)
        Fail(w, i, lane, FaultKind::kOutOfBounds, "local access beyond the stack");
      access.host[lane] = LocalMemory(w, lane, static_cast<uint32_t>(address - kLocalWindow));
    } else if (address - kParameterWindow < kWindowBytes) {
      if (address - kParameterWindow + access.bytes > w.launch->arguments->parameters.size()) {
        Fail(w, i, lane, FaultKind::kOutOfBounds, "access beyond the kernel's parameters");
      }
      access.host[lane] = const_cast<uint8_t*>(w.launch->arguments->parameters.data()) + (address - kParameterWindow);
    } else {
      access.host[lane] = ResolveGlobal(w, i, lane, address, access.bytes);
    }
  });
}

namespace {

// True, and noted, when the bytes are whole words that were written, or are now, and no other block has touched. False:
// they have to be looked at one by one.
bool InspectPlain(Warp& w, const Instruction& i, uint64_t address, uint32_t bytes, Kind kind) {
  if (kind == Kind::kAtomic || (i.flags & (kStrong | kVolatile))) return false;
  LaunchState& launch = *w.launch;
  const bool alone = launch.arguments->grid.Count() == 1;
  uint8_t* written = launch.memory->Written(address);
  if (kind == Kind::kRead) {
    return memchr(written, 0, bytes) == nullptr && (alone || launch.shadow.ReadWords(address, bytes, w.block->number));
  }
  if (!alone && !launch.shadow.WriteWords(address, bytes, w.block->number)) return false;
  memset(written, 1, bytes);
  return true;
}

}  // namespace

void InspectGlobal(Warp& w, const Instruction& i, int lane, uint64_t address, uint32_t bytes, Kind kind) {
  if (InspectPlain(w, i, address, bytes, kind)) return;
  LaunchState& launch = *w.launch;
  uint8_t* written = launch.memory->Written(address);
  if (kind != Kind::kWrite) {
    for (uint32_t k = 0; k < bytes; k++) {
      if (written[k] == 0)
        Fail(w, i, lane, FaultKind::kUninitialised,
             "global memory that nobody wrote, byte " + std::to_string(k) + " of the access");
    }
  }
  if (kind != Kind::kRead) memset(written, 1, bytes);
  if (launch.arguments->grid.Count() == 1) return;
  const bool strong = kind == Kind::kAtomic || (i.flags & (kStrong | kVolatile));
  GlobalShadow::Conflict conflict;
  if (kind != Kind::kWrite) {
    // What an atomic reads it writes as well, and that is looked at below.
    if (kind == Kind::kRead) conflict = launch.shadow.Read(address, bytes, w.block->number, strong);
    if (strong) launch.shadow.StrongRead(w.block->number, i.flags & kAcquire);
  }
  if (kind != Kind::kRead && !conflict.found) {
    conflict = launch.shadow.Write(address, bytes, w.block->number, strong);
    if (strong) launch.shadow.StrongWrite(w.block->number, i.flags & kRelease);
  }
  if (conflict.found) {
    Fail(w, i, lane, FaultKind::kRace,
         std::string(conflict.what) + " on global memory, the other block is number " + std::to_string(conflict.block));
  }
}

void InspectShared(Warp& w, const Instruction& i, int lane, uint32_t offset, uint32_t bytes, Kind kind,
                   const uint8_t* value) {
  const Access access = kind == Kind::kRead ? ((i.flags & kStrong) ? Access::kStrongRead : Access::kRead)
                        : (kind == Kind::kAtomic || (i.flags & kStrong)) ? Access::kAtomic
                                                                         : Access::kWrite;
  const bool same = value != nullptr && memcmp(w.block->shared.data() + offset, value, bytes) == 0;
  const Conflict conflict = w.block->shadow.Touch(offset, bytes, w.index * kLanes + lane, access, same);
  if (conflict.kind != Conflict::kNone) FailConflict(w, i, lane, conflict);
}

template <>
bool InspectWhole<Space::kGlobal>(Warp& w, const Instruction& i, const WarpAccess& access, Kind kind) {
  if (access.shape == Shape::kAny || (kind != Kind::kRead && access.shape != Shape::kRow)) return false;
  return InspectPlain(w, i, access.address[0], access.RangeBytes(), kind);
}

template <>
bool InspectWhole<Space::kShared>(Warp& w, const Instruction& i, const WarpAccess& access, Kind kind) {
  if (access.shape == Shape::kAny || (i.flags & (kStrong | kVolatile))) return false;
  SharedShadow& shadow = w.block->shadow;
  const auto offset = static_cast<uint32_t>(access.address[0]);
  if (access.shape == Shape::kRow) {
    return kind == Kind::kRead ? shadow.ReadRow(offset, access.bytes, w.index)
                               : shadow.WriteRow(offset, access.bytes, w.index);
  }
  if (kind != Kind::kRead) return false;
  // Two readers of a warp stand for all of it.
  for (const int lane : {0, 1}) InspectShared(w, i, lane, offset, access.bytes, kind);
  return true;
}

template <>
bool InspectWhole<Space::kLocal>(Warp&, const Instruction&, const WarpAccess&, Kind) {
  return false;
}
template <>
bool InspectWhole<Space::kGeneric>(Warp&, const Instruction&, const WarpAccess&, Kind) {
  return false;
}

template <>
void Inspect<Space::kGlobal>(Warp& w, const Instruction& i, const WarpAccess& access, Kind kind, const uint8_t*,
                             uint32_t) {
  ForLanes(access.mask, [&](int lane) { InspectGlobal(w, i, lane, access.address[lane], access.bytes, kind); });
}

template <>
void Inspect<Space::kShared>(Warp& w, const Instruction& i, const WarpAccess& access, Kind kind, const uint8_t* values,
                             uint32_t stride) {
  ForLanes(access.mask, [&](int lane) {
    InspectShared(w, i, lane, static_cast<uint32_t>(access.address[lane]), access.bytes, kind,
                  values == nullptr ? nullptr : values + size_t{stride} * lane);
  });
}

template <>
void Inspect<Space::kLocal>(Warp&, const Instruction&, const WarpAccess&, Kind, const uint8_t*, uint32_t) {}

template <>
void Inspect<Space::kGeneric>(Warp& w, const Instruction& i, const WarpAccess& access, Kind kind, const uint8_t* values,
                              uint32_t stride) {
  ForLanes(access.mask, [&](int lane) {
    const uint64_t address = access.address[lane];
    if (address - kSharedWindow < kWindowBytes) {
      InspectShared(w, i, lane, static_cast<uint32_t>(address - kSharedWindow), access.bytes, kind,
                    values == nullptr ? nullptr : values + size_t{stride} * lane);
    } else if (address < kParameterWindow) {
      InspectGlobal(w, i, lane, address, access.bytes, kind);
    }
  });
}

}  // namespace emulation
