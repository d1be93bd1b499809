// What the simulated world of simulation_test.cc is made of.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "admission/grant_holder.h"
#include "admission/worker_gate.h"
#include "common/clock.h"
#include "common/testing/fake_clock.h"

namespace headroom::admission::simulation {

inline constexpr char kCluster[] = "sim";
inline constexpr char kModel[] = "m";
inline constexpr char kOtherModel[] = "n";

// What may go wrong in a run.
struct Faults {
  bool links_break = false;    // with whatever is on its way
  bool messages_lost = false;  // single events of a link that stays up
  bool workers_restart = false;
  bool scheduler_restarts = false;
  bool gateways_vanish = false;  // never void, never renew
  bool replays = false;          // grants presented twice, or after their time
};

inline constexpr Faults kAll{true, true, true, true, true, true};

// What has happened.
struct Outcome {
  int64_t events = 0;  // core events and gate calls
  int64_t granted = 0;
  int64_t of_other_model = 0;  // of the granted
  int64_t refused = 0;
  int64_t done = 0;
  int64_t failed = 0;
  int64_t cancelled = 0;
  int64_t stale = 0;  // ABORTED by a gate
  int64_t voided_early = 0;
  int64_t released = 0;  // workers that drained and were told that nothing is on its way
  int64_t no_room = 0;   // RESOURCE_EXHAUSTED by a gate: the plan was wrong, the worker was not
};

// A worker process: its gate, and the link that it has to the scheduler.
struct SimWorker {
  std::string name;
  std::string model;
  std::vector<Role> roles;
  Resources capacity;
  std::unique_ptr<WorkerGate> gate;
  uint64_t epoch_seen = 0;       // I5
  bool released = false;         // told by the scheduler that nothing is on its way
  LinkId link = 0;               // 0: none
  TimePoint in_order;            // when the last message on the link arrives at the scheduler
  TimePoint out_of;              // and the last of the scheduler here
  std::map<LegKey, int> opened;  // I3: events of this incarnation
  std::map<LegKey, int> closed;
};

// A request, and the gateway that makes it.
struct Request {
  GrantId grant;  // that it asks for
  std::string model;
  Price price;
  bool vanishes = false;
  int answers = 0;  // of Reserve
  std::unique_ptr<GrantHolder> holder;
  std::map<Role, ActiveLeg> legs;
  std::map<Role, std::string> workers;
};

inline Resources CapacityOf(const std::vector<Role>& roles) {
  Resources capacity;
  for (Role role : roles) {
    if (role == Role::kVision) {
      capacity += {.slots = 8, .patches = 8192, .embedding_bytes = 60'000, .host_bytes = 100'000};
    } else {
      capacity += {.slots = 6, .kv_blocks = 200, .host_bytes = 100'000};
    }
  }
  return capacity;
}

// Half of them with an image; some larger than any worker.
template <typename Random>
Price SomePrice(Random& random) {
  Price price;
  const auto blocks = static_cast<int64_t>(random.Below(10) == 0 ? 150 + random.Below(70) : 1 + random.Below(60));
  price.sequence_tokens = blocks * 16;
  price.llm = Resources{.slots = 1, .kv_blocks = blocks, .host_bytes = blocks * 64};
  if (random.Below(2) == 0) {
    const auto pieces = static_cast<int64_t>(1 + random.Below(9));
    price.vision = Resources{.slots = 1,
                             .patches = pieces * 1024,
                             .embedding_bytes = pieces * 1000,
                             .host_bytes = static_cast<int64_t>(random.Below(20'000))};
    price.largest_piece_patches = 1024;
  }
  return price;
}

// What happens at a time.
struct Due {
  TimePoint at;
  uint64_t order;
  std::function<void()> action;
  bool operator<(const Due& other) const { return at != other.at ? at > other.at : order > other.order; }
};

// A clock that only what is due moves on.
class Timeline {
 protected:
  void After(Duration delay, std::function<void()> action) {
    due_.push({clock_.Now() + delay, ++order_, std::move(action)});
  }
  void Every(Duration period, const std::function<void()>& action) {
    After(period, [this, period, action] {
      action();
      Every(period, action);
    });
  }

  FakeClock clock_;
  std::priority_queue<Due> due_;

 private:
  uint64_t order_ = 0;
};

}  // namespace headroom::admission::simulation
