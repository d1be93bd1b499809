// The instruction loop. A warp is a set of fragments {pc, lanes, frame}. The deepest call runs first, in it the lowest
// pc; fragments that meet join. So lanes of a branch that was not taken wait where the branches meet, without a
// control-flow graph.
#include "tests/emulation/machine/run.h"

#include <bit>

#include "tests/emulation/machine/frame.h"

namespace emulation {
namespace {

// Long enough that a turn's start costs nothing, short enough that lanes that wait for each other come round soon.
constexpr uint64_t kTurnInstructions = 1 << 16;

// Takes the fragment that runs next out of the warp, joined with those at its place. False: all of them wait.
bool Select(Warp& warp, Fragment& chosen, int& meet) {
  std::vector<Fragment>& fragments = warp.fragments;
  const bool split = warp.launch->options->split_warps;
  // Lanes at one place join; when lanes diverged on purpose, only those that wait for each other do.
  for (size_t a = 0; a < fragments.size(); a++) {
    for (size_t b = a + 1; b < fragments.size();) {
      const bool same = fragments[a].pc == fragments[b].pc && fragments[a].frame == fragments[b].frame;
      if (same && (!split || (fragments[a].waiting && fragments[b].waiting))) {
        fragments[a].mask |= fragments[b].mask;
        fragments[a].waiting = false;
        fragments.erase(fragments.begin() + b);
      } else {
        b++;
      }
    }
  }
  int best = -1;
  std::vector<int> ready;
  for (int k = 0; k < static_cast<int>(fragments.size()); k++) {
    if (fragments[k].waiting) continue;
    ready.push_back(k);
    const Fragment& f = fragments[k];
    if (best < 0 || f.frame->depth > fragments[best].frame->depth ||
        (f.frame->depth == fragments[best].frame->depth && f.pc < fragments[best].pc)) {
      best = k;
    }
  }
  if (best < 0) return false;
  if (ready.size() > 1 && (split || warp.rotate)) best = ready[warp.launch->Random() % ready.size()];
  warp.rotate = false;
  chosen = fragments[best];
  fragments.erase(fragments.begin() + best);
  // Where it meets others of its frame it stops, so that they join.
  meet = INT32_MAX;
  if (!split) {
    for (const Fragment& f : fragments) {
      if (f.frame == chosen.frame && f.pc > chosen.pc) meet = std::min(meet, f.pc);
    }
  }
  return true;
}

class Runner {
 public:
  explicit Runner(Warp& warp) : w_(warp), code_(warp.launch->program->code.data()) {}

  Stop Run() {
    const uint64_t end = w_.executed + kTurnInstructions;
    w_.yield = false;
    while (!w_.fragments.empty()) {
      if (w_.executed >= end) {
        w_.rotate = true;
        return Stop::kTurn;
      }
      if (!Select(w_, f_, meet_)) FailWaiting();
      switch (RunFragment(end)) {
        case Next::kOther:
          break;
        case Next::kBarrier:
          return Stop::kBarrier;
        case Next::kTurn:
          w_.fragments.push_back(f_);
          w_.rotate = true;
          return Stop::kTurn;
      }
    }
    return Stop::kEnd;
  }

 private:
  enum class Next { kOther, kBarrier, kTurn };

  Next RunFragment(uint64_t end) {
    w_.frame = f_.frame;
    w_.registers = f_.frame->registers.get();
    std::vector<uint64_t>* hits = w_.launch->options->hits;
    while (true) {
      const Instruction& i = code_[f_.pc];
      Mask mask = f_.mask;
      if (i.guarded) mask &= i.guard_negated ? ~Predicate(w_, i.guard) : Predicate(w_, i.guard);
      w_.executed++;
      if (hits != nullptr) (*hits)[f_.pc]++;
      if (i.flow == Flow::kNext) {
        if (mask != 0) i.run(w_, i, mask);
        f_.pc++;
        if (w_.yield) return Next::kTurn;
      } else {
        Next next = Next::kOther;
        if (!Control(i, mask, next)) return next;
      }
      if (f_.pc >= meet_) {
        w_.fragments.push_back(f_);
        return Next::kOther;
      }
      if (w_.executed >= end) return Next::kTurn;
    }
  }

  // True: the fragment goes on at its pc. False: it was put away, `next` says what comes.
  bool Control(const Instruction& i, Mask mask, Next& next) {
    switch (i.flow) {
      case Flow::kBranch:
        return Branch(i, mask);
      case Flow::kBranchIndexed:
        return BranchIndexed(i, mask);
      case Flow::kCall:
        return Call(i, mask);
      case Flow::kReturn:
        if (f_.frame->caller != nullptr) return Return(mask);
        [[fallthrough]];
      case Flow::kExit:
        return Exit(i, mask);
      case Flow::kConverge:
        if (mask == 0) {
          f_.pc++;
          return true;
        }
        if (!Converged(i, mask, Lanes<Mask>(w_, i.d)[std::countr_zero(mask)])) return false;
        i.run(w_, i, mask);
        f_.pc++;
        return true;
      case Flow::kBarrier:
        if (mask == 0) {
          f_.pc++;
          return true;
        }
        if (!Converged(i, mask, w_.live)) return false;
        i.run(w_, i, mask);
        f_.pc++;
        if (w_.barrier < 0) return true;  // bar.arrive goes on
        w_.barrier_instruction = &i;
        w_.fragments.push_back(f_);
        next = Next::kBarrier;
        return false;
      case Flow::kNext:
        break;
    }
    return true;
  }

  void PutAside(int pc, Mask mask) {
    if (mask != 0) w_.fragments.push_back({pc, mask, f_.frame, false});
  }

  bool Branch(const Instruction& i, Mask mask) {
    if (mask == f_.mask) {
      const bool back = i.target <= f_.pc;
      f_.pc = i.target;
      if (!back || w_.fragments.empty()) return true;
      // A jump back may pass others of the frame: choose again.
      w_.fragments.push_back(f_);
      return false;
    }
    if (mask == 0) {
      f_.pc++;
      return true;
    }
    PutAside(i.target, mask);
    PutAside(f_.pc + 1, f_.mask & ~mask);
    return false;
  }

  bool BranchIndexed(const Instruction& i, Mask mask) {
    PutAside(f_.pc + 1, f_.mask & ~mask);
    const uint32_t* index = Lanes<uint32_t>(w_, i.a);
    for (int lane = 0; lane < kLanes; lane++) {
      if (!(mask >> lane & 1)) continue;
      if (index[lane] >= static_cast<uint64_t>(i.value))
        Fail(w_, i, lane, FaultKind::kTrap, "brx.idx beyond its list of targets");
      PutAside(static_cast<int>(i.list[index[lane]]), 1u << lane);
    }
    return false;
  }

  bool Call(const Instruction& i, Mask mask) {
    PutAside(f_.pc + 1, f_.mask & ~mask);
    for (int lane = 0; lane < kLanes && i.target < 0; lane++) {
      if (mask >> lane & 1) EnterPointer(i, lane);
    }
    if (i.target >= 0 && mask != 0) Enter(w_.launch->program->functions[i.target], mask);
    return false;
  }

  void EnterPointer(const Instruction& i, int lane) {
    const uint64_t number = Lanes<uint64_t>(w_, i.a)[lane] - kFunctionWindow;
    const auto& functions = w_.launch->program->functions;
    if (number >= functions.size() || functions[number].begin < 0)
      Fail(w_, i, lane, FaultKind::kTrap, "call of something that is no function");
    Enter(functions[number], 1u << lane);
  }

  void Enter(const Function& function, Mask mask) {
    Frame* frame = EnterFunction(w_, function, f_.frame, f_.pc, mask);
    w_.fragments.push_back({function.begin, mask, frame, false});
  }

  bool Return(Mask mask) {
    if (mask == 0) {
      f_.pc++;
      return true;
    }
    PutAside(f_.pc + 1, f_.mask & ~mask);
    Frame* frame = f_.frame;
    w_.fragments.push_back({frame->call + 1, mask, frame->caller, false});
    LeaveFunction(w_, frame, mask);
    return false;
  }

  bool Exit(const Instruction& i, Mask mask) {
    for (const AsyncCopy& copy : w_.copies) {
      if ((mask >> copy.lane & 1) && w_.launch->options->checked && !IsPromised(copy)) {
        Fail(w_, i, copy.lane, FaultKind::kPendingCopy, "exit with cp.async in flight");
      }
    }
    w_.exited |= mask;
    f_.mask &= ~mask;
    f_.pc++;
    return f_.mask != 0;
  }

  // Somebody else waits for the copy, by an mbarrier.
  bool IsPromised(const AsyncCopy& copy) const {
    for (const auto& [address, promises] : w_.block->promises) {
      for (const PromisedArrival& promise : promises) {
        if (promise.warp == w_.index && promise.lane == copy.lane && copy.serial < promise.serial) return true;
      }
    }
    return false;
  }

  // Whether all of `wanted` that still run are here; else the fragment waits for them.
  bool Converged(const Instruction& i, Mask mask, Mask wanted) {
    wanted &= w_.live & ~w_.exited;
    if ((wanted & ~mask) == 0) return true;
    if (wanted & f_.mask & ~mask) {
      Fail(w_, i, std::countr_zero(wanted & f_.mask & ~mask), FaultKind::kDivergence,
           "a lane that is needed here skips the instruction");
    }
    f_.waiting = true;
    w_.fragments.push_back(f_);
    return false;
  }

  [[noreturn]] void FailWaiting() {
    const Fragment& f = w_.fragments.front();
    w_.frame = f.frame;
    w_.registers = f.frame->registers.get();
    Mask missing = w_.live & ~w_.exited & ~f.mask;
    const Instruction& i = code_[f.pc];
    if (i.flow == Flow::kConverge) missing &= Lanes<Mask>(w_, i.d)[std::countr_zero(f.mask)];
    Fail(w_, i, std::countr_zero(f.mask), FaultKind::kDivergence,
         "lane " + std::to_string(std::countr_zero(missing)) + " of the warp is needed here and waits elsewhere");
  }

  Warp& w_;
  const Instruction* code_;
  Fragment f_;
  int meet_ = 0;
};

}  // namespace

Stop RunWarp(Warp& warp) { return Runner(warp).Run(); }

}  // namespace emulation
