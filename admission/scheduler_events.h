// What goes into the scheduler core and what comes out: plain data, so that the same core runs behind gRPC, in the
// simulator and on recorded traces.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "admission/fair_queue.h"
#include "admission/grant.h"
#include "common/refusal_reason.h"
#include "common/status.h"

namespace headroom::admission {

// Names one WorkerLink stream inside a scheduler process. Messages of one stream arrive in order.
using LinkId = uint64_t;

struct WorkerInfo {
  std::string worker;  // name, unique in the cluster
  std::string endpoint;
  std::string device;
  std::string model;  // fingerprint
  std::vector<Role> roles;
  Resources capacity;
  int64_t max_patches_per_step = 0;
  int64_t max_model_len = 0;
  int64_t block_size = 0;
  int64_t embedding_row_bytes = 0;  // of one row of a piece; 0: it takes no images
  int64_t kv_block_bytes = 0;       // of one KV block over all layers; 0: it has none
};

// Bounds of what a hello may carry.
inline constexpr size_t kNameBytesMax = 256;

struct LegReport {
  LegKey leg;
  Resources resources;
};

// ---- from workers

struct WorkerHello {
  LinkId link = 0;
  std::string cluster_id;
  uint64_t incarnation = 0;
  WorkerInfo info;
  WorkerState state = WorkerState::kLoading;
  double load_progress = 0;
  uint64_t highest_epoch = 0;
};

struct LegActivated {
  LinkId link = 0;
  uint64_t number = 0;
  LegReport report;
};

struct LegSettled {
  LinkId link = 0;
  uint64_t number = 0;
  LegKey leg;
};

struct StateChanged {
  LinkId link = 0;
  uint64_t number = 0;
  WorkerState state = WorkerState::kLoading;
  double load_progress = 0;
};

// The whole truth at event `last_event`.
struct Heartbeat {
  LinkId link = 0;
  uint64_t last_event = 0;
  std::vector<LegReport> active;
  WorkerState state = WorkerState::kLoading;
  double load_progress = 0;
  uint64_t highest_epoch = 0;
};

struct LinkLost {
  LinkId link = 0;
};

// ---- from gateways

struct Reserve {
  Ticket ticket = 0;  // new for every call
  std::string request_id = {};
  // Whom the queue is fair to; today's gateway names nobody. Waits for: keys by which it can tell its clients apart.
  std::string tenant;
  int32_t priority = 0;
  std::string model;
  Price price;
  milliseconds queued{0};  // waited elsewhere already
  std::vector<std::string> exclude_workers;
  bool resume = false;       // admitted before: not charged to its tenant again
  milliseconds wait_max{0};  // 0: the scheduler's own limit
  GrantId grant = {};        // the id that the caller wants for it; all zero: the scheduler picks one
};

struct CancelReserve {
  Ticket ticket = 0;
};

struct Renew {
  Ticket call = 0;  // comes back in Renewed
  GrantId id;
  uint64_t epoch = 0;
};

// May overtake the Reserve that named the id.
struct Void {
  GrantId id;
};

// ---- from the process

struct Drain {};  // refuse what waits and all that comes
struct Tick {};   // time has passed

using Event = std::variant<WorkerHello, LegActivated, LegSettled, StateChanged, Heartbeat, LinkLost, Reserve,
                           CancelReserve, Renew, Void, Drain, Tick>;

// ---- out

struct Refusal {
  RefusalReason reason = RefusalReason::kInvalidReserve;
  std::string message = {};
  std::optional<Shortfall> shortfall = {};
  milliseconds retry_delay{0};  // 0 where the reason says that trying again will not help
};

struct Granted {
  Ticket ticket = 0;
  Grant grant;
  milliseconds queued{0};  // with the time that it had waited elsewhere
};

struct Refused {
  Ticket ticket = 0;
  Refusal refusal;
};

struct Renewed {
  Ticket call = 0;
  bool known = false;  // false: the grant is void
  milliseconds ttl{0};
};

// Tell the worker which epoch leads.
struct Greet {
  LinkId link = 0;
  uint64_t epoch = 0;
};

// Tell a worker that drains: none of its legs is pending any more, and none will come.
struct Release {
  LinkId link = 0;
};

struct CloseLink {
  LinkId link = 0;
  absl::Status status;
};

using Action = std::variant<Granted, Refused, Renewed, Greet, Release, CloseLink>;

}  // namespace headroom::admission
