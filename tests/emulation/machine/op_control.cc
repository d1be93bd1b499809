// Branches, calls, ends, barriers of the block.
#include <algorithm>
#include <string>

#include "tests/emulation/machine/frame.h"
#include "tests/emulation/machine/lanes.h"
#include "tests/emulation/machine/ops.h"
#include "tests/emulation/machine/print.h"

namespace emulation {
namespace {

void Nothing(Warp&, const Instruction&, Mask) {}

enum BarMode : uint8_t { kPopc, kAll, kAny, kSync, kArrive };

// Runs once the whole warp is here. The block counts what is needed; see Scheduler::OpenBarriers.
void Bar(Warp& w, const Instruction& i, Mask mask) {
  const int first = std::countr_zero(mask);
  const uint32_t id = Lanes<uint32_t>(w, i.a)[first], threads = Lanes<uint32_t>(w, i.b)[first];
  if (id >= 16) Fail(w, i, first, FaultKind::kBarrier, "barrier " + std::to_string(id) + ", the last one is 15");
  Barrier& barrier = w.block->barriers[id];
  if (i.count > 1) {
    if (threads == 0 || threads % kLanes != 0) {
      Fail(w, i, first, FaultKind::kBarrier, std::to_string(threads) + " threads at a barrier, no multiple of 32");
    }
    if (barrier.expected != 0 && barrier.expected != static_cast<int>(threads)) {
      Fail(w, i, first, FaultKind::kBarrier,
           "barrier " + std::to_string(id) + " of " + std::to_string(threads) + " threads, others there said " +
               std::to_string(barrier.expected));
    }
    barrier.expected = static_cast<int>(threads);
  }
  if (i.mode == kArrive) {
    barrier.arrived += kLanes;
    barrier.arrivals.push_back(w.index);
    return;
  }
  if (i.mode != kSync) {
    const Mask votes = (i.flags & 1 ? ~Predicate(w, i.c) : Predicate(w, i.c)) & mask;
    barrier.votes += std::popcount(votes);
    barrier.voters += std::popcount(mask);
  }
  w.barrier = static_cast<int>(id);
}

// Orders what the lanes of the mask did before it.
void SyncWarp(Warp& w, const Instruction&, Mask) {
  if (w.launch->options->checked) w.block->shadow.SyncWarp(w.index);
}

// The function that a call names, and how its operands are arranged: call (results), name, (arguments).
struct CallOperands {
  const ptx::Operand* callee = nullptr;
  const std::vector<ptx::Operand>* arguments = nullptr;
  const std::vector<ptx::Operand>* results = nullptr;
};

CallOperands Arrange(const Decoder& d) {
  CallOperands call;
  for (size_t k = 0; k < d.operands(); k++) {
    const ptx::Operand& operand = d.operand(k);
    if (operand.kind == ptx::Operand::Kind::kParameters) {
      (call.callee == nullptr ? call.results : call.arguments) = &operand.elements;
    } else if (call.callee == nullptr) {
      call.callee = &operand;
    }  // else the prototype of an indirect call
  }
  if (call.callee == nullptr) d.Fail("the callee is missing");
  return call;
}

// Where the callee expects its arguments and leaves its results. All functions lay theirs out alike, so that for an
// indirect call, whose callee nobody knows yet, offsets follow from the sizes that the caller passes.
std::vector<CallSite::Copy> Copies(const Decoder& d, const std::vector<ptx::Operand>* passed, uint32_t& end,
                                   bool to_callee) {
  std::vector<CallSite::Copy> copies;
  if (passed == nullptr) return copies;
  for (const ptx::Operand& operand : *passed) {
    const auto variable = std::find_if(d.source().variables.begin(), d.source().variables.end(),
                                       [&](const ptx::Variable& v) { return v.name == operand.name; });
    if (variable == d.source().variables.end()) d.Fail("argument '" + operand.name + "' is no .param variable");
    const auto alignment = static_cast<uint32_t>(variable->alignment);
    end = (end + alignment - 1) / alignment * alignment;
    const uint32_t mine = d.LocalOffset(operand.name), bytes = static_cast<uint32_t>(variable->bytes);
    copies.push_back(to_callee ? CallSite::Copy{mine, end, bytes} : CallSite::Copy{end, mine, bytes});
    end += bytes;
  }
  return copies;
}

}  // namespace

void DecodeBra(Decoder& d, Instruction& i) {
  i.flow = Flow::kBranch;
  i.target = d.Label(d.operand(0));
}

void DecodeBrx(Decoder& d, Instruction& i) {
  const auto targets = d.source().branch_targets.find(d.operand(1).name);
  if (targets == d.source().branch_targets.end()) d.Fail("the list of targets is not known");
  std::vector<Reg> list;
  for (const std::string& name : targets->second) {
    ptx::Operand label;
    label.kind = ptx::Operand::Kind::kSymbol;
    label.name = name;
    list.push_back(static_cast<Reg>(d.Label(label)));
  }
  i.value = static_cast<int64_t>(list.size());
  d.program().lists.push_back(std::move(list));
  i.list = d.program().lists.back().data();
  i.a = d.Source(d.operand(0), 4);
  i.flow = Flow::kBranchIndexed;
}

void DecodeCall(Decoder& d, Instruction& i) {
  const CallOperands call = Arrange(d);
  CallSite site;
  uint32_t end = 0;
  site.arguments = Copies(d, call.arguments, end, true);
  site.results = Copies(d, call.results, end, false);
  i.value = static_cast<int64_t>(d.program().calls.size());
  if (call.callee->kind == ptx::Operand::Kind::kRegister) {
    i.a = d.Source(*call.callee, 8);
    i.flow = Flow::kCall;
  } else {
    const auto function = d.program().function_index.find(call.callee->name);
    if (function == d.program().function_index.end()) d.Fail("function '" + call.callee->name + "' is not known");
    if (d.IsDefined(function->second)) {
      i.target = function->second;
      i.flow = Flow::kCall;
    } else {
      i.run = SystemCall(call.callee->name);
      if (i.run == nullptr) d.Fail("function '" + call.callee->name + "' of the device runtime is not emulated");
    }
  }
  d.program().calls.push_back(std::move(site));
}

void DecodeRet(Decoder&, Instruction& i) { i.flow = Flow::kReturn; }
void DecodeExit(Decoder&, Instruction& i) { i.flow = Flow::kExit; }

void DecodeTrap(Decoder&, Instruction& i) {
  i.run = [](Warp& w, const Instruction& self, Mask mask) {
    Fail(w, self, std::countr_zero(mask), FaultKind::kTrap, "trap");
  };
}

// bar.sync ID[, THREADS]; bar.arrive ID, THREADS; bar.red.OP.TYPE D, ID[, THREADS], P; bar.warp.sync MASK. barrier.cta
// is the same; without .aligned its threads need not be together on hardware, here they must.
void DecodeBar(Decoder& d, Instruction& i) {
  if (d.Has("cluster")) return;
  if (d.Has("warp")) {
    i.d = d.Source(d.operand(0), 4);
    i.flow = Flow::kConverge;
    i.run = SyncWarp;
    return;
  }
  const bool reduce = d.Has("red");
  size_t at = 0;
  if (reduce) i.dst = d.Destination(d.operand(at++));
  i.a = d.Source(d.operand(at++), 4);
  if (at + (reduce ? 1 : 0) < d.operands()) {
    i.b = d.Source(d.operand(at++), 4);
    i.count = 2;
  }
  if (reduce) {
    bool negated = false;
    i.c = d.PredicateSource(d.operand(at), negated);
    i.flags = negated ? 1 : 0;
  }
  i.mode = d.Has("arrive") ? kArrive : !reduce ? kSync : d.Has("popc") ? kPopc : d.Has("and") ? kAll : kAny;
  if (i.mode == kArrive && i.count < 2) d.Fail("bar.arrive needs a number of threads");
  i.flow = Flow::kBarrier;
  i.run = Bar;
}

void DecodeNanosleep(Decoder&, Instruction& i) {
  i.run = [](Warp& w, const Instruction&, Mask) { w.yield = true; };
}

void DecodeNop(Decoder&, Instruction& i) { i.run = Nothing; }

}  // namespace emulation
