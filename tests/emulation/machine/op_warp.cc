// Instructions across the lanes of a warp. All but activemask wait until every lane of their mask is here
// (Flow::kConverge, mask in register d).
#include <algorithm>

#include "tests/emulation/machine/lanes.h"
#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

// The mask must be the same for all of its lanes, and hold those that execute.
Mask Members(const Warp& w, const Instruction& i, Mask mask) {
  const Mask members = Lanes<Mask>(w, i.d)[std::countr_zero(mask)];
  ForLanes(mask, [&](int lane) {
    if (Lanes<Mask>(w, i.d)[lane] != members)
      Fail(w, i, lane, FaultKind::kDivergence, "lanes that meet here name different masks");
    if (!(members >> lane & 1)) Fail(w, i, lane, FaultKind::kDivergence, "a lane that its own mask does not hold");
  });
  return members;
}

enum ShuffleMode : uint8_t { kUp, kDown, kBfly, kIdx };

void Shfl(Warp& w, const Instruction& i, Mask mask) {
  Members(w, i, mask);
  const uint32_t* a = Lanes<uint32_t>(w, i.a);
  const uint32_t* b = Lanes<uint32_t>(w, i.b);
  const uint32_t* c = Lanes<uint32_t>(w, i.c);
  uint32_t t[kLanes];
  Mask valid = 0;
  ForLanes(mask, [&](int lane) {
    // c: the clamp, and in bits 8…12 which bits of the lane number name its segment.
    const int clamp = c[lane] & 31, segment = c[lane] >> 8 & 31, offset = b[lane] & 31;
    const int first = lane & segment, last = first | (clamp & ~segment);
    int from = 0;
    bool inside = false;
    switch (i.mode) {
      case kUp:
        from = lane - offset;
        inside = from >= last;  // the clamp of .up is the segment's first lane
        break;
      case kDown:
        from = lane + offset;
        inside = from <= last;
        break;
      case kBfly:
        from = lane ^ offset;
        inside = from <= last;
        break;
      default:
        from = first | (offset & ~segment);
        inside = from <= last;
    }
    if (!inside) from = lane;
    if (!(mask >> from & 1)) {
      Fail(w, i, lane, FaultKind::kDivergence, "reads lane " + std::to_string(from) + ", which does not take part");
    }
    t[lane] = a[from];
    valid |= static_cast<Mask>(inside) << lane;
  });
  Store(Lanes<uint32_t>(w, i.dst), t, mask);
  if (i.dst2 != 0) SetPredicate(w, i.dst2, mask, valid);
}

enum VoteMode : uint8_t { kAll, kAny, kUni, kBallot };

void Vote(Warp& w, const Instruction& i, Mask mask) {
  Members(w, i, mask);
  const Mask yes = (i.flags & 1 ? ~Predicate(w, i.a) : Predicate(w, i.a)) & mask;
  if (i.mode == kBallot) {
    ForLanes(mask, [&](int lane) { Lanes<uint32_t>(w, i.dst)[lane] = yes; });
    return;
  }
  const bool result = i.mode == kAll ? yes == mask : i.mode == kAny ? yes != 0 : yes == mask || yes == 0;
  SetPredicate(w, i.dst, mask, result ? mask : 0);
}

template <class T, bool kAllSame>
void Match(Warp& w, const Instruction& i, Mask mask) {
  Members(w, i, mask);
  const T* a = Lanes<T>(w, i.a);
  uint32_t t[kLanes];
  Mask all = mask;
  ForLanes(mask, [&](int lane) {
    Mask same = 0;
    ForLanes(mask, [&](int other) { same |= static_cast<Mask>(a[other] == a[lane]) << other; });
    t[lane] = same;
    all &= same;
  });
  if (kAllSame) {
    for (uint32_t& x : t) x = all == mask ? mask : 0;
    if (i.dst2 != 0) SetPredicate(w, i.dst2, mask, all == mask ? mask : 0);
  }
  Store(Lanes<uint32_t>(w, i.dst), t, mask);
}

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
  }
};
struct Min {
  template <class T>
  T operator()(T a, T b) const {
    return std::min(a, b);
  }
};
struct Max {
  template <class T>
  T operator()(T a, T b) const {
    return std::max(a, b);
  }
};
struct And {
  uint32_t operator()(uint32_t a, uint32_t b) const { return a & b; }
};
struct Or {
  uint32_t operator()(uint32_t a, uint32_t b) const { return a | b; }
};
struct Xor {
  uint32_t operator()(uint32_t a, uint32_t b) const { return a ^ b; }
};

template <class T, class Op>
void Redux(Warp& w, const Instruction& i, Mask mask) {
  Members(w, i, mask);
  const T* a = Lanes<T>(w, i.a);
  T result = a[std::countr_zero(mask)];
  ForLanes(mask & (mask - 1), [&](int lane) { result = Op()(result, a[lane]); });
  T t[kLanes];
  std::fill(std::begin(t), std::end(t), result);
  Store(Lanes<T>(w, i.dst), t, mask);
}

// D | P, or D alone; the predicate or the value may be a sink.
void DecodePair(Decoder& d, Instruction& i) {
  const ptx::Operand& to = d.operand(0);
  const bool pair = to.kind == ptx::Operand::Kind::kPair;
  i.dst = d.Destination(pair ? to.elements[0] : to);
  if (pair) i.dst2 = d.Destination(to.elements[1]);
}

}  // namespace

void DecodeShfl(Decoder& d, Instruction& i) {
  if (!d.Has("sync")) return;  // without a mask it is gone since sm_70
  DecodePair(d, i);
  i.a = d.Source(d.operand(1), 4);
  i.b = d.Source(d.operand(2), 4);
  i.c = d.Source(d.operand(3), 4);
  i.d = d.Source(d.operand(4), 4);
  i.mode = d.Has("up") ? kUp : d.Has("down") ? kDown : d.Has("bfly") ? kBfly : kIdx;
  i.flow = Flow::kConverge;
  i.run = Shfl;
}

void DecodeVote(Decoder& d, Instruction& i) {
  if (!d.Has("sync")) return;
  bool negated = false;
  i.dst = d.Destination(d.operand(0));
  i.a = d.PredicateSource(d.operand(1), negated);
  i.flags = negated ? 1 : 0;
  i.d = d.Source(d.operand(2), 4);
  i.mode = d.Has("all") ? kAll : d.Has("any") ? kAny : d.Has("uni") ? kUni : kBallot;
  i.flow = Flow::kConverge;
  i.run = Vote;
}

void DecodeMatch(Decoder& d, Instruction& i) {
  const int bytes = ptx::SizeOf(d.TypeAt());
  DecodePair(d, i);
  i.a = d.Source(d.operand(1), bytes);
  i.d = d.Source(d.operand(2), 4);
  i.flow = Flow::kConverge;
  if (d.Has("all")) {
    i.run = bytes == 8 ? Match<uint64_t, true> : Match<uint32_t, true>;
  } else {
    i.run = bytes == 8 ? Match<uint64_t, false> : Match<uint32_t, false>;
  }
}

void DecodeActivemask(Decoder& d, Instruction& i) {
  i.dst = d.Destination(d.operand(0));
  i.run = [](Warp& w, const Instruction& self, Mask mask) {
    ForLanes(mask, [&](int lane) { Lanes<uint32_t>(w, self.dst)[lane] = mask; });
  };
}

void DecodeRedux(Decoder& d, Instruction& i) {
  i.dst = d.Destination(d.operand(0));
  i.a = d.Source(d.operand(1), 4);
  i.d = d.Source(d.operand(2), 4);
  i.flow = Flow::kConverge;
  const bool is_signed = d.TypeAt() == ptx::Type::kS32;
  if (d.TypeAt() == ptx::Type::kF32) return;  // sm_100a only
  if (d.Has("add")) i.run = Redux<uint32_t, Add>;
  if (d.Has("min")) i.run = is_signed ? Redux<int32_t, Min> : Redux<uint32_t, Min>;
  if (d.Has("max")) i.run = is_signed ? Redux<int32_t, Max> : Redux<uint32_t, Max>;
  if (d.Has("and")) i.run = Redux<uint32_t, And>;
  if (d.Has("or")) i.run = Redux<uint32_t, Or>;
  if (d.Has("xor")) i.run = Redux<uint32_t, Xor>;
}

// elect.sync D|P, MASK: one lane, here the lowest, has P.
void DecodeElect(Decoder& d, Instruction& i) {
  DecodePair(d, i);
  i.d = d.Source(d.operand(1), 4);
  i.flow = Flow::kConverge;
  i.run = [](Warp& w, const Instruction& self, Mask mask) {
    Members(w, self, mask);
    const int leader = std::countr_zero(mask);
    ForLanes(mask, [&](int lane) { Lanes<uint32_t>(w, self.dst)[lane] = leader; });
    SetPredicate(w, self.dst2, mask, 1u << leader);
  };
}

}  // namespace emulation
