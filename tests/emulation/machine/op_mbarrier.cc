// mbarrier: a count of arrivals in shared memory that completes phase after phase.
#include "tests/emulation/machine/access.h"
#include "tests/emulation/machine/async.h"
#include "tests/emulation/machine/ops.h"

namespace emulation {
namespace {

// The 64-bit object as it lies in shared memory here; programs may not look inside.
struct Mbarrier {
  uint64_t expected : 20;  // arrivals of a phase
  uint64_t pending : 20;   // still to come in this one
  uint64_t bytes : 23;     // of transactions still to come
  uint64_t phase : 1;
};
static_assert(sizeof(Mbarrier) == 8);

enum Operation : uint8_t {
  kInit,
  kInval,
  kArrive,
  kArriveDrop,
  kExpect,
  kCompleteBytes,
  kTest,
  kTestParity,
  kCopyArrive
};
enum Flag : uint8_t { kNoIncrement = 64, kExpectBytes = 128 };

class Object {
 public:
  Object(Warp& w, const Instruction& i, int lane, Kind kind) : w_(w), offset_(Offset(w, i, lane)) {
    memory_ = ResolveShared(w, i, lane, offset_, sizeof value, sizeof value);
    if (w.launch->options->checked) InspectShared(w, i, lane, offset_, sizeof value, kind);
    memcpy(&value, memory_, sizeof value);
  }
  ~Object() { memcpy(memory_, &value, sizeof value); }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  MbarrierOrder& Order() { return w_.block->orders[offset_]; }
  uint32_t offset() const { return offset_; }

  // `warp` arrives `count` times; the phase ends when nothing is missing.
  void Arrive(const Instruction& i, int lane, int warp, uint32_t count) {
    if (count > value.pending)
      Fail(w_, i, lane, FaultKind::kBarrier, "more arrivals at an mbarrier than it was set up for");
    if (w_.launch->options->checked) w_.block->shadow.Release(warp, Order().collecting);
    value.pending -= count;
    CompletePhase();
  }

  void CompletePhase() {
    if (value.pending != 0 || value.bytes != 0) return;
    value.pending = value.expected;
    value.phase ^= 1;
    Order().completed = Order().collecting;
  }

  Mbarrier value{};

 private:
  static uint32_t Offset(const Warp& w, const Instruction& i, int lane) {
    if (!i.wide) return Lanes<uint32_t>(w, i.a)[lane] + static_cast<uint32_t>(i.value);
    const uint64_t address = Lanes<uint64_t>(w, i.a)[lane] + i.value;
    return static_cast<uint32_t>(address - kSharedWindow < kWindowBytes ? address - kSharedWindow : address);
  }

  Warp& w_;
  uint32_t offset_;
  uint8_t* memory_ = nullptr;
};

uint32_t Count(const Warp& w, const Instruction& i, int lane) { return i.b == 0 ? 1 : Lanes<uint32_t>(w, i.b)[lane]; }

void Init(Warp& w, const Instruction& i, Mask mask) {
  ForLanes(mask, [&](int lane) {
    Object object(w, i, lane, Kind::kWrite);
    const uint32_t count = Count(w, i, lane);
    if (count == 0 || count >= 1u << 20)
      Fail(w, i, lane, FaultKind::kBarrier, "mbarrier for " + std::to_string(count) + " arrivals");
    object.value = {count, count, 0, 0};
    object.Order() = {};
  });
}

void Invalidate(Warp& w, const Instruction& i, Mask mask) {
  ForLanes(mask, [&](int lane) { Object(w, i, lane, Kind::kWrite).value = {}; });
}

void Arrive(Warp& w, const Instruction& i, Mask mask) {
  ForLanes(mask, [&](int lane) {
    Object object(w, i, lane, Kind::kAtomic);
    uint32_t count = Count(w, i, lane);
    if (i.flags & kExpectBytes) {
      object.value.bytes += count;
      count = 1;
    }
    if (i.dst != 0) memcpy(&Lanes<uint64_t>(w, i.dst)[lane], &object.value, sizeof object.value);
    if (i.mode == kArriveDrop) object.value.expected -= count;
    object.Arrive(i, lane, w.index, count);
  });
}

void TransactionBytes(Warp& w, const Instruction& i, Mask mask) {
  ForLanes(mask, [&](int lane) {
    Object object(w, i, lane, Kind::kAtomic);
    if (i.mode == kExpect) {
      object.value.bytes += Count(w, i, lane);
    } else {
      object.value.bytes -= Count(w, i, lane);
      object.CompletePhase();
    }
  });
}

// The lane's copies so far will arrive for it. Without .noinc the phase waits for one more arrival.
void CopyArrive(Warp& w, const Instruction& i, Mask mask) {
  ForLanes(mask, [&](int lane) {
    Object object(w, i, lane, Kind::kAtomic);
    if (!(i.flags & kNoIncrement)) object.value.pending++;
    w.block->promises[object.offset()].push_back({w.index, lane, w.copy_serial});
  });
}

void KeepPromises(Warp& w, const Instruction& i, int lane, Object& object) {
  const auto it = w.block->promises.find(object.offset());
  if (it == w.block->promises.end()) return;
  const std::vector<PromisedArrival> promises = std::move(it->second);
  w.block->promises.erase(it);
  for (const PromisedArrival& promise : promises) {
    Warp& copier = w.block->warps[promise.warp];
    CompleteCopies(copier, i,
                   [&](const AsyncCopy& copy) { return copy.lane == promise.lane && copy.serial < promise.serial; });
    object.Arrive(i, lane, promise.warp, 1);
  }
}

// Has the phase of the state, or of the parity, ended?
void TestWait(Warp& w, const Instruction& i, Mask mask) {
  Mask done = 0;
  ForLanes(mask, [&](int lane) {
    Object object(w, i, lane, Kind::kAtomic);
    uint64_t phase = 0;
    if (i.mode == kTestParity) {
      phase = Lanes<uint32_t>(w, i.b)[lane] & 1;
    } else {
      Mbarrier state;
      memcpy(&state, &Lanes<uint64_t>(w, i.b)[lane], sizeof state);
      phase = state.phase;
    }
    if (object.value.phase == phase) KeepPromises(w, i, lane, object);
    if (object.value.phase == phase) return;
    done |= 1u << lane;
    if (w.launch->options->checked) w.block->shadow.Acquire(w.index, object.Order().completed);
  });
  SetPredicate(w, i.dst, mask, done);
  // The loop around would only turn: other warps first.
  if (done != mask) w.yield = true;
}

void PendingCount(Warp& w, const Instruction& i, Mask mask) {
  ForLanes(mask, [&](int lane) {
    Mbarrier state;
    memcpy(&state, &Lanes<uint64_t>(w, i.a)[lane], sizeof state);
    Lanes<uint32_t>(w, i.dst)[lane] = static_cast<uint32_t>(state.pending);
  });
}

void DecodeTest(Decoder& d, Instruction& i) {
  i.dst = d.Destination(d.operand(0));
  d.Address(d.operand(1), i);
  i.mode = d.Has("parity") ? kTestParity : kTest;
  i.b = d.Source(d.operand(2), i.mode == kTestParity ? 4 : 8);
  i.run = TestWait;
}

void DecodeArrive(Decoder& d, Instruction& i) {
  // arrive STATE, [ADDRESS][, COUNT]; the state may be left out.
  size_t at = 0;
  if (d.operand(0).kind != ptx::Operand::Kind::kAddress) i.dst = d.Destination(d.operand(at++));
  d.Address(d.operand(at++), i);
  if (at < d.operands()) i.b = d.Source(d.operand(at), 4);
  i.mode = d.Has("arrive_drop") ? kArriveDrop : kArrive;
  if (d.Has("expect_tx")) i.flags |= kExpectBytes;
  i.run = Arrive;
}

}  // namespace

// Also cp.async.mbarrier.arrive.
void DecodeMbarrier(Decoder& d, Instruction& i) {
  if (d.statement().op[0] == "cp") {
    d.Address(d.operand(0), i);
    i.mode = kCopyArrive;
    if (d.Has("noinc")) i.flags |= kNoIncrement;
    i.run = CopyArrive;
  } else if (d.Has("init")) {
    d.Address(d.operand(0), i);
    i.b = d.Source(d.operand(1), 4);
    i.run = Init;
  } else if (d.Has("inval")) {
    d.Address(d.operand(0), i);
    i.run = Invalidate;
  } else if (d.Has("test_wait") || d.Has("try_wait")) {
    DecodeTest(d, i);
  } else if (d.Has("arrive") || d.Has("arrive_drop")) {
    DecodeArrive(d, i);
  } else if (d.Has("expect_tx") || d.Has("complete_tx")) {
    d.Address(d.operand(0), i);
    i.b = d.Source(d.operand(1), 4);
    i.mode = d.Has("expect_tx") ? kExpect : kCompleteBytes;
    i.run = TransactionBytes;
  } else if (d.Has("pending_count")) {
    i.dst = d.Destination(d.operand(0));
    i.a = d.Source(d.operand(1), 8);
    i.run = PendingCount;
  }
}

}  // namespace emulation
