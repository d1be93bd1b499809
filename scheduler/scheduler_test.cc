// The real SchedulerServer, WorkerLink and WorkerGate in one process over gRPC.
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "admission/grant_holder.h"
#include "admission/link/convert.h"
#include "admission/link/worker_link.h"
#include "common/error_details.h"
#include "common/random.h"
#include "common/rpc/status.h"
#include "common/testing/seeded_random.h"
#include "scheduler/server.h"

namespace headroom::scheduler {
namespace {

using admission::Grant;
using admission::milliseconds;
using admission::Price;
using admission::Resources;
using admission::Role;
using admission::WorkerGate;
using admission::WorkerLink;
using admission::WorkerState;

constexpr char kModel[] = "abc123";
constexpr char kEndpoint[] = "inproc:scheduler";
constexpr std::chrono::seconds kPatience(20);

Resources LlmCapacity() { return {.slots = 4, .kv_blocks = 100, .host_bytes = 1 << 20}; }
Resources VisionCapacity() { return {.slots = 4, .patches = 4096, .embedding_bytes = 1 << 20, .host_bytes = 1 << 20}; }

Price TextPrice(int64_t blocks) {
  return {.vision = {}, .llm = Resources{.slots = 1, .kv_blocks = blocks}, .sequence_tokens = blocks * 16};
}

Price ImagePrice(int64_t blocks) {
  Price price = TextPrice(blocks);
  price.vision = Resources{.slots = 1, .patches = 1024, .embedding_bytes = 1000, .host_bytes = 1000};
  price.largest_piece_patches = 1024;
  return price;
}

// A worker without the work: gate and link.
class TestWorker {
 public:
  TestWorker(const std::string& name, std::vector<Role> roles, const Resources& capacity,
             rpc::ChannelDirectory& channels, const std::string& scheduler = kEndpoint)
      : gate_({.worker = name,
               .cluster_id = "test",
               .model = kModel,
               .incarnation = SystemRandom().Next() | 1,
               .capacity = capacity},
              SystemClock()),
        link_(
            {.scheduler = scheduler,
             .endpoint = "inproc:" + name,
             .device = "cpu",
             .roles = std::move(roles),
             .max_patches_per_step = 4096,
             .max_model_len = 4096,
             .block_size = 16,
             .backoff_min = milliseconds(5),
             .backoff_max = milliseconds(50),
             .events_max = 8},
            gate_, [] { return Ledger(); }, channels, SystemClock()) {
    gate_.SetState(WorkerState::kReady, 1);
    link_.Start();
  }

  WorkerGate& gate() { return gate_; }
  WorkerLink& link() { return link_; }

 private:
  static v1::DeviceLedger Ledger() {
    v1::DeviceLedger ledger;
    ledger.set_device("cpu");
    ledger.set_total_bytes(1000);
    return ledger;
  }

  WorkerGate gate_;
  WorkerLink link_;
};

class SchedulerTest : public testing::Test {
 protected:
  void SetUp() override {
    config_.cluster.id = "test";
    config_.scheduler.listen = "";
    config_.scheduler.heartbeat_ms = 20;
    config_.scheduler.grant_ttl_ms = 5'000;
    metrics_ = *Metrics::Create("");
    StartScheduler();
  }

  void StartScheduler() {
    auto server = SchedulerServer::Start(config_, channels_, *metrics_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
  }

  absl::StatusOr<v1::ReserveResponse> Reserve(const Price& price, milliseconds wait = milliseconds(10'000)) {
    grpc::ClientContext context;
    return Reserve(price, wait, context);
  }

  absl::StatusOr<v1::ReserveResponse> Reserve(const Price& price, milliseconds wait, grpc::ClientContext& context,
                                              const admission::GrantId& id = {}) {
    v1::ReserveRequest request;
    *request.mutable_grant_id() = ToProto(id);
    request.mutable_context()->set_tenant("t");
    request.mutable_model()->set_sha256(kModel);
    *request.mutable_price() = ToProto(price);
    request.set_wait_ms_max(wait.count());
    v1::ReserveResponse response;
    HEADROOM_ASSIGN_OR_RETURN(auto channel, channels_.Get(kEndpoint));
    HEADROOM_RETURN_IF_ERROR(rpc::FromGrpc(v1::Scheduler::NewStub(channel)->Reserve(&context, request, &response)));
    return response;
  }

  absl::Status Void(const v1::Grant& grant) {
    v1::VoidRequest request;
    *request.mutable_id() = grant.id();
    *request.mutable_epoch() = grant.epoch();
    grpc::ClientContext context;
    v1::VoidResponse response;
    HEADROOM_ASSIGN_OR_RETURN(auto channel, channels_.Get(kEndpoint));
    return rpc::FromGrpc(v1::Scheduler::NewStub(channel)->Void(&context, request, &response));
  }

  v1::ClusterState State() {
    grpc::ClientContext context;
    v1::ClusterState state;
    EXPECT_TRUE(v1::Scheduler::NewStub(*channels_.Get(kEndpoint))->GetClusterState(&context, {}, &state).ok());
    return state;
  }

  // Polls, because links work in the background; a deadline only so that a failure ends.
  template <typename Condition>
  static bool Eventually(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < deadline) {
      if (condition()) return true;
      std::this_thread::sleep_for(milliseconds(2));
    }
    return condition();
  }

  bool Placeable(size_t workers) {
    return Eventually([&] {
      size_t placeable = 0;
      for (const auto& worker : server_->Status().workers) placeable += worker.placeable ? 1 : 0;
      return placeable == workers;
    });
  }

  bool Quiet() {
    return Eventually([&] {
      const admission::ClusterStatus status = server_->Status();
      if (status.grants_pending + status.grants_active + status.queue_entries != 0) return false;
      for (const auto& worker : status.workers) {
        if (worker.reserved != Resources{}) return false;
      }
      return true;
    });
  }

  ClusterConfig config_;
  rpc::ChannelDirectory channels_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<SchedulerServer> server_;
};

TEST_F(SchedulerTest, ReserveActivateSettleEndsAtZero) {
  TestWorker vision("vision-0", {Role::kVision}, VisionCapacity(), channels_);
  TestWorker llm("llm-0", {Role::kLlm}, LlmCapacity(), channels_);
  auto response = Reserve(ImagePrice(10));
  ASSERT_TRUE(response.ok()) << response.status();
  auto grant = admission::FromProto(response->grant());
  ASSERT_TRUE(grant.ok());
  ASSERT_EQ(grant->legs.size(), 2u);
  admission::GrantHolder holder(*grant, SystemClock().Now());
  {
    auto vision_leg = vision.gate().Activate(holder.Forward(SystemClock().Now()), Role::kVision);
    ASSERT_TRUE(vision_leg.ok()) << vision_leg.status();
    auto llm_leg = llm.gate().Activate(holder.Forward(SystemClock().Now()), Role::kLlm);
    ASSERT_TRUE(llm_leg.ok()) << llm_leg.status();
    EXPECT_TRUE(
        Eventually([&] { return server_->Status().grants_active == 1 && server_->Status().grants_pending == 0; }));
    const v1::ClusterState state = State();
    ASSERT_EQ(state.workers_size(), 2);
    EXPECT_EQ(state.epoch().cluster_id(), "test");
    for (const v1::WorkerView& worker : state.workers()) {
      EXPECT_EQ(worker.active_legs(), 1);
      EXPECT_EQ(worker.ledger().total_bytes(), 1000);
      EXPECT_EQ(worker.state(), v1::WORKER_STATE_READY);
    }
  }
  EXPECT_TRUE(Quiet());
  EXPECT_THAT(metrics_->Render(),
              testing::HasSubstr("headroom_scheduler_reserve_decisions_total{budget=\"none\",outcome=\"granted\"} 1"));
}

TEST_F(SchedulerTest, RefusalsCarryTheirReason) {
  TestWorker llm("llm-0", {Role::kLlm}, LlmCapacity(), channels_);
  ASSERT_TRUE(Placeable(1));
  auto response = Reserve(TextPrice(101));
  EXPECT_EQ(response.status().code(), absl::StatusCode::kFailedPrecondition) << response.status();
  ErrorDetails details = GetDetails(response.status());
  EXPECT_EQ(details.reason, NameOf(RefusalReason::kNeverFits));
  EXPECT_EQ(details.metadata["budget"], "kv_blocks");
  EXPECT_EQ(details.metadata["needed"], "101");
  EXPECT_EQ(details.metadata["capacity"], "100");
  EXPECT_EQ(details.metadata["shortfall"], "1");
  EXPECT_THAT(metrics_->Render(), testing::HasSubstr("decisions_total{budget=\"kv_blocks\",outcome=\"NEVER_FITS\"} 1"));

  Price too_long = TextPrice(10);
  too_long.sequence_tokens = 4097;
  response = Reserve(too_long);
  EXPECT_EQ(response.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(response.status().message()),
              testing::AllOf(testing::HasSubstr("4097"), testing::HasSubstr("4096")));

  response = Reserve(TextPrice(10), milliseconds(50));
  ASSERT_TRUE(response.ok());
  auto blocked = Reserve(TextPrice(91), milliseconds(30));
  EXPECT_EQ(blocked.status().code(), absl::StatusCode::kDeadlineExceeded) << blocked.status();
  EXPECT_TRUE(GetDetails(blocked.status()).retry_delay.has_value());
  EXPECT_TRUE(Void(response->grant()).ok());
  EXPECT_TRUE(Void(response->grant()).ok()) << "idempotent";
  EXPECT_TRUE(Quiet());
}

TEST_F(SchedulerTest, NoWorkerIsUnavailableAfterTheGrace) {
  config_.scheduler.startup_grace_ms = 0;
  server_.reset();
  StartScheduler();
  auto response = Reserve(TextPrice(1));
  EXPECT_EQ(response.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(response.status()), RefusalReason::kNoWorker);
  EXPECT_TRUE(GetDetails(response.status()).retry_delay.has_value());
}

// What a gateway does whose Reserve broke: it voids what it never heard of.
TEST_F(SchedulerTest, CallerVoidsWhatItNeverHeardOf) {
  TestWorker llm("llm-0", {Role::kLlm}, LlmCapacity(), channels_);
  ASSERT_TRUE(Placeable(1));
  auto stub = v1::Scheduler::NewStub(*channels_.Get(kEndpoint));
  v1::ReserveRequest request;
  request.mutable_model()->set_sha256(kModel);
  *request.mutable_price() = ToProto(TextPrice(10));
  request.mutable_grant_id()->set_high(5);
  request.mutable_grant_id()->set_low(6);
  v1::Grant named;
  *named.mutable_id() = request.grant_id();
  const auto reserve = [&] {
    grpc::ClientContext context;
    v1::ReserveResponse response;
    const grpc::Status status = stub->Reserve(&context, request, &response);
    EXPECT_TRUE(!status.ok() || response.grant().id().low() == 6);
    return status.error_code();
  };
  EXPECT_EQ(reserve(), grpc::StatusCode::OK);
  EXPECT_EQ(server_->Status().grants_pending, 1);
  EXPECT_TRUE(Void(named).ok());
  EXPECT_EQ(server_->Status().grants_pending, 0);
  EXPECT_TRUE(Void(named).ok());
  EXPECT_EQ(reserve(), grpc::StatusCode::CANCELLED) << "the Void came first";
}

TEST_F(SchedulerTest, CanAdmitAndRenew) {
  TestWorker llm("llm-0", {Role::kLlm}, LlmCapacity(), channels_);
  auto response = Reserve(TextPrice(60));
  ASSERT_TRUE(response.ok());
  auto stub = v1::Scheduler::NewStub(*channels_.Get(kEndpoint));
  v1::CanAdmitRequest ask;
  ask.mutable_model()->set_sha256(kModel);
  *ask.mutable_price() = ToProto(TextPrice(60));
  {
    grpc::ClientContext context;
    v1::CanAdmitResponse answer;
    ASSERT_TRUE(stub->CanAdmit(&context, ask, &answer).ok());
    EXPECT_TRUE(answer.fits_ever());
    EXPECT_FALSE(answer.fits_now());
    ASSERT_EQ(answer.shortfalls_size(), 1);
    EXPECT_EQ(answer.shortfalls(0).free(), 40);
  }
  v1::RenewRequest renew;
  *renew.mutable_id() = response->grant().id();
  *renew.mutable_epoch() = response->grant().epoch();
  {
    grpc::ClientContext context;
    v1::RenewResponse renewed;
    ASSERT_TRUE(stub->Renew(&context, renew, &renewed).ok());
    EXPECT_EQ(renewed.ttl_ms(), 5000);
  }
  ASSERT_TRUE(Void(response->grant()).ok());
  grpc::ClientContext context;
  v1::RenewResponse renewed;
  EXPECT_EQ(stub->Renew(&context, renew, &renewed).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(SchedulerTest, RestartedWorkerIsANewIncarnation) {
  auto first = std::make_unique<TestWorker>("llm-0", std::vector<Role>{Role::kLlm}, LlmCapacity(), channels_);
  auto response = Reserve(TextPrice(10));
  ASSERT_TRUE(response.ok());
  const Grant old_grant = *admission::FromProto(response->grant());
  first.reset();
  TestWorker second("llm-0", {Role::kLlm}, LlmCapacity(), channels_);
  EXPECT_TRUE(Quiet()) << "the pending leg dies with its incarnation";
  ASSERT_TRUE(Placeable(1));
  EXPECT_EQ(second.gate().Activate(old_grant, Role::kLlm).status().code(), absl::StatusCode::kAborted);
  response = Reserve(TextPrice(10));
  ASSERT_TRUE(response.ok());
  EXPECT_TRUE(second.gate().Activate(*admission::FromProto(response->grant()), Role::kLlm).ok());
  EXPECT_TRUE(Quiet());
}

TEST_F(SchedulerTest, SecondWorkerOfANameWaitsForIt) {
  auto first = std::make_unique<TestWorker>("llm-0", std::vector<Role>{Role::kLlm}, LlmCapacity(), channels_);
  ASSERT_TRUE(Placeable(1));
  const uint64_t epoch = server_->Status().epoch;
  TestWorker second("llm-0", {Role::kLlm}, LlmCapacity(), channels_);
  for (int i = 0; i < 20; ++i) {
    auto response = Reserve(TextPrice(1));
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(response->grant().legs(0).incarnation(), first->gate().options().incarnation);
    EXPECT_TRUE(Void(response->grant()).ok());
  }
  EXPECT_FALSE(second.link().Connected());
  EXPECT_EQ(server_->Status().epoch, epoch);
  first.reset();
  EXPECT_TRUE(Eventually([&] { return second.link().Connected(); }));
  EXPECT_TRUE(Placeable(1));
}

TEST_F(SchedulerTest, RestartedSchedulerRebuildsItsViewAndFencesOldGrants) {
  TestWorker llm("llm-0", {Role::kLlm}, LlmCapacity(), channels_);
  auto running = Reserve(TextPrice(60));
  auto pending = Reserve(TextPrice(10));
  ASSERT_TRUE(running.ok() && pending.ok());
  auto leg = llm.gate().Activate(*admission::FromProto(running->grant()), Role::kLlm);
  ASSERT_TRUE(leg.ok());
  server_.reset();
  StartScheduler();
  // Waits in the queue until the worker is back: no refusal.
  auto after = Reserve(TextPrice(30));
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_GT(after->grant().epoch().number(), running->grant().epoch().number());
  EXPECT_EQ(server_->Status().grants_active, 1) << "the running leg is known again";
  EXPECT_EQ(llm.gate().Activate(*admission::FromProto(pending->grant()), Role::kLlm).status().code(),
            absl::StatusCode::kAborted)
      << "a grant of the old epoch";
  EXPECT_EQ(Reserve(TextPrice(20), milliseconds(30)).status().code(), absl::StatusCode::kDeadlineExceeded)
      << "60 are active and 30 pending";
  leg->Settle();
  EXPECT_TRUE(llm.gate().Activate(*admission::FromProto(after->grant()), Role::kLlm).ok());
  EXPECT_TRUE(Quiet());
}

TEST_F(SchedulerTest, DrainRefusesWaitingAndNew) {
  TestWorker llm("llm-0", {Role::kLlm}, LlmCapacity(), channels_);
  auto held = Reserve(TextPrice(100));
  ASSERT_TRUE(held.ok());
  absl::Status waiting;
  std::thread waiter([&] { waiting = Reserve(TextPrice(1)).status(); });
  ASSERT_TRUE(Eventually([&] { return server_->Status().queue_entries == 1; }));
  server_->Drain();
  waiter.join();
  EXPECT_EQ(waiting.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Reserve(TextPrice(1)).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Void(held->grant()).ok());
}

TEST_F(SchedulerTest, DrainingWorkerGetsNoNewGrants) {
  TestWorker llm("llm-0", {Role::kLlm}, LlmCapacity(), channels_);
  auto held = Reserve(TextPrice(1));
  ASSERT_TRUE(held.ok());
  llm.gate().SetState(WorkerState::kDraining, 1);
  ASSERT_TRUE(Placeable(0));
  EXPECT_FALSE(llm.link().Released()) << "a grant is on its way";
  auto refused = Reserve(TextPrice(1));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(refused.status()), RefusalReason::kDraining);
  EXPECT_TRUE(llm.gate().Activate(*admission::FromProto(held->grant()), Role::kLlm).ok()) << "a promise is kept";
  EXPECT_TRUE(Eventually([&] { return llm.link().Released(); }));
}

TEST_F(SchedulerTest, WorksOverLoopback) {
  config_.scheduler.listen = "127.0.0.1:0";
  server_.reset();
  StartScheduler();
  TestWorker llm("llm-0", {Role::kLlm}, LlmCapacity(), channels_, server_->address());
  ASSERT_TRUE(Placeable(1));
  auto response = Reserve(TextPrice(10));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_TRUE(llm.gate().Activate(*admission::FromProto(response->grant()), Role::kLlm).ok());
  EXPECT_TRUE(Quiet());
  llm.link().Stop();
  EXPECT_TRUE(Placeable(0));
}

// More events than the link keeps while it has no scheduler: the first heartbeat says it all.
TEST_F(SchedulerTest, EventsBeyondTheBoundHeal) {
  TestWorker llm("llm-0", {Role::kLlm}, LlmCapacity(), channels_);
  auto held = Reserve(TextPrice(40));
  ASSERT_TRUE(held.ok());
  auto leg = llm.gate().Activate(*admission::FromProto(held->grant()), Role::kLlm);
  ASSERT_TRUE(leg.ok());
  server_.reset();
  for (int i = 0; i < 9; ++i) llm.gate().SetState(i % 2 == 0 ? WorkerState::kDraining : WorkerState::kReady, 1);
  llm.gate().SetState(WorkerState::kReady, 1);
  StartScheduler();
  ASSERT_TRUE(Placeable(1));
  EXPECT_EQ(server_->Status().workers[0].reserved.kv_blocks, 40);
  EXPECT_EQ(server_->Status().grants_active, 1);
  leg->Settle();
  EXPECT_TRUE(Quiet());
}

TEST(ConvertTest, GrantsSurviveAndMalformedOnesAreRefused) {
  Grant grant{.id = {1, 2}, .cluster_id = "c", .epoch = 3, .legs = {}, .ttl = milliseconds(4), .model = kModel};
  grant.legs.push_back({Role::kVision, "v", "inproc:v", 5, 0, VisionCapacity()});
  grant.legs.push_back({Role::kLlm, "l", "inproc:l", 6, 0, LlmCapacity()});
  v1::Grant message = admission::ToProto(grant);
  auto back = admission::FromProto(message);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->id, grant.id);
  EXPECT_EQ(back->epoch, 3u);
  EXPECT_EQ(back->ttl, milliseconds(4));
  EXPECT_EQ(back->model, kModel);
  ASSERT_EQ(back->legs.size(), 2u);
  EXPECT_EQ(back->Find(Role::kVision)->resources, VisionCapacity());
  EXPECT_EQ(back->Find(Role::kLlm)->incarnation, 6u);
  *message.add_legs() = message.legs(0);
  EXPECT_TRUE(absl::IsInvalidArgument(admission::FromProto(message).status())) << "two legs of one role";
  message.mutable_legs()->RemoveLast();
  message.mutable_legs(0)->set_role(v1::ROLE_UNSPECIFIED);
  EXPECT_TRUE(absl::IsInvalidArgument(admission::FromProto(message).status()));
  message.mutable_legs(0)->set_role(static_cast<v1::Role>(77));
  EXPECT_TRUE(absl::IsInvalidArgument(admission::FromProto(message).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(admission::FromProto(v1::Grant()).status())) << "no id";
}

// A worker whose messages make no sense is cut off with the reason.
TEST_F(SchedulerTest, MalformedLinksAreClosed) {
  auto finish = [this](const v1::WorkerMessage& message) {
    grpc::ClientContext context;
    auto stream = v1::Scheduler::NewStub(*channels_.Get(kEndpoint))->WorkerLink(&context);
    stream->Write(message);
    v1::SchedulerMessage ignored;
    while (stream->Read(&ignored)) {
    }
    return stream->Finish().error_code();
  };
  v1::WorkerMessage message;
  EXPECT_EQ(finish(message), grpc::StatusCode::INVALID_ARGUMENT) << "no kind";
  message.mutable_heartbeat()->set_state(v1::WORKER_STATE_READY);
  EXPECT_EQ(finish(message), grpc::StatusCode::FAILED_PRECONDITION) << "no hello";
  message.mutable_hello()->set_cluster_id("other");
  message.mutable_hello()->set_state(v1::WORKER_STATE_READY);
  EXPECT_EQ(finish(message), grpc::StatusCode::FAILED_PRECONDITION);
  message.mutable_hello()->set_cluster_id("test");
  EXPECT_EQ(finish(message), grpc::StatusCode::INVALID_ARGUMENT) << "no name";
  EXPECT_TRUE(server_->Status().workers.empty());
}

// Many callers, many of whom leave; tiny capacities so that most wait. At the end nothing is held anywhere.
TEST_F(SchedulerTest, ConcurrentReserversWithRandomCancelsEndAtZero) {
  TestWorker vision("vision-0", {Role::kVision}, VisionCapacity(), channels_);
  TestWorker llm_a("llm-0", {Role::kLlm}, LlmCapacity(), channels_);
  TestWorker llm_b("llm-1", {Role::kLlm}, LlmCapacity(), channels_);
  ASSERT_TRUE(Placeable(3));
  std::map<std::string, WorkerGate*> gates = {
      {"vision-0", &vision.gate()}, {"llm-0", &llm_a.gate()}, {"llm-1", &llm_b.gate()}};
  constexpr int kThreads = 16;
  constexpr int kRequests = 40;
  const uint64_t seed = SystemRandom().Next();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::atomic<int> served = 0;
  std::atomic<int> left = 0;
  auto caller = [&](int index) {
    SeededRandom random(seed + static_cast<uint64_t>(index));
    for (int i = 0; i < kRequests; ++i) {
      const int64_t blocks = 1 + static_cast<int64_t>(random.Below(60));
      const Price price = random.Below(2) == 0 ? ImagePrice(blocks) : TextPrice(blocks);
      grpc::ClientContext context;
      std::thread canceller;
      if (random.Below(3) == 0) {
        canceller = std::thread([&context, pause = random.Below(3)] {
          std::this_thread::sleep_for(milliseconds(pause));
          context.TryCancel();
        });
      }
      v1::Grant named;
      const admission::GrantId id{random.Next(), random.Next()};
      *named.mutable_id() = ToProto(id);
      auto response = Reserve(price, milliseconds(60'000), context, id);
      if (canceller.joinable()) canceller.join();
      if (!response.ok()) {
        EXPECT_EQ(response.status().code(), absl::StatusCode::kCancelled) << response.status();
        EXPECT_TRUE(Void(named).ok());
        ++left;
        continue;
      }
      const Grant grant = *admission::FromProto(response->grant());
      // Some gateways give the grant back, some use it.
      if (random.Below(5) == 0) {
        EXPECT_TRUE(Void(response->grant()).ok());
        continue;
      }
      std::vector<admission::ActiveLeg> legs;
      for (const admission::Leg& leg : grant.legs) {
        auto active = gates.at(leg.worker)->Activate(grant, leg.role);
        ASSERT_TRUE(active.ok()) << active.status() << " of " << leg.worker;
        legs.push_back(std::move(*active));
      }
      ++served;
    }
  };
  std::vector<std::thread> callers;
  for (int i = 0; i < kThreads; ++i) callers.emplace_back(caller, i);
  for (std::thread& thread : callers) thread.join();
  EXPECT_GT(served.load(), 0);
  EXPECT_TRUE(Quiet());
  for (const auto& [name, gate] : gates) {
    EXPECT_EQ(gate->Snapshot().reserved, Resources{}) << name;
    EXPECT_TRUE(gate->Snapshot().active.empty());
  }
}

}  // namespace
}  // namespace headroom::scheduler
