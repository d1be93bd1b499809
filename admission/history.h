// The recent past of a scheduler: who held how much at a given time. Two kinds of memory, each in a fixed number of
// bytes; the oldest entries give way:
//   - legs, exact to the event: from grant to activation to end, with request and tenant;
//   - ledgers of the workers' devices, as samples: each change, at most one a second (fine); and one every ten seconds,
//     in bytes of its own, so that it reaches back further when the cluster is large and busy (coarse).
// A moment is then the last sample at or before it and the legs that were held at it. Pure; not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "admission/grant.h"
#include "admission/scheduler_events.h"
#include "common/clock.h"

namespace headroom::admission {

// Bytes of a device, by component.
struct LedgerLine {
  std::string component = {};
  int64_t planned = 0;
  int64_t reserved = 0;
  int64_t used = 0;
};

struct LedgerReport {
  int64_t total_bytes = 0;
  std::vector<LedgerLine> lines = {};
};

struct PastLeg {
  std::string worker = {};
  LegKey leg = {};
  std::string request_id = {};  // empty where another scheduler made the grant
  std::string tenant = {};
  Resources resources = {};
  TimePoint granted_at = {};
  std::optional<TimePoint> active_at = {};  // empty: it was never active, as far as it is known
  std::optional<TimePoint> ended_at = {};   // empty: it is held still
};

struct PastWorker {
  WorkerInfo info = {};
  uint64_t incarnation = 0;
  WorkerState state = WorkerState::kLoading;
  std::optional<TimePoint> sampled_at = {};  // of `ledger` and `state`; empty: no sample is near
  LedgerReport ledger = {};
  std::vector<PastLeg> legs = {};  // the largest share of the worker's capacity first
  int64_t legs_left_out = 0;
  Resources left_out = {};  // their sum
};

class History {
 public:
  struct Options {
    size_t bytes_max = size_t{16} << 20;
    milliseconds fine{1'000};
    milliseconds coarse{10'000};
  };
  struct Sample {
    TimePoint at;
    WorkerState state = WorkerState::kLoading;
    int64_t reserved = 0;  // sums over the lines
    int64_t used = 0;
  };

  History(Options options, TimePoint now);

  // ---- what happens; `now` never goes back. Text is cut at kNameBytesMax bytes.

  // A worker said hello, perhaps again. Before that nothing of it is noted.
  void Hello(const WorkerInfo& info, uint64_t incarnation);
  // Its device's ledger. Only the first kLinesMax lines are kept, and kComponentsMax different names over all time.
  void Report(const WorkerInfo& info, uint64_t incarnation, WorkerState state, const LedgerReport& report,
              TimePoint now);
  void Granted(const Grant& grant, const std::string& request_id, const std::string& tenant, TimePoint now);
  // Also of legs that were never granted here.
  void Active(const std::string& worker, const LegKey& leg, const Resources& resources, TimePoint now);
  // Settled, voided, expired or lost. Unknown legs are ignored.
  void Ended(const std::string& worker, const LegKey& leg, TimePoint now);
  // The worker is forgotten: no more samples are expected of it.
  void Forgotten(const std::string& worker);

  // ---- what happened

  // All workers of which something is known at `when` (or the one named), with at most `legs_max` legs together.
  std::vector<PastWorker> At(TimePoint when, const std::string& worker, size_t legs_max) const;
  // At most `points_max` samples of a worker in [from, to], evenly thinned, oldest first.
  std::vector<Sample> Range(const std::string& worker, TimePoint from, TimePoint to, size_t points_max) const;
  // Nothing is known before this.
  TimePoint Begin() const { return begin_; }

  // Estimated, of all entries; never above options().bytes_max.
  size_t bytes() const;
  const Options& options() const { return options_; }

  static constexpr size_t kLinesMax = 32;
  static constexpr size_t kComponentsMax = 64;

 private:
  // What a hello said; shared by the entries of that time.
  struct Facts {
    WorkerInfo info;
    uint64_t incarnation = 0;
  };
  struct Line {
    uint8_t component = 0;  // index of names_
    int64_t planned = 0;
    int64_t reserved = 0;
    int64_t used = 0;
  };
  struct Entry {
    TimePoint at;
    uint64_t facts = 0;
    WorkerState state = WorkerState::kLoading;
    int64_t total_bytes = 0;
    std::vector<Line> lines;
  };
  // First in, first out, in a fixed number of bytes.
  template <typename T>
  struct Ring {
    std::deque<std::pair<T, size_t>> entries;
    size_t bytes = 0;
    size_t bytes_max = 0;
    // False when it is larger than the whole ring.
    bool Push(T entry, size_t size);
    void PopFront();
  };
  struct Current {
    uint64_t facts = 0;
    std::optional<TimePoint> fine_at;
    std::optional<TimePoint> coarse_at;
    size_t hash = 0;  // of the last entry of the fine ring
  };
  struct OpenLeg {
    PastLeg leg;
    uint64_t facts = 0;
    size_t bytes = 0;
  };
  using OpenKey = std::pair<std::string, LegKey>;

  const Facts* Find(uint64_t id) const;
  std::vector<Line> Interned(const LedgerReport& report);
  void Open(PastLeg leg);
  // The newest entry of each worker at or before `when`, by name.
  std::map<std::string, const Entry*> EntriesAt(TimePoint when, const std::string& worker) const;
  void AddLeg(const PastLeg& leg, uint64_t facts, std::map<std::string, PastWorker>& workers) const;

  const Options options_;
  TimePoint begin_;
  std::vector<std::string> names_;  // of components
  // Facts have the ids first_facts_, first_facts_ + 1, …
  Ring<Facts> facts_;
  uint64_t first_facts_ = 1;
  std::map<std::string, Current> current_;  // by worker name
  Ring<Entry> fine_;
  Ring<Entry> coarse_;
  std::map<OpenKey, OpenLeg> open_;
  size_t open_bytes_ = 0;
  Ring<std::pair<PastLeg, uint64_t>> closed_;  // with the id of the facts; by ended_at
};

}  // namespace headroom::admission
