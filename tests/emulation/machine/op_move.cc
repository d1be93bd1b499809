// mov with packing and unpacking, cvta, isspacep.
#include <array>

#include "tests/emulation/machine/lanes.h"
#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

struct Same {
  template <class T>
  T operator()(T a) const {
    return a;
  }
};

void MovPredicate(Warp& w, const Instruction& i, Mask mask) {
  SetPredicate(w, i.dst, mask, i.flags & 1 ? ~Predicate(w, i.a) : Predicate(w, i.a));
}

// mov.b32 {%rs1, %rs2}, %r: `width` bytes of each part. The source is read first: it may be one of the destinations.
void Unpack(Warp& w, const Instruction& i, Mask mask) {
  const int bytes = i.count * i.width;
  std::array<uint8_t, kLanes * 16> source;
  memcpy(source.data(), Lanes<uint8_t>(w, i.a), static_cast<size_t>(bytes) * kLanes);
  ForLanes(mask, [&](int lane) {
    for (int k = 0; k < i.count; k++) {
      memcpy(Lanes<uint8_t>(w, i.list[k]) + lane * i.width, source.data() + lane * bytes + k * i.width, i.width);
    }
  });
}

void Pack(Warp& w, const Instruction& i, Mask mask) {
  const int bytes = i.count * i.width;
  std::array<uint8_t, kLanes * 16> result;
  for (int lane = 0; lane < kLanes; lane++) {
    for (int k = 0; k < i.count; k++) {
      memcpy(result.data() + lane * bytes + k * i.width, Lanes<uint8_t>(w, i.list[k]) + lane * i.width, i.width);
    }
  }
  ForLanes(mask,
           [&](int lane) { memcpy(Lanes<uint8_t>(w, i.dst) + lane * bytes, result.data() + lane * bytes, bytes); });
}

// The usual two halves, as a loop that becomes vector instructions.
template <class Part, class Whole>
void PackPair(Warp& w, const Instruction& i, Mask mask) {
  const Part *low = Lanes<Part>(w, i.list[0]), *high = Lanes<Part>(w, i.list[1]);
  Whole t[kLanes];
  for (int lane = 0; lane < kLanes; lane++) t[lane] = low[lane] | Whole{high[lane]} << (8 * sizeof(Part));
  Store(Lanes<Whole>(w, i.dst), t, mask);
}

Handler PackHandler(const Instruction& i) {
  if (i.count == 2 && i.width == 2) return PackPair<uint16_t, uint32_t>;
  if (i.count == 2 && i.width == 4) return PackPair<uint32_t, uint64_t>;
  return Pack;
}

// %clock, %clock64, %globaltimer count the warp's instructions: monotone and deterministic.
template <class T>
void Clock(Warp& w, const Instruction& i, Mask mask) {
  T t[kLanes];
  for (T& x : t) x = static_cast<T>(w.executed);
  Store(Lanes<T>(w, i.dst), t, mask);
}

template <int64_t kOffset>
struct Shift {
  uint64_t operator()(uint64_t a) const { return a + kOffset; }
};

template <uint64_t kWindow>
void InWindow(Warp& w, const Instruction& i, Mask mask) {
  Mask result = 0;
  for (int lane = 0; lane < kLanes; lane++) {
    result |= static_cast<Mask>(Lanes<uint64_t>(w, i.a)[lane] - kWindow < kWindowBytes) << lane;
  }
  SetPredicate(w, i.dst, mask, result);
}

void InGlobal(Warp& w, const Instruction& i, Mask mask) {
  Mask result = 0;
  for (int lane = 0; lane < kLanes; lane++) {
    result |= static_cast<Mask>(w.launch->memory->Contains(Lanes<uint64_t>(w, i.a)[lane])) << lane;
  }
  SetPredicate(w, i.dst, mask, result);
}

}  // namespace

void DecodeMov(Decoder& d, Instruction& i) {
  using Kind = ptx::Operand::Kind;
  const ptx::Type type = d.TypeAt();
  const int bytes = ptx::SizeOf(type);
  const ptx::Operand &to = d.operand(0), &from = d.operand(1);
  if (type == ptx::Type::kPred) {
    bool negated = false;
    i.dst = d.Destination(to);
    i.a = d.PredicateSource(from, negated);
    i.flags = negated ? 1 : 0;
    i.run = MovPredicate;
  } else if (to.kind == Kind::kVector || from.kind == Kind::kVector) {
    const bool unpack = to.kind == Kind::kVector;
    const std::vector<ptx::Operand>& parts = (unpack ? to : from).elements;
    i.count = static_cast<uint8_t>(parts.size());
    i.width = static_cast<uint8_t>(bytes / i.count);
    i.list = d.List(parts, i.width);
    if (unpack) {
      i.a = d.Source(from, bytes);
    } else {
      i.dst = d.Destination(to);
    }
    i.run = unpack ? Unpack : PackHandler(i);
  } else if (from.kind == Kind::kSymbol && (from.name == "%clock" || from.name == "%clock_hi" ||
                                            from.name == "%clock64" || from.name == "%globaltimer")) {
    i.dst = d.Destination(to);
    i.run = bytes == 8 ? Clock<uint64_t> : Clock<uint32_t>;
  } else {
    i.dst = d.Destination(to);
    i.a = d.Source(from, bytes);
    i.run = ForBits(type, [](auto tag) -> Handler {
      using T = typename decltype(tag)::type;
      return Unary<T, T, Same>;
    });
  }
}

// Global, constant and parameter addresses are generic ones already; shared and local memory lie in windows.
void DecodeCvta(Decoder& d, Instruction& i) {
  if (ptx::SizeOf(d.TypeAt()) != 8) d.Fail("32-bit generic addresses are not emulated");
  const bool to = d.Has("to");
  i.dst = d.Destination(d.operand(0));
  i.a = d.Source(d.operand(1), 8);
  if (d.Has("shared") || d.Has("shared::cta")) {
    i.run = to ? Unary<uint64_t, uint64_t, Shift<-static_cast<int64_t>(kSharedWindow)>>
               : Unary<uint64_t, uint64_t, Shift<static_cast<int64_t>(kSharedWindow)>>;
  } else if (d.Has("local")) {
    i.run = to ? Unary<uint64_t, uint64_t, Shift<-static_cast<int64_t>(kLocalWindow)>>
               : Unary<uint64_t, uint64_t, Shift<static_cast<int64_t>(kLocalWindow)>>;
  } else if (d.Has("global") || d.Has("const") || d.Has("param")) {
    i.run = Unary<uint64_t, uint64_t, Same>;
  }
}

void DecodeIsspacep(Decoder& d, Instruction& i) {
  i.dst = d.Destination(d.operand(0));
  i.a = d.Source(d.operand(1), 8);
  if (d.Has("shared") || d.Has("shared::cta")) i.run = InWindow<kSharedWindow>;
  if (d.Has("local")) i.run = InWindow<kLocalWindow>;
  if (d.Has("param")) i.run = InWindow<kParameterWindow>;
  if (d.Has("global")) i.run = InGlobal;
}

}  // namespace emulation
