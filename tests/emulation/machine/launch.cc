#include "tests/emulation/machine/launch.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <span>

#include "tests/emulation/machine/frame.h"
#include "tests/emulation/machine/run.h"
#include "tests/emulation/machine/warp.h"

namespace emulation {
namespace {

constexpr int kSharedFill = 0xcb;
// What a function that calls itself may need of local memory a lane, as cudaLimitStackSize has it.
constexpr uint32_t kStackBytes = 1024;
// A block whose warps have used up this many turns in a row without reaching anything waits for another block, or is
// merely long.
constexpr int kTurnsMax = 64;

void CheckLimits(const Function& kernel, const LaunchArguments& arguments) {
  const uint64_t threads = arguments.block.Count();
  auto fail = [&](const std::string& what) {
    throw Fault(FaultKind::kLaunch, "launch of " + kernel.name + ": " + what);
  };
  if (threads == 0 || arguments.grid.Count() == 0) fail("an empty grid or block");
  if (threads > kernel.max_threads) {
    fail(std::to_string(threads) + " threads a block, limit " + std::to_string(kernel.max_threads));
  }
  for (size_t k = 0; k < kernel.required_threads.size(); k++) {
    const uint32_t size = k == 0 ? arguments.block.x : k == 1 ? arguments.block.y : arguments.block.z;
    if (size != static_cast<uint32_t>(kernel.required_threads[k]))
      fail("the block has not the size that the kernel requires");
  }
}

class GridWorkspace {
 public:
  GridWorkspace(DeviceMemory& memory, bool needed) : memory_(memory) {
    if (!needed) return;
    address_ = memory.Allocate(kBytes);
    if (address_ == 0) throw Fault(FaultKind::kLaunch, "no device memory for the workspace of a cooperative launch");
    memory.MarkWritten(address_, kBytes);
    memset(memory.Host(address_), 0, kBytes);
  }
  ~GridWorkspace() {
    if (address_ != 0) memory_.Free(address_);
  }
  GridWorkspace(const GridWorkspace&) = delete;
  GridWorkspace& operator=(const GridWorkspace&) = delete;
  uint64_t address() const { return address_; }

 private:
  static constexpr uint64_t kBytes = 16;
  DeviceMemory& memory_;
  uint64_t address_ = 0;
};

class Scheduler {
 public:
  explicit Scheduler(LaunchState& launch) : launch_(launch), stack_bytes_(StackBytes()) {}

  void Run() {
    std::vector<uint32_t> order(launch_.arguments->grid.Count());
    for (uint32_t k = 0; k < order.size(); k++) order[k] = k;
    const size_t resident = launch_.arguments->cooperative ? order.size() : launch_.options->resident_blocks;
    for (size_t k = 0; k < order.size(); k += resident)
      Shuffle(std::span(order).subspan(k, std::min(resident, order.size() - k)));
    size_t next = 0;
    std::deque<std::unique_ptr<Block>> suspended;
    while (next < order.size() || !suspended.empty()) {
      // New blocks first: those that are suspended wait for something, perhaps for them.
      std::unique_ptr<Block> block;
      if (next < order.size() && suspended.size() < resident) {
        block = Begin(order[next++]);
      } else {
        block = std::move(suspended.front());
        suspended.pop_front();
      }
      if (RunBlock(*block)) {
        idle_.push_back(std::move(block));
      } else {
        suspended.push_back(std::move(block));
      }
    }
  }

 private:
  uint32_t StackBytes() const {
    uint32_t bytes = launch_.kernel->local_bytes;
    for (const Function& function : launch_.program->functions) {
      if (!function.entry) bytes += function.local_bytes;
    }
    return launch_.program->calls.empty() ? launch_.kernel->local_bytes : bytes + kStackBytes;
  }

  template <class T>
  void Shuffle(std::span<T> v) {
    if (launch_.options->seed == 0) return;
    for (size_t k = v.size(); k > 1; k--) std::swap(v[k - 1], v[launch_.Random() % k]);
  }

  std::unique_ptr<Block> Begin(uint32_t number) {
    std::unique_ptr<Block> block;
    if (idle_.empty()) {
      block = Make();
    } else {
      block = std::move(idle_.back());
      idle_.pop_back();
    }
    const Dim& grid = launch_.arguments->grid;
    block->number = number;
    block->id = {number % grid.x, number / grid.x % grid.y, number / grid.x / grid.y};
    if (launch_.options->checked) {
      block->shadow.Reset(launch_.shared_bytes, launch_.warps);
      std::fill(block->shared.begin(), block->shared.end(), kSharedFill);
    }
    std::fill(std::begin(block->barriers), std::end(block->barriers), Barrier());
    block->promises.clear();
    block->orders.clear();
    for (Warp& warp : block->warps) Begin(warp);
    return block;
  }

  std::unique_ptr<Block> Make() {
    auto block = std::make_unique<Block>();
    block->launch = &launch_;
    block->shared.resize(launch_.shared_bytes + 16, kSharedFill);
    block->warps.resize(launch_.warps);
    for (uint32_t k = 0; k < launch_.warps; k++) {
      Warp& warp = block->warps[k];
      warp.block = block.get();
      warp.launch = &launch_;
      warp.index = static_cast<int>(k);
      const uint32_t lanes = std::min<uint32_t>(kLanes, launch_.threads - k * kLanes);
      warp.live = lanes == kLanes ? kAllLanes : (1u << lanes) - 1;
      warp.frames.push_back(MakeFrame(*launch_.kernel));
      warp.local_stride = stack_bytes_;
      warp.local.resize(size_t{stack_bytes_} * kLanes);
    }
    return block;
  }

  void Begin(Warp& warp) {
    Frame& frame = *warp.frames[0];
    warp.frame = &frame;
    warp.registers = frame.registers.get();
    FillSpecials(warp, frame);
    frame.inside = warp.live;
    warp.exited = 0;
    warp.fragments.assign(1, {launch_.kernel->begin, warp.live, &frame, false});
    warp.copies.clear();
    std::fill(std::begin(warp.open_group), std::end(warp.open_group), 0);
    warp.barrier = -1;
  }

  // True: the block has ended. False: all of its warps had a turn and none came further than waiting allows.
  bool RunBlock(Block& block) {
    std::vector<int> runnable;
    int turns = 0;
    while (true) {
      runnable.clear();
      for (const Warp& warp : block.warps) {
        if (!warp.fragments.empty() && warp.barrier < 0) runnable.push_back(warp.index);
      }
      if (runnable.empty()) {
        if (std::all_of(block.warps.begin(), block.warps.end(), [](const Warp& w) { return w.fragments.empty(); }))
          return true;
        FailBarrier(block);
      }
      Shuffle(std::span(runnable));
      bool progress = false, yielded = true;
      for (const int k : runnable) {
        Warp& warp = block.warps[k];
        const uint64_t before = warp.executed;
        progress |= RunWarp(warp) != Stop::kTurn;
        yielded &= warp.yield;
        launch_.counters.warp_instructions += warp.executed - before;
        OpenBarriers(block);
      }
      if (launch_.counters.warp_instructions > launch_.options->instructions_max) {
        throw Fault(FaultKind::kNoEnd, "kernel " + launch_.kernel->name + " executed " +
                                           std::to_string(launch_.counters.warp_instructions) +
                                           " warp instructions, limit " +
                                           std::to_string(launch_.options->instructions_max));
      }
      turns = progress ? 0 : turns + 1;
      if (!progress && (yielded || turns >= kTurnsMax)) return false;
    }
  }

  // Lets those go whose barrier is complete. Warps that have exited count as arrived.
  void OpenBarriers(Block& block) {
    for (int id = 0; id < 16; id++) {
      Barrier& barrier = block.barriers[id];
      std::vector<int> waiting;
      int threads = barrier.arrived, alive = 0;
      for (const Warp& warp : block.warps) {
        const int lanes = std::popcount(warp.live);
        if (!warp.fragments.empty()) alive += lanes;
        if (warp.barrier != id) continue;
        waiting.push_back(warp.index);
        threads += lanes;
      }
      if (waiting.empty() || threads < (barrier.expected > 0 ? barrier.expected : alive)) continue;
      Open(block, barrier, waiting);
    }
  }

  void Open(Block& block, Barrier& barrier, const std::vector<int>& waiting) {
    std::vector<int> joined = waiting;
    joined.insert(joined.end(), barrier.arrivals.begin(), barrier.arrivals.end());
    if (launch_.options->checked) block.shadow.Join(joined);
    for (const int k : waiting) {
      Warp& warp = block.warps[k];
      const Instruction& i = *warp.barrier_instruction;
      warp.barrier = -1;
      if (i.dst == 0) continue;
      warp.registers = warp.fragments.front().frame->registers.get();
      const Mask mask = warp.fragments.front().mask;
      if (i.mode == 0) {  // bar.red.popc
        for (int lane = 0; lane < kLanes; lane++) {
          if (mask >> lane & 1) Lanes<uint32_t>(warp, i.dst)[lane] = barrier.votes;
        }
      } else {
        const bool result = i.mode == 1 ? barrier.votes == barrier.voters : barrier.votes > 0;
        SetPredicate(warp, i.dst, mask, result ? mask : 0);
      }
    }
    barrier = Barrier();
  }

  [[noreturn]] void FailBarrier(Block& block) {
    for (Warp& warp : block.warps) {
      if (warp.barrier < 0) continue;
      Fail(warp, *warp.barrier_instruction, 0, FaultKind::kBarrier,
           "barrier " + std::to_string(warp.barrier) +
               " is never complete: all other warps have ended or wait elsewhere");
    }
    throw Fault(FaultKind::kBarrier, "no warp can run");
  }

  LaunchState& launch_;
  uint32_t stack_bytes_;
  std::vector<std::unique_ptr<Block>> idle_;  // ended; their register files serve the next ones
};

}  // namespace

uint64_t LaunchState::Random() {
  random ^= random << 13;
  random ^= random >> 7;
  random ^= random << 17;
  return random;
}

Counters& Counters::operator+=(const Counters& other) {
  warp_instructions += other.warp_instructions;
  global_requests += other.global_requests;
  global_sectors += other.global_sectors;
  global_ideal_sectors += other.global_ideal_sectors;
  shared_requests += other.shared_requests;
  shared_waves += other.shared_waves;
  matrix_requests += other.matrix_requests;
  matrix_waves += other.matrix_waves;
  launches += other.launches;
  return *this;
}

Counters Launch(const Program& program, const Function& kernel, const LaunchArguments& arguments, DeviceMemory& memory,
                const Options& options) {
  CheckLimits(kernel, arguments);
  LaunchState launch;
  // cooperative_groups: two words that the driver provides.
  const GridWorkspace workspace(memory, arguments.cooperative);
  launch.grid_workspace = workspace.address();
  const auto lock = memory.Lock();
  launch.program = &program;
  launch.kernel = &kernel;
  launch.memory = &memory;
  launch.options = &options;
  launch.arguments = &arguments;
  launch.threads = static_cast<uint32_t>(arguments.block.Count());
  launch.warps = (launch.threads + kLanes - 1) / kLanes;
  launch.dynamic_begin = (kernel.shared_bytes + 15) / 16 * 16;
  launch.shared_bytes = launch.dynamic_begin + arguments.dynamic_shared;
  launch.random = options.seed * 0x9e3779b97f4a7c15ull | 1;
  launch.counters.launches = 1;
  if (options.checked) launch.shadow.Reset(static_cast<uint32_t>(arguments.grid.Count()));
  Scheduler(launch).Run();
  return launch.counters;
}

}  // namespace emulation
