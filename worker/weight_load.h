// Reads the weights of a role on a thread of its own, while its server already answers: health says NOT_SERVING, the
// scheduler and `headroom status` see LOADING with the progress, the log gets a line now and then.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "common/clock.h"
#include "common/service_main.h"
#include "common/status.h"
#include "memory/weight_layout.h"

namespace headroom::worker {

// When to say how far a load is: every 10 % of it, and every 2 s in between.
class LoadPace {
 public:
  LoadPace(int64_t total_bytes, TimePoint begin) : total_bytes_(total_bytes), begin_(begin), said_at_(begin) {}

  // Whether `bytes` at `now` deserve a line; if so, counts on from here.
  bool Due(int64_t bytes, TimePoint now);
  // 0…1; below 1 while weights are loaded, as what follows them takes time, too.
  double Progress(int64_t bytes) const;
  double BytesPerSecond(int64_t bytes, TimePoint now) const;

 private:
  const int64_t total_bytes_;
  const TimePoint begin_;
  TimePoint said_at_;
  int64_t said_bytes_ = 0;
};

// A load ends with the process: within a chunk after process.stopping(). Stop and the destructor are called from one
// thread; WaitLoaded from any.
class WeightLoad {
 public:
  struct Parts {
    std::string name;  // of the worker, for the log
    int64_t total_bytes = 0;
    // Streams the weights in and calls its argument after every chunk. On the thread of the load, as are the others.
    std::function<absl::Status(const memory::LoadProgress&)> load;
    std::function<void(double progress)> loading;
    // After the weights: what must have run once before anything is served. May be empty.
    std::function<absl::Status()> warm_up = {};
    std::function<void()> ready;
  };

  // `process` and `clock` outlive this object. A load or warm-up that fails ends the process with its message.
  WeightLoad(Parts parts, ProcessEnd& process, Clock& clock);
  ~WeightLoad() { Stop(); }
  WeightLoad(const WeightLoad&) = delete;
  WeightLoad& operator=(const WeightLoad&) = delete;

  void Start();
  // Ends a load under way within a chunk; CANCELLED is its result then. Idempotent. True when it had been complete.
  bool Stop();
  // Until the weights are there and `ready` has returned, or the load has ended without them.
  absl::Status WaitLoaded();

 private:
  void Run();
  bool Stopping() const { return stopping_ || process_.stopping().stop_requested(); }
  absl::Status Report(int64_t bytes, LoadPace& pace);

  const Parts parts_;
  ProcessEnd& process_;
  Clock& clock_;
  double reported_ = 0;  // progress; the load's thread's own
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::optional<absl::Status> result_;
  std::thread thread_;
};

}  // namespace headroom::worker
