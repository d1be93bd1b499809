// cp.async. A copy is checked when it is issued and happens when something waits for it.
#include "tests/emulation/machine/access.h"
#include "tests/emulation/machine/async.h"
#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

enum SourceBytes : uint8_t { kWhole, kRegister, kIgnored };  // kIgnored: a predicate that asks for zeros

// a: source + value, b: destination + target, count: bytes, c: source bytes or predicate.
void Issue(Warp& w, const Instruction& i, Mask mask) {
  ForLanes(mask, [&](int lane) {
    const uint64_t source = Lanes<uint64_t>(w, i.a)[lane] + i.value;
    const uint32_t target = Lanes<uint32_t>(w, i.b)[lane] + static_cast<uint32_t>(i.target);
    uint32_t bytes = i.count;
    if (i.mode == kRegister) bytes = Lanes<uint32_t>(w, i.c)[lane];
    if (i.mode == kIgnored && (Predicate(w, i.c) >> lane & 1)) bytes = 0;
    if (bytes > i.count) {
      Fail(w, i, lane, FaultKind::kOutOfBounds,
           "source of " + std::to_string(bytes) + " bytes for a copy of " + std::to_string(i.count));
    }
    ResolveShared(w, i, lane, target, i.count, i.count);
    if (bytes > 0) {
      ResolveGlobal(w, i, lane, source, bytes);
      if (source % i.count != 0)
        Fail(w, i, lane, FaultKind::kMisaligned, "source of cp.async is no multiple of " + std::to_string(i.count));
    }
    if (w.launch->options->checked) {
      const Conflict conflict = w.block->shadow.Begin(target, i.count, w.index * kLanes + lane);
      if (conflict.kind != Conflict::kNone) FailConflict(w, i, lane, conflict);
      if (bytes > 0) InspectGlobal(w, i, lane, source, bytes, Kind::kRead);
    }
    w.copies.push_back({source, target, i.count, static_cast<uint16_t>(bytes), static_cast<uint8_t>(lane),
                        w.open_group[lane], w.copy_serial++});
  });
}

void Commit(Warp& w, const Instruction&, Mask mask) {
  ForLanes(mask, [&](int lane) { w.open_group[lane]++; });
}

// value: groups that may stay in flight; -1: nothing may, not even what was never committed.
void Wait(Warp& w, const Instruction& i, Mask mask) {
  CompleteCopies(w, i, [&](const AsyncCopy& copy) {
    return (mask >> copy.lane & 1) && (i.value < 0 || copy.group + i.value < w.open_group[copy.lane]);
  });
}

}  // namespace

void CompleteCopy(Warp& w, const Instruction& i, const AsyncCopy& copy) {
  if (w.launch->options->checked) w.block->shadow.Complete(copy.target, copy.bytes, w.index * kLanes + copy.lane);
  uint8_t* to = w.block->shared.data() + copy.target;
  memset(to, 0, copy.bytes);
  if (copy.source_bytes > 0)
    memcpy(to, ResolveGlobal(w, i, copy.lane, copy.source, copy.source_bytes), copy.source_bytes);
}

void DecodeCp(Decoder& d, Instruction& i) {
  if (!d.Has("async") || d.Has("bulk") || d.Has("reduce")) return;
  if (d.Has("mbarrier")) return DecodeMbarrier(d, i);
  if (d.Has("commit_group")) {
    i.run = Commit;
  } else if (d.Has("wait_all")) {
    i.value = -1;
    i.run = Wait;
  } else if (d.Has("wait_group")) {
    i.value = d.operand(0).value;
    i.run = Wait;
  } else {
    Instruction target;
    d.Address(d.operand(0), target);
    if (target.wide && d.operand(0).elements[0].kind == ptx::Operand::Kind::kRegister)
      d.Fail("64-bit shared addresses are not emulated");
    d.Address(d.operand(1), i);
    i.b = target.wide ? d.Source(d.operand(0).elements[0], 4) : target.a;
    i.target = static_cast<int32_t>(target.value);
    i.count = static_cast<uint8_t>(d.operand(2).value);
    if (i.count != 4 && i.count != 8 && i.count != 16) d.Fail("copies have 4, 8 or 16 bytes");
    if (d.operands() > 3) {
      const ptx::Operand& extra = d.operand(3);
      i.mode = d.IsPredicate(extra) ? kIgnored : d.Has("L2::cache_hint") && d.operands() == 4 ? kWhole : kRegister;
      bool negated = false;
      if (i.mode == kIgnored) i.c = d.PredicateSource(extra, negated);
      if (i.mode == kRegister) i.c = d.Source(extra, 4);
      if (negated) return;
    }
    i.run = Issue;
  }
}

}  // namespace emulation
