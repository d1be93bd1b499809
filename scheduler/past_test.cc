// Questions about the past over gRPC: the real SchedulerServer, WorkerLink and WorkerGate in one process.
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <limits>
#include <thread>

#include "admission/link/convert.h"
#include "admission/link/past_request.h"
#include "admission/link/worker_link.h"
#include "admission/price.h"
#include "common/random.h"
#include "common/rpc/status.h"
#include "scheduler/server.h"

namespace headroom::scheduler {
namespace {

using admission::milliseconds;
using admission::Role;

constexpr char kModel[] = "abc123";
constexpr char kEndpoint[] = "inproc:scheduler";
constexpr std::chrono::seconds kPatience(20);

class PastTest : public testing::Test {
 protected:
  PastTest() : metrics_(*Metrics::Create("")) {
    config_.cluster.id = "test";
    config_.scheduler.listen = "";
    config_.scheduler.heartbeat_ms = 20;
    auto server = SchedulerServer::Start(config_, channels_, *metrics_);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
    gate_.emplace(admission::WorkerGate::Options{.worker = "llm-0",
                                                 .cluster_id = "test",
                                                 .model = kModel,
                                                 .incarnation = SystemRandom().Next() | 1,
                                                 .capacity = {.slots = 4, .kv_blocks = 100, .host_bytes = 1 << 20}},
                  SystemClock());
    gate_->SetState(admission::WorkerState::kReady, 1);
    link_.emplace(
        admission::WorkerLink::Options{.scheduler = kEndpoint,
                                       .endpoint = "inproc:llm-0",
                                       .device = "cpu",
                                       .roles = {Role::kLlm},
                                       .max_model_len = 4096,
                                       .block_size = 16,
                                       .kv_block_bytes = 2048},
        *gate_, [] { return Ledger(); }, channels_, SystemClock());
    link_->Start();
    EXPECT_TRUE(Eventually([this] {
      const auto status = server_->Status();
      return status.workers.size() == 1 && status.workers[0].placeable;
    }));
  }
  ~PastTest() override { link_->Stop(); }

  static v1::DeviceLedger Ledger() {
    v1::DeviceLedger ledger;
    ledger.set_device("cpu");
    ledger.set_total_bytes(1 << 20);
    v1::LedgerLine* line = ledger.add_lines();
    line->set_component("kv_pool");
    line->set_planned_bytes(100 * 2048 + 4096);
    line->set_reserved_bytes(4096);
    return ledger;
  }

  template <typename Condition>
  static bool Eventually(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < deadline) {
      if (condition()) return true;
      std::this_thread::sleep_for(milliseconds(2));
    }
    return condition();
  }

  std::unique_ptr<v1::Scheduler::Stub> Stub() { return v1::Scheduler::NewStub(*channels_.Get(kEndpoint)); }

  absl::StatusOr<admission::Grant> Reserve(const std::string& id, int64_t prompt, int64_t answer) {
    v1::ReserveRequest request;
    request.mutable_context()->set_request_id(id);
    request.mutable_context()->set_tenant("tenant");
    request.mutable_model()->set_sha256(kModel);
    *request.mutable_price() =
        admission::ToProto(*admission::ComputePrice({.prompt_tokens = prompt, .max_tokens = answer, .block_size = 16}));
    request.set_wait_ms_max(10'000);
    grpc::ClientContext context;
    v1::ReserveResponse response;
    HEADROOM_RETURN_IF_ERROR(rpc::FromGrpc(Stub()->Reserve(&context, request, &response)));
    return admission::FromProto(response.grant());
  }

  v1::GetHistoryResponse History(const v1::GetHistoryRequest& request) {
    grpc::ClientContext context;
    v1::GetHistoryResponse response;
    EXPECT_TRUE(Stub()->GetHistory(&context, request, &response).ok());
    return response;
  }

  v1::GetRefusalsResponse Refusals(const std::string& id, int64_t count) {
    v1::GetRefusalsRequest request;
    request.set_request_id(id);
    request.set_count(count);
    grpc::ClientContext context;
    v1::GetRefusalsResponse response;
    EXPECT_TRUE(Stub()->GetRefusals(&context, request, &response).ok());
    return response;
  }

  ClusterConfig config_;
  rpc::ChannelDirectory channels_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<SchedulerServer> server_;
  std::optional<admission::WorkerGate> gate_;
  std::optional<admission::WorkerLink> link_;
};

TEST_F(PastTest, WhoHeldHowMuch) {
  TimePoint held_at;
  auto grant = Reserve("r-1", 100, 60);
  ASSERT_TRUE(grant.ok()) << grant.status();
  {
    auto leg = gate_->Activate(*grant, Role::kLlm);
    ASSERT_TRUE(leg.ok()) << leg.status();
    EXPECT_TRUE(Eventually([this] {
      const auto now = History({});
      return now.workers_size() == 1 && now.workers(0).has_ledger() && now.workers(0).legs_size() == 1 &&
             now.workers(0).legs(0).active_ms() >= 0;
    }));
    v1::GetHistoryRequest request;
    request.set_span_ms(60'000);
    held_at = SystemClock().Now();
    const v1::GetHistoryResponse now = History(request);
    const v1::WorkerPast& worker = now.workers(0);
    EXPECT_EQ(worker.worker(), "llm-0");
    EXPECT_EQ(worker.device(), "cpu");
    EXPECT_EQ(worker.capacity().kv_blocks(), 100);
    EXPECT_EQ(worker.block_size(), 16);
    EXPECT_EQ(worker.kv_block_bytes(), 2048);
    EXPECT_EQ(worker.ledger().total_bytes(), 1 << 20);
    ASSERT_EQ(worker.ledger().lines_size(), 1);
    EXPECT_EQ(worker.ledger().lines(0).reserved_bytes(), 4096);
    EXPECT_EQ(worker.legs(0).request_id(), "r-1");
    EXPECT_EQ(worker.legs(0).tenant(), "tenant");
    EXPECT_EQ(worker.legs(0).role(), v1::ROLE_LLM);
    EXPECT_EQ(worker.legs(0).resources().kv_blocks(), 10);
    EXPECT_EQ(worker.legs(0).left_ms(), -1);
    EXPECT_GE(worker.legs(0).held_ms(), worker.legs(0).active_ms());
    ASSERT_GE(worker.points_size(), 1);
    EXPECT_EQ(worker.points(0).reserved_bytes(), 4096);
  }
  // Over now, but not forgotten.
  EXPECT_TRUE(Eventually([this] { return server_->Status().grants_active == 0; }));
  EXPECT_EQ(History({}).workers(0).legs_size(), 0);
  // Again and again, because the question takes its time, too.
  EXPECT_TRUE(Eventually([&] {
    v1::GetHistoryRequest request;
    request.set_age_ms(Milliseconds(SystemClock().Now() - held_at));
    const v1::GetHistoryResponse then = History(request);
    return then.workers_size() == 1 && then.workers(0).legs_size() == 1 && then.workers(0).legs(0).left_ms() >= 0;
  }));
}

// Whatever is asked within the ranges: an answer, and a small one.
TEST_F(PastTest, AnswersAreBounded) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  for (const int64_t value : {kMost, int64_t{1}}) {
    v1::GetHistoryRequest request;
    request.set_age_ms(value);
    request.set_span_ms(value);
    request.set_legs_max(std::min(value, admission::kHistoryLegsMax));
    request.set_points_max(std::min(value, admission::kHistoryPointsMax));
    request.set_since_begin_ms(value);
    const v1::GetHistoryResponse response = History(request);
    EXPECT_LE(response.age_ms(), response.covered_ms());
    EXPECT_GE(response.age_ms(), 0);
    EXPECT_LE(response.workers_size(), 1);
    EXPECT_EQ(Refusals("", std::min(value, admission::kRefusalsMax)).refusals_size(), 0);
  }
  v1::GetHistoryRequest request;
  request.set_worker(std::string(100'000, 'w'));
  EXPECT_EQ(History(request).workers_size(), 0);
  for (int i = 0; i < 120; ++i) EXPECT_FALSE(Reserve(absl::StrCat("r-", i), 2000, 100).ok());
  EXPECT_EQ(Refusals("", 100).refusals_size(), 100);
  EXPECT_EQ(Refusals("", 0).refusals_size(), 1);
}

TEST_F(PastTest, QuestionsOutsideTheirRangesAreRefused) {
  using Setter = void (v1::GetHistoryRequest::*)(int64_t);
  struct Field {
    const char* name;
    Setter set;
    int64_t max;
  };
  constexpr int64_t kAny = std::numeric_limits<int64_t>::max();
  const Field fields[] = {{"age_ms", &v1::GetHistoryRequest::set_age_ms, kAny},
                          {"span_ms", &v1::GetHistoryRequest::set_span_ms, kAny},
                          {"since_begin_ms", &v1::GetHistoryRequest::set_since_begin_ms, kAny},
                          {"legs_max", &v1::GetHistoryRequest::set_legs_max, 5'000},
                          {"points_max", &v1::GetHistoryRequest::set_points_max, 1'000}};
  for (const Field& field : fields) {
    for (const int64_t value : {int64_t{-1}, std::numeric_limits<int64_t>::min(), field.max, kAny}) {
      v1::GetHistoryRequest request;
      (request.*field.set)(value);
      grpc::ClientContext context;
      v1::GetHistoryResponse response;
      const grpc::Status status = Stub()->GetHistory(&context, request, &response);
      if (value >= 0 && value <= field.max) {
        EXPECT_TRUE(status.ok()) << field.name << " " << value << ": " << status.error_message();
        continue;
      }
      EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << field.name << " " << value;
      EXPECT_EQ(status.error_message().find(absl::StrCat(field.name, ": ", value, " is not between 0 and ")), 0u)
          << status.error_message();
    }
  }
  for (const int64_t count : {int64_t{-1}, int64_t{101}}) {
    v1::GetRefusalsRequest request;
    request.set_count(count);
    grpc::ClientContext context;
    v1::GetRefusalsResponse response;
    EXPECT_EQ(Stub()->GetRefusals(&context, request, &response).error_message(),
              absl::StrCat("count: ", count, " is not between 0 and 100"));
  }
}

TEST_F(PastTest, RefusalsWithWhatWouldHaveFitted) {
  EXPECT_EQ(Reserve("big", 1500, 300).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Reserve("other", 2000, 300).status().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_EQ(Refusals("", 10).refusals_size(), 2);
  EXPECT_EQ(Refusals("", 10).refusals(0).request_id(), "other") << "newest first";
  const v1::GetRefusalsResponse response = Refusals("big", 1);
  ASSERT_EQ(response.refusals_size(), 1);
  const v1::RefusalView& refusal = response.refusals(0);
  EXPECT_EQ(refusal.request_id(), "big");
  EXPECT_EQ(refusal.tenant(), "tenant");
  EXPECT_EQ(refusal.refused_by(), "scheduler");
  EXPECT_EQ(refusal.code(), 9);
  EXPECT_EQ(refusal.reason(), NameOf(RefusalReason::kNeverFits));
  EXPECT_EQ(refusal.device(), "cpu");
  EXPECT_EQ(refusal.unit_bytes(), 2048);
  // The moment of the refusal, exactly: however long the answer was under way.
  v1::GetHistoryRequest then;
  then.set_since_begin_ms(refusal.since_begin_ms());
  const v1::GetHistoryResponse history = History(then);
  EXPECT_EQ(history.covered_ms() - history.age_ms(), refusal.since_begin_ms());
  EXPECT_EQ(refusal.shortfall().needed(), 113);
  EXPECT_EQ(refusal.shortfall().free(), 100);
  EXPECT_EQ(refusal.price().prompt_tokens(), 1500);
  ASSERT_EQ(refusal.remedies_size(), 2);
  EXPECT_EQ(refusal.remedies(0).what(), "max_tokens");
  EXPECT_EQ(refusal.remedies(0).fits(), 100);
  EXPECT_EQ(refusal.remedies(1).what(), "device.memory");
  EXPECT_EQ(refusal.remedies(1).fits(), (1 << 20) + (13 * 2048 + 4095) / 4096 * 4096);
  EXPECT_TRUE(Reserve("smaller", 1500, 100).ok());
  EXPECT_EQ(Refusals("nobody", 1).refusals_size(), 0);
}

}  // namespace
}  // namespace headroom::scheduler
