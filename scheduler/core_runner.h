// Runs the scheduler core inside a process: one mutex around it, a timer thread that ticks it, and callbacks that carry
// its actions out. Callbacks run after the lock is released, on the thread that brought the event, so that they may
// call back into this object.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "admission/scheduler_core.h"
#include "common/clock.h"
#include "common/random.h"
#include "headroom/v1/common.pb.h"
#include "scheduler/metrics.h"

namespace headroom::scheduler {

// What the core can ask of an open WorkerLink stream. Thread-safe; must not block.
class LinkPeer {
 public:
  virtual ~LinkPeer() = default;
  virtual void Greet(uint64_t epoch) = 0;
  virtual void Release() = 0;
  virtual void Close(const absl::Status& status) = 0;
};

// Thread-safe.
class CoreRunner {
 public:
  // Ledgers are kept for at most this many lines per worker.
  static constexpr int kLedgerLinesMax = 256;

  using ReserveDone = std::function<void(const absl::StatusOr<admission::Granted>&)>;

  CoreRunner(admission::SchedulerCore::Options options, Clock& clock, Random& random, SchedulerMetrics& metrics);
  // Stops the timer. Open calls and links must be gone.
  ~CoreRunner();
  CoreRunner(const CoreRunner&) = delete;
  CoreRunner& operator=(const CoreRunner&) = delete;

  // ---- gateways. `event.ticket` is set here; `done` runs exactly once, possibly before this returns.
  admission::Ticket Reserve(admission::Reserve event, ReserveDone done);
  // The caller is gone: `done` runs with CANCELLED if it has not run yet.
  void CancelReserve(admission::Ticket ticket);
  admission::Renewed Renew(const admission::GrantId& id, uint64_t epoch);
  void Void(const admission::GrantId& id);
  absl::StatusOr<admission::AdmitAnswer> CanAdmit(const std::string& model, const admission::Price& price) const;

  // ---- workers
  admission::LinkId OpenLink(std::shared_ptr<LinkPeer> peer);
  // `event` is of `link`. `ledger` may be null.
  void FromLink(admission::LinkId link, const admission::Event& event, const v1::DeviceLedger* ledger);
  // The stream has ended.
  void EndLink(admission::LinkId link);
  // Closes every link: the process stops.
  void CloseLinks(const absl::Status& status);

  // ---- process
  // Refuses waiting and new reservations; the rest goes on.
  void Drain();
  v1::DeviceLedger LedgerOf(const std::string& worker) const;
  admission::ClusterStatus Status() const;
  uint64_t epoch() const;

  // ---- the recent past
  struct Moment {
    TimePoint now;
    TimePoint when;   // asked for, moved into what is remembered
    TimePoint begin;  // of what is remembered
    std::vector<admission::PastWorker> workers;
    // For each of `workers`, where they are at most kSampledWorkersMax.
    std::vector<std::vector<admission::History::Sample>> samples;
  };
  struct MomentQuery {
    Duration age;          // ≥ 0
    Duration since_begin;  // above 0: in place of `age`
    std::string worker;
    size_t legs_max = 0;
    Duration span;  // 0: no samples
    size_t points_max = 0;
  };
  static constexpr size_t kSampledWorkersMax = 64;
  Moment Past(const MomentQuery& query) const;
  struct PastRefusals {
    TimePoint now;
    TimePoint begin;  // of the history
    std::vector<admission::RefusalRecord> refusals;
  };
  PastRefusals Refusals(const std::string& request_id, size_t count) const;

 private:
  using Effects = std::vector<std::function<void()>>;

  // Applies under the lock and returns what to do after it.
  Effects ApplyLocked(const admission::Event& event);
  void Apply(const admission::Event& event);
  void Carry(const admission::Granted& action, Effects& effects);
  void Carry(const admission::Refused& action, Effects& effects);
  void Carry(const admission::Renewed& action, Effects& effects);
  void Carry(const admission::Greet& action, Effects& effects);
  void Carry(const admission::Release& action, Effects& effects);
  void Carry(const admission::CloseLink& action, Effects& effects);
  void TickUntilStopped();

  Clock& clock_;
  SchedulerMetrics& metrics_;
  mutable std::mutex mutex_;
  admission::SchedulerCore core_;
  uint64_t last_id_ = 0;  // tickets, links and calls
  std::unordered_map<admission::Ticket, ReserveDone> open_;
  std::unordered_map<admission::LinkId, std::shared_ptr<LinkPeer>> links_;
  std::unordered_map<admission::Ticket, admission::Renewed> renewed_;
  std::map<std::string, v1::DeviceLedger> ledgers_;
  std::condition_variable stop_changed_;
  bool stopping_ = false;
  std::thread ticker_;
};

}  // namespace headroom::scheduler
