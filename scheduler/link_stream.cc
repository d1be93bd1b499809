#include "scheduler/link_stream.h"

#include <algorithm>

#include "admission/link/convert.h"
#include "common/rpc/status.h"

namespace headroom::scheduler {
namespace {

using admission::FromProto;
using admission::LinkId;

absl::StatusOr<admission::WorkerState> State(v1::WorkerState state) {
  if (auto known = FromProto(state)) return *known;
  return absl::InvalidArgumentError("a worker state is unknown");
}

absl::StatusOr<admission::Role> KnownRole(v1::Role role) {
  if (auto known = FromProto(role)) return *known;
  return absl::InvalidArgumentError("a role is unknown");
}

absl::StatusOr<admission::LegReport> Report(const v1::LegActivated& message) {
  HEADROOM_ASSIGN_OR_RETURN(const admission::Role role, KnownRole(message.role()));
  return admission::LegReport{{FromProto(message.id()), role}, FromProto(message.resources())};
}

absl::StatusOr<admission::Event> FromHello(LinkId link, const v1::WorkerHello& hello) {
  admission::WorkerHello event{.link = link,
                               .cluster_id = hello.cluster_id(),
                               .incarnation = hello.incarnation(),
                               .info = {.worker = hello.worker(),
                                        .endpoint = hello.endpoint(),
                                        .device = hello.device(),
                                        .model = hello.model().sha256(),
                                        .roles = {},
                                        .capacity = FromProto(hello.capacity()),
                                        .max_patches_per_step = hello.max_patches_per_step(),
                                        .max_model_len = hello.max_model_len(),
                                        .block_size = hello.block_size(),
                                        .embedding_row_bytes = hello.embedding_row_bytes(),
                                        .kv_block_bytes = hello.kv_block_bytes()},
                               .state = admission::WorkerState::kLoading,
                               .load_progress = hello.load_progress(),
                               .highest_epoch = hello.highest_epoch()};
  HEADROOM_ASSIGN_OR_RETURN(event.state, State(hello.state()));
  for (int i = 0; i < hello.roles_size(); ++i) {
    HEADROOM_ASSIGN_OR_RETURN(const admission::Role role, KnownRole(hello.roles(i)));
    event.info.roles.push_back(role);
  }
  return admission::Event(std::move(event));
}

absl::StatusOr<admission::Event> FromEvent(LinkId link, const v1::WorkerEvent& event) {
  switch (event.kind_case()) {
    case v1::WorkerEvent::kActivated: {
      HEADROOM_ASSIGN_OR_RETURN(admission::LegReport report, Report(event.activated()));
      return admission::Event(admission::LegActivated{link, event.number(), report});
    }
    case v1::WorkerEvent::kSettled: {
      HEADROOM_ASSIGN_OR_RETURN(const admission::Role role, KnownRole(event.settled().role()));
      return admission::Event(admission::LegSettled{link, event.number(), {FromProto(event.settled().id()), role}});
    }
    case v1::WorkerEvent::kState: {
      HEADROOM_ASSIGN_OR_RETURN(const admission::WorkerState state, State(event.state().state()));
      return admission::Event(admission::StateChanged{link, event.number(), state, event.state().load_progress()});
    }
    case v1::WorkerEvent::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("a worker event is of no known kind");
}

absl::StatusOr<admission::Event> FromHeartbeat(LinkId link, const v1::WorkerHeartbeat& heartbeat) {
  admission::Heartbeat event{.link = link,
                             .last_event = heartbeat.last_event(),
                             .active = {},
                             .state = admission::WorkerState::kLoading,
                             .load_progress = heartbeat.load_progress(),
                             .highest_epoch = heartbeat.highest_epoch()};
  HEADROOM_ASSIGN_OR_RETURN(event.state, State(heartbeat.state()));
  event.active.reserve(static_cast<size_t>(heartbeat.active_size()));
  for (const v1::LegActivated& active : heartbeat.active()) {
    HEADROOM_ASSIGN_OR_RETURN(admission::LegReport report, Report(active));
    event.active.push_back(report);
  }
  return admission::Event(std::move(event));
}

absl::StatusOr<admission::Event> FromMessage(LinkId link, const v1::WorkerMessage& message) {
  switch (message.kind_case()) {
    case v1::WorkerMessage::kHello:
      return FromHello(link, message.hello());
    case v1::WorkerMessage::kEvent:
      return FromEvent(link, message.event());
    case v1::WorkerMessage::kHeartbeat:
      return FromHeartbeat(link, message.heartbeat());
    case v1::WorkerMessage::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("a worker message is of no known kind");
}

const v1::DeviceLedger* LedgerIn(const v1::WorkerMessage& message) {
  if (message.has_hello()) return &message.hello().ledger();
  return message.has_heartbeat() ? &message.heartbeat().ledger() : nullptr;
}

}  // namespace

LinkStream* LinkStream::Open(std::string cluster_id, int64_t heartbeat_ms, CoreRunner& core) {
  std::shared_ptr<LinkStream> stream(new LinkStream(std::move(cluster_id), heartbeat_ms, core));
  stream->self_ = stream;
  stream->link_ = core.OpenLink(stream);
  stream->StartRead(&stream->received_);
  return stream.get();
}

void LinkStream::Greet(uint64_t epoch) {
  std::lock_guard lock(mutex_);
  // Two greetings may be carried out in either order: only the later epoch counts. The same epoch again answers a
  // repeated hello and needs no second message.
  epoch_to_tell_ = std::max(epoch_to_tell_, epoch);
  WriteLocked();
}

void LinkStream::Release() {
  std::lock_guard lock(mutex_);
  release_to_tell_ = true;
  WriteLocked();
}

void LinkStream::WriteLocked() {
  if (writing_ || finished_) return;
  if (epoch_to_tell_ > epoch_told_) {
    epoch_told_ = epoch_to_tell_;
    v1::SchedulerHello* hello = sent_.mutable_hello();
    hello->mutable_epoch()->set_cluster_id(cluster_id_);
    hello->mutable_epoch()->set_number(epoch_told_);
    hello->set_heartbeat_ms(heartbeat_ms_);
  } else if (std::exchange(release_to_tell_, false)) {
    sent_.mutable_released();
  } else {
    return;
  }
  writing_ = true;
  StartWrite(&sent_);
}

void LinkStream::OnWriteDone(bool ok) {
  std::lock_guard lock(mutex_);
  writing_ = false;
  if (closing_) {
    FinishLocked(*closing_);
  } else if (ok) {
    WriteLocked();
  }
}

void LinkStream::Close(const absl::Status& status) {
  core_.EndLink(link_);
  std::lock_guard lock(mutex_);
  FinishLocked(status);
}

void LinkStream::FinishLocked(const absl::Status& status) {
  if (finished_) return;
  if (writing_) {
    closing_ = status;
    return;
  }
  finished_ = true;
  Finish(rpc::ToGrpc(status));
}

void LinkStream::OnReadDone(bool ok) {
  if (!ok) {
    // The worker said goodbye, or the connection is gone.
    Close(absl::OkStatus());
    return;
  }
  absl::StatusOr<admission::Event> event = FromMessage(link_, received_);
  if (!event.ok()) {
    Close(event.status());
    return;
  }
  core_.FromLink(link_, *event, LedgerIn(received_));
  std::lock_guard lock(mutex_);
  if (!finished_ && !closing_) StartRead(&received_);
}

void LinkStream::OnDone() {
  core_.EndLink(link_);
  // May destroy this object; nothing after it.
  std::shared_ptr<LinkStream> self = std::move(self_);
}

}  // namespace headroom::scheduler
