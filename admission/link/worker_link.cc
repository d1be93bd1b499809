#include "admission/link/worker_link.h"

#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "admission/link/convert.h"
#include "common/check.h"
#include "common/log.h"
#include "headroom/v1/scheduler.grpc.pb.h"

namespace headroom::admission {
namespace {

constexpr milliseconds kHeartbeatMin{10};
constexpr milliseconds kHeartbeatMax{1'000};
// How long Stop waits for the scheduler to take the last events before it cuts the stream.
constexpr milliseconds kGoodbyeMax{1'000};

using Stream = grpc::ClientReaderWriter<v1::WorkerMessage, v1::SchedulerMessage>;

v1::WorkerMessage EventMessage(const GateEvent& event) {
  v1::WorkerMessage message;
  v1::WorkerEvent* out = message.mutable_event();
  out->set_number(event.number);
  switch (event.kind) {
    case GateEvent::Kind::kActivated:
      *out->mutable_activated()->mutable_id() = ToProto(event.leg.id);
      out->mutable_activated()->set_role(ToProto(event.leg.role));
      *out->mutable_activated()->mutable_resources() = ToProto(event.resources);
      break;
    case GateEvent::Kind::kSettled:
      *out->mutable_settled()->mutable_id() = ToProto(event.leg.id);
      out->mutable_settled()->set_role(ToProto(event.leg.role));
      break;
    case GateEvent::Kind::kState:
      out->mutable_state()->set_state(ToProto(event.state));
      out->mutable_state()->set_load_progress(event.load_progress);
      break;
  }
  return message;
}

}  // namespace

class WorkerLink::Impl {
 public:
  Impl(Options options, WorkerGate& gate, LedgerSnapshot ledger, rpc::ChannelDirectory& channels, Clock& clock,
       Random& random)
      : options_(std::move(options)),
        gate_(gate),
        ledger_(std::move(ledger)),
        channels_(channels),
        clock_(clock),
        random_(random),
        heartbeat_(std::clamp(options_.heartbeat, kHeartbeatMin, kHeartbeatMax)) {}

  void Start() {
    HEADROOM_CHECK(!thread_.joinable());
    gate_.SetListener([this](const GateEvent& event) { Queue(event); });
    thread_ = std::thread([this] { Run(); });
  }

  void Stop() {
    if (!thread_.joinable()) return;
    gate_.SetListener({});
    {
      std::unique_lock lock(mutex_);
      stopping_ = true;
      wake_.notify_all();
      wake_.wait_for(lock, kGoodbyeMax, [this] { return ended_; });
      cut_ = true;
      if (context_ != nullptr) context_->TryCancel();
    }
    thread_.join();
  }

  bool Connected() const {
    std::lock_guard lock(mutex_);
    return greeted_;
  }

  bool Released() const {
    std::lock_guard lock(mutex_);
    return released_;
  }

 private:
  // Runs under the gate's lock.
  void Queue(const GateEvent& event) {
    std::lock_guard lock(mutex_);
    if (events_.size() >= options_.events_max) {
      events_.clear();
      beat_now_ = true;
    }
    events_.push_back(event);
    wake_.notify_all();
  }

  void Run() {
    milliseconds backoff = options_.backoff_min;
    for (;;) {
      const bool greeted = RunStream();
      if (greeted) backoff = options_.backoff_min;
      std::unique_lock lock(mutex_);
      // Half fixed, half chance, so that workers do not come back in step after a scheduler's restart.
      const auto half = std::max<int64_t>(1, backoff.count() / 2);
      const milliseconds wait(half + static_cast<int64_t>(random_.Below(static_cast<uint64_t>(half) + 1)));
      if (wake_.wait_for(lock, wait, [this] { return stopping_; })) break;
      backoff = std::min(backoff * 2, options_.backoff_max);
    }
    std::lock_guard lock(mutex_);
    ended_ = true;
    wake_.notify_all();
  }

  // One stream from dialling to its end. True when the scheduler greeted.
  bool RunStream() {
    auto channel = channels_.Get(options_.scheduler);
    if (!channel.ok()) return false;
    grpc::ClientContext context;
    {
      std::lock_guard lock(mutex_);
      if (stopping_) return false;
      context_ = &context;
      greeted_ = released_ = broken_ = beat_now_ = false;
      // The first heartbeat says all that these did.
      events_.clear();
    }
    auto stub = v1::Scheduler::NewStub(*channel);
    std::unique_ptr<Stream> stream = stub->WorkerLink(&context);
    std::thread reader([this, &stream] { Read(*stream); });
    const bool said_goodbye = stream->Write(HelloMessage()) && WriteAll(*stream) && stream->WritesDone();
    {
      // Where the scheduler has ended the stream, its status must not give way to a cancellation.
      std::lock_guard lock(mutex_);
      if (!said_goodbye && !broken_) context.TryCancel();
    }
    reader.join();
    const grpc::Status status = stream->Finish();
    std::lock_guard lock(mutex_);
    context_ = nullptr;
    const bool greeted = std::exchange(greeted_, false);
    if (greeted && !stopping_) {
      Log(LogLevel::kWarning, "worker-link", "lost the scheduler")
          .With("worker", gate_.options().worker)
          .With("code", static_cast<int>(status.error_code()))
          .With("reason", status.error_message());
    }
    if (greeted) {
      refusal_.clear();
    } else {
      LogRefusal(status);
    }
    return greeted;
  }

  // It is asked again and again: said once. Not that there is no scheduler: it may come later than its workers.
  void LogRefusal(const grpc::Status& status) {
    const grpc::StatusCode code = status.error_code();
    const bool refused = !status.ok() && code != grpc::StatusCode::UNAVAILABLE && code != grpc::StatusCode::CANCELLED;
    if (!refused || stopping_ || status.error_message() == refusal_) return;
    refusal_ = status.error_message();
    Log(LogLevel::kError, "worker-link", "the scheduler refuses this worker; it goes on asking")
        .With("worker", gate_.options().worker)
        .With("code", static_cast<int>(code))
        .With("reason", refusal_);
  }

  void Read(Stream& stream) {
    v1::SchedulerMessage message;
    while (stream.Read(&message)) {
      if (message.has_hello()) OnGreeting(message.hello());
      if (message.has_released()) {
        std::lock_guard lock(mutex_);
        released_ = true;
      }
    }
    std::lock_guard lock(mutex_);
    broken_ = true;
    wake_.notify_all();
  }

  void OnGreeting(const v1::SchedulerHello& hello) {
    // An older epoch is no harm: the heartbeat tells the scheduler of the higher one, and it takes the next.
    const bool accepted = gate_.ObserveEpoch(hello.epoch().cluster_id(), hello.epoch().number());
    Log(LogLevel::kInfo, "worker-link", "scheduler leads")
        .With("worker", gate_.options().worker)
        .With("epoch", hello.epoch().number())
        .With("accepted", accepted);
    std::lock_guard lock(mutex_);
    if (hello.heartbeat_ms() > 0) {
      heartbeat_ =
          std::clamp(milliseconds(std::min(hello.heartbeat_ms(), kHeartbeatMax.count())), kHeartbeatMin, kHeartbeatMax);
    }
    greeted_ = true;
    // The scheduler gives no grant before it has seen its epoch acknowledged.
    beat_now_ = true;
    wake_.notify_all();
  }

  // Events at once, heartbeats when due, until the stream breaks (false) or the link stops (true).
  bool WriteAll(Stream& stream) {
    TimePoint next_beat = clock_.Now();
    for (;;) {
      std::deque<GateEvent> events;
      bool stopping = false;
      bool beat = false;
      {
        std::unique_lock lock(mutex_);
        wake_.wait_for(lock, std::max(Duration::zero(), next_beat - clock_.Now()),
                       [this] { return broken_ || stopping_ || beat_now_ || !events_.empty(); });
        if (broken_ || cut_) return false;
        events.swap(events_);
        stopping = stopping_;
        beat = std::exchange(beat_now_, false) || stopping || clock_.Now() >= next_beat;
      }
      for (const GateEvent& event : events) {
        if (!stream.Write(EventMessage(event))) return false;
      }
      if (beat) {
        if (!stream.Write(HeartbeatMessage())) return false;
        std::lock_guard lock(mutex_);
        next_beat = clock_.Now() + heartbeat_;
      }
      if (stopping) return true;
    }
  }

  v1::WorkerMessage HelloMessage() {
    const GateSnapshot snapshot = gate_.Snapshot();
    v1::WorkerMessage message;
    v1::WorkerHello* hello = message.mutable_hello();
    hello->set_cluster_id(gate_.options().cluster_id);
    hello->set_worker(gate_.options().worker);
    hello->set_endpoint(options_.endpoint);
    hello->set_incarnation(gate_.options().incarnation);
    hello->mutable_model()->set_sha256(gate_.options().model);
    for (Role role : options_.roles) hello->add_roles(ToProto(role));
    hello->set_state(ToProto(snapshot.state));
    hello->set_load_progress(snapshot.load_progress);
    *hello->mutable_capacity() = ToProto(gate_.options().capacity);
    hello->set_max_patches_per_step(options_.max_patches_per_step);
    hello->set_max_model_len(options_.max_model_len);
    hello->set_block_size(options_.block_size);
    hello->set_embedding_row_bytes(options_.embedding_row_bytes);
    hello->set_kv_block_bytes(options_.kv_block_bytes);
    *hello->mutable_ledger() = ledger_();
    hello->set_highest_epoch(snapshot.highest_epoch);
    hello->set_device(options_.device);
    return message;
  }

  v1::WorkerMessage HeartbeatMessage() {
    const GateSnapshot snapshot = gate_.Snapshot();
    v1::WorkerMessage message;
    v1::WorkerHeartbeat* heartbeat = message.mutable_heartbeat();
    heartbeat->set_last_event(snapshot.last_event);
    for (const GateSnapshot::ActiveEntry& entry : snapshot.active) {
      v1::LegActivated* active = heartbeat->add_active();
      *active->mutable_id() = ToProto(entry.leg.id);
      active->set_role(ToProto(entry.leg.role));
      *active->mutable_resources() = ToProto(entry.resources);
    }
    *heartbeat->mutable_ledger() = ledger_();
    heartbeat->set_state(ToProto(snapshot.state));
    heartbeat->set_load_progress(snapshot.load_progress);
    heartbeat->set_highest_epoch(snapshot.highest_epoch);
    return message;
  }

  const Options options_;
  WorkerGate& gate_;
  const LedgerSnapshot ledger_;
  rpc::ChannelDirectory& channels_;
  Clock& clock_;
  Random& random_;
  std::thread thread_;

  // Taken while the gate's lock is held (Queue): never call the gate under it.
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<GateEvent> events_;
  grpc::ClientContext* context_ = nullptr;
  milliseconds heartbeat_;
  bool beat_now_ = false;
  bool greeted_ = false;
  bool released_ = false;
  bool broken_ = false;    // the stream that is open now
  bool stopping_ = false;  // say goodbye
  bool cut_ = false;       // without goodbye
  bool ended_ = false;
  std::string refusal_;  // said last
};

WorkerLink::WorkerLink(Options options, WorkerGate& gate, LedgerSnapshot ledger, rpc::ChannelDirectory& channels,
                       Clock& clock, Random& random)
    : impl_(std::make_unique<Impl>(std::move(options), gate, std::move(ledger), channels, clock, random)) {}

WorkerLink::~WorkerLink() { Stop(); }
void WorkerLink::Start() { impl_->Start(); }
void WorkerLink::Stop() { impl_->Stop(); }
bool WorkerLink::Connected() const { return impl_->Connected(); }
bool WorkerLink::Released() const { return impl_->Released(); }

}  // namespace headroom::admission
