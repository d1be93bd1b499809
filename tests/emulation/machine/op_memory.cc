// ld, st, prefetch, fences.
#include <algorithm>

#include "tests/emulation/machine/access.h"
#include "tests/emulation/machine/frame.h"
#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

using ptx::Space;

// A loop that reads a flag so often waits for somebody else.
constexpr uint32_t kPollsATurn = 64;

template <Space kSpace>
void Count(Warp& w, const WarpAccess& access) {
  if (!w.launch->options->count) return;
  if constexpr (kSpace == Space::kGlobal) CountGlobal(*w.launch, access);
  if constexpr (kSpace == Space::kShared) CountShared(*w.launch, access);
}

template <int kBytes>
using Element = std::conditional_t<
    kBytes == 1, uint8_t,
    std::conditional_t<
        kBytes == 2, uint16_t,
        std::conditional_t<kBytes == 4, uint32_t, std::conditional_t<kBytes == 8, uint64_t, unsigned __int128>>>>;

// Element k of one lane into its register, extended when the register is wider than what is loaded.
template <int kBytes>
void PutElement(Warp& w, const Instruction& i, int lane, int k, const uint8_t* from) {
  Element<kBytes> x;
  memcpy(&x, from, sizeof x);
  if (i.width == kBytes) {
    Lanes<Element<kBytes>>(w, i.list[k])[lane] = x;
    return;
  }
  if constexpr (kBytes < 8) {
    using Signed = std::make_signed_t<Element<kBytes>>;
    const uint64_t extended =
        (i.flags & kSigned) ? static_cast<uint64_t>(static_cast<int64_t>(static_cast<Signed>(x))) : x;
    memcpy(Lanes<uint8_t>(w, i.list[k]) + lane * i.width, &extended, i.width);
  }
}

// Element k of `count` for all lanes.
template <int kBytes>
void LoadElement(const WarpAccess& access, int k, Element<kBytes>* to, int count) {
  if (access.shape == Shape::kAny) {
    for (int lane = 0; lane < kLanes; lane++) memcpy(&to[lane], access.host[lane] + k * kBytes, kBytes);
    return;
  }
  // Aligned to its size, which Resolve() has seen to.
  const auto* from = reinterpret_cast<const Element<kBytes>*>(access.host[0]) + k;
  if (access.shape == Shape::kPoint) {
    std::fill_n(to, kLanes, *from);
  } else if (count == 1) {
    memcpy(to, from, kLanes * kBytes);
  } else if (count == 4) {
    for (int lane = 0; lane < kLanes; lane++) to[lane] = from[4 * lane];
  } else {
    for (int lane = 0; lane < kLanes; lane++) to[lane] = from[count * lane];
  }
}

template <Space kSpace, int kBytes>
void Load(Warp& w, const Instruction& i, Mask mask) {
  WarpAccess access;
  access.mask = mask;
  access.bytes = kBytes * i.count;
  ReadAddresses(w, i, access);
  FindShape(access);
  Resolve<kSpace>(w, i, access);
  if ((i.flags & (kStrong | kVolatile)) && ++w.polls % kPollsATurn == 0) w.yield = true;
  if (w.launch->options->checked && !InspectWhole<kSpace>(w, i, access, Kind::kRead))
    Inspect<kSpace>(w, i, access, Kind::kRead);
  Count<kSpace>(w, access);
  if (mask == kAllLanes && i.width == kBytes) {
    for (int k = 0; k < i.count; k++) LoadElement<kBytes>(access, k, Lanes<Element<kBytes>>(w, i.list[k]), i.count);
    return;
  }
  ForLanes(mask, [&](int lane) {
    for (int k = 0; k < i.count; k++) PutElement<kBytes>(w, i, lane, k, access.HostOf(lane) + k * kBytes);
  });
}

template <Space kSpace, int kBytes>
void Write(Warp& w, const Instruction& i, Mask mask) {
  WarpAccess access;
  access.mask = mask;
  access.bytes = kBytes * i.count;
  ReadAddresses(w, i, access);
  FindShape(access);
  if (access.shape == Shape::kPoint) access.shape = Shape::kAny;  // who is last counts
  Resolve<kSpace>(w, i, access);
  if (access.shape == Shape::kRow && i.width == kBytes &&
      (!w.launch->options->checked || InspectWhole<kSpace>(w, i, access, Kind::kWrite))) {
    Count<kSpace>(w, access);
    auto* to = reinterpret_cast<Element<kBytes>*>(access.host[0]);
    for (int k = 0; k < i.count; k++) {
      const Element<kBytes>* from = Lanes<Element<kBytes>>(w, i.list[k]);
      for (int lane = 0; lane < kLanes; lane++) to[i.count * lane + k] = from[lane];
    }
    return;
  }
  alignas(16) uint8_t values[kLanes][32];
  ForLanes(mask, [&](int lane) {
    for (int k = 0; k < i.count; k++)
      memcpy(values[lane] + k * kBytes, Lanes<uint8_t>(w, i.list[k]) + lane * i.width, kBytes);
  });
  Count<kSpace>(w, access);
  // Lane by lane, so that a lane that overwrites another's value in the same instruction is seen.
  if (w.launch->options->checked && kSpace != Space::kLocal) {
    ForLanes(mask, [&](int lane) {
      WarpAccess one;
      one.mask = 1u << lane;
      one.bytes = access.bytes;
      one.address[lane] = access.address[lane];
      Inspect<kSpace>(w, i, one, Kind::kWrite, values[0], sizeof values[0]);
      memcpy(access.HostOf(lane), values[lane], access.bytes);
    });
    return;
  }
  ForLanes(mask, [&](int lane) { memcpy(access.HostOf(lane), values[lane], access.bytes); });
}

// A kernel's parameters are the same for all lanes.
template <int kBytes>
void LoadParameter(Warp& w, const Instruction& i, Mask mask) {
  const uint8_t* from = w.launch->arguments->parameters.data() + i.value;
  ForLanes(mask, [&](int lane) {
    for (int k = 0; k < i.count; k++) PutElement<kBytes>(w, i, lane, k, from + k * kBytes);
  });
}

// Arguments and results of calls lie in the frame's part of local memory.
template <int kBytes>
void LoadArgument(Warp& w, const Instruction& i, Mask mask) {
  ForLanes(mask, [&](int lane) {
    const uint8_t* from = LocalMemory(w, lane, w.frame->local_begin + static_cast<uint32_t>(i.value));
    for (int k = 0; k < i.count; k++) PutElement<kBytes>(w, i, lane, k, from + k * kBytes);
  });
}

template <int kBytes>
void WriteArgument(Warp& w, const Instruction& i, Mask mask) {
  ForLanes(mask, [&](int lane) {
    uint8_t* to = LocalMemory(w, lane, w.frame->local_begin + static_cast<uint32_t>(i.value));
    for (int k = 0; k < i.count; k++) memcpy(to + k * kBytes, Lanes<uint8_t>(w, i.list[k]) + lane * i.width, kBytes);
  });
}

template <class F>
Handler ForSize(int bytes, F f) {
  switch (bytes) {
    case 1:
      return f.template operator()<1>();
    case 2:
      return f.template operator()<2>();
    case 4:
      return f.template operator()<4>();
    case 8:
      return f.template operator()<8>();
    case 16:
      return f.template operator()<16>();
    default:
      return nullptr;
  }
}

bool IsSigned(ptx::Type type) { return type >= ptx::Type::kS8 && type <= ptx::Type::kS64; }

// The registers that are loaded or stored: one, or a vector of them.
void DecodeElements(Decoder& d, Instruction& i, const ptx::Operand& operand, int bytes) {
  const bool vector = operand.kind == ptx::Operand::Kind::kVector;
  const std::vector<ptx::Operand> elements = vector ? operand.elements : std::vector<ptx::Operand>{operand};
  i.count = static_cast<uint8_t>(elements.size());
  i.width = static_cast<uint8_t>(bytes);
  for (const ptx::Operand& element : elements) {
    if (d.WidthOf(element) != 0) i.width = static_cast<uint8_t>(d.WidthOf(element));
  }
  i.list = d.List(elements, i.width);
  if (i.count * bytes > 32) d.Fail("more than 32 bytes a lane");
}

void DecodeOrder(const Decoder& d, Instruction& i) {
  if (d.Has("relaxed") || d.Has("acquire") || d.Has("release") || d.Has("mmio")) i.flags |= kStrong;
  if (d.Has("acquire")) i.flags |= kAcquire;
  if (d.Has("release")) i.flags |= kRelease;
  if (d.Has("volatile")) i.flags |= kVolatile;
}

bool IsShared(const Decoder& d) { return d.Has("shared") || d.Has("shared::cta"); }

}  // namespace

void DecodeLd(Decoder& d, Instruction& i) {
  const ptx::Type type = d.TypeAt();
  const int bytes = ptx::SizeOf(type);
  DecodeElements(d, i, d.operand(0), bytes);
  if (IsSigned(type)) i.flags |= kSigned;
  DecodeOrder(d, i);
  const ptx::Operand& from = d.operand(1);
  if ((d.Has("param") || d.Has("param::entry") || d.Has("param::func")) &&
      from.elements[0].kind == ptx::Operand::Kind::kSymbol) {
    bool local = false;
    i.value = d.ParameterOffset(from, local);
    i.run =
        ForSize(bytes, [&]<int kBytes>() -> Handler { return local ? LoadArgument<kBytes> : LoadParameter<kBytes>; });
    return;
  }
  d.Address(from, i);
  i.run = ForSize(bytes, [&]<int kBytes>() -> Handler {
    if (d.Has("global") || d.Has("const")) return Load<Space::kGlobal, kBytes>;
    if (IsShared(d)) return Load<Space::kShared, kBytes>;
    // By a register that holds a parameter's address: of a kernel a generic one (Decoder::Source), of a function its
    // place in local memory.
    const bool own = !d.InKernel() && (d.Has("param") || d.Has("param::func"));
    if (d.Has("local") || own) return Load<Space::kLocal, kBytes>;
    return d.Has("shared::cluster") ? nullptr : Load<Space::kGeneric, kBytes>;
  });
}

void DecodeSt(Decoder& d, Instruction& i) {
  const int bytes = ptx::SizeOf(d.TypeAt());
  DecodeElements(d, i, d.operand(1), bytes);
  DecodeOrder(d, i);
  if (d.Has("param") || d.Has("param::func")) {
    bool local = false;
    i.value = d.ParameterOffset(d.operand(0), local);
    if (!local) d.Fail("a kernel cannot write its parameters");
    i.run = ForSize(bytes, [&]<int kBytes>() -> Handler { return WriteArgument<kBytes>; });
    return;
  }
  d.Address(d.operand(0), i);
  i.run = ForSize(bytes, [&]<int kBytes>() -> Handler {
    if (d.Has("global")) return Write<Space::kGlobal, kBytes>;
    if (IsShared(d)) return Write<Space::kShared, kBytes>;
    if (d.Has("local")) return Write<Space::kLocal, kBytes>;
    return d.Has("shared::cluster") ? nullptr : Write<Space::kGeneric, kBytes>;
  });
}

// Hints change no value. Their addresses may be anything.
void DecodePrefetch(Decoder&, Instruction& i) {
  i.run = [](Warp&, const Instruction&, Mask) {};
}

// Within a block the machine's order is enough; towards other blocks a fence is half of an order.
void DecodeFence(Decoder& d, Instruction& i) {
  if (d.Has("cta") || d.Has("proxy") || d.Has("mbarrier_init")) {
    i.run = [](Warp&, const Instruction&, Mask) {};
    return;
  }
  i.run = [](Warp& w, const Instruction&, Mask) {
    if (w.launch->options->checked) w.launch->shadow.Fence(w.block->number);
  };
}

}  // namespace emulation
