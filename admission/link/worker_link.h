// A worker's connection to the scheduler: one bidirectional stream for the life of the process. It says hello, passes
// the gate's events on at once, repeats the whole truth in a heartbeat, and feeds the scheduler's epoch to the gate.
// When the stream breaks it dials again, with backoff and jitter; running work does not notice. So it does when the
// scheduler refuses the worker (its name is taken, its numbers are impossible), and logs why.
//
// Typical use by a worker:
//   WorkerGate gate({...}, clock);                       // gate is LOADING
//   WorkerLink link({...}, gate, snapshot, channels, clock);
//   link.Start();                                        // dials in the background, reports LOADING
//   gate.SetState(WorkerState::kLoading, 0.4);           // while weights stream in
//   gate.SetState(WorkerState::kReady, 1);               // grants come from here on
//   gate.SetState(WorkerState::kDraining, 1);            // SIGTERM: no new grants
//   link.Stop();                                         // once link.Released() and the last leg has settled
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "admission/worker_gate.h"
#include "common/clock.h"
#include "common/random.h"
#include "common/rpc/channel_directory.h"
#include "headroom/v1/common.pb.h"

namespace headroom::admission {

class WorkerLink {
 public:
  struct Options {
    std::string scheduler;  // host:port or inproc:NAME
    std::string endpoint;   // where gateways and workers reach this worker
    std::string device;     // "cpu", "cuda:0"
    std::vector<Role> roles;
    int64_t max_patches_per_step = 0;  // vision
    int64_t max_model_len = 0;         // llm
    int64_t block_size = 0;            // llm
    int64_t embedding_row_bytes = 0;   // as in WorkerInfo
    int64_t kv_block_bytes = 0;        // as in WorkerInfo
    // Until the scheduler says otherwise (never more than 1 s).
    milliseconds heartbeat{500};
    milliseconds backoff_min{50};
    milliseconds backoff_max{1'000};
    // Events that may wait for the stream; one more drops all of them, and the next heartbeat repeats what they said.
    size_t events_max = 4096;
  };
  // Called from the link's thread, once per heartbeat; must not block for long.
  using LedgerSnapshot = std::function<v1::DeviceLedger()>;

  // Name, cluster, model, incarnation and capacity come from the gate, which must outlive this object, as must
  // `channels` and `clock`. The link is the gate's listener from here on.
  WorkerLink(Options options, WorkerGate& gate, LedgerSnapshot ledger, rpc::ChannelDirectory& channels, Clock& clock,
             Random& random = SystemRandom());
  // Stops.
  ~WorkerLink();
  WorkerLink(const WorkerLink&) = delete;
  WorkerLink& operator=(const WorkerLink&) = delete;

  // Once. Returns at once; the link dials from its own thread.
  void Start();
  // Sends what is queued if the stream is up, ends the stream, joins. Idempotent; from one thread.
  void Stop();
  // The scheduler answered the hello of the stream that is open now. Thread-safe. For tests: which of two workers of
  // one name it took.
  bool Connected() const;
  // The gate is DRAINING and the scheduler has said on the stream that is open now that no grant waits for this worker.
  // Thread-safe.
  bool Released() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace headroom::admission
