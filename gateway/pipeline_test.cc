// The pipeline against scripted services over real in-process gRPC: what it asks for, what it does when they fail, and
// that nothing is left.
#include "gateway/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <fstream>
#include <iterator>
#include <set>

#include "common/rpc/acceptance.h"
#include "common/rpc/server_host.h"
#include "common/rpc/status.h"
#include "common/testing/paths.h"

namespace headroom::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::chrono::seconds kPatience(20);  // only so that a failure ends
const std::string kGolden = SourceDir() + "/tests/golden/minicpmv";

// Grants everything at once; remembers what was asked and voided.
class ScriptedScheduler : public v1::Scheduler::Service {
 public:
  grpc::Status Reserve(grpc::ServerContext*, const v1::ReserveRequest* request,
                       v1::ReserveResponse* response) override {
    std::lock_guard lock(mutex);
    reserves.push_back(*request);
    if (!refuse.ok() && static_cast<int>(reserves.size()) <= refusals) return rpc::ToGrpc(refuse);
    if (stop != nullptr) stop->request_stop();  // the answer is lost
    v1::Grant* grant = response->mutable_grant();
    grant->mutable_id()->set_high(7);
    grant->mutable_id()->set_low(reserves.size());
    grant->mutable_epoch()->set_number(1);
    grant->set_ttl_ms(60'000);
    auto add_leg = [&](v1::Role role, const std::string& worker, const v1::Resources& resources) {
      v1::Leg* leg = grant->add_legs();
      leg->set_role(role);
      leg->set_worker(worker);
      leg->set_endpoint("inproc:" + worker);
      *leg->mutable_resources() = resources;
    };
    if (request->price().has_vision()) add_leg(v1::ROLE_VISION, "vision", request->price().vision());
    const bool second = request->exclude_workers_size() > 0;
    add_leg(v1::ROLE_LLM, second ? "llm-b" : "llm-a", request->price().llm());
    return grpc::Status::OK;
  }
  grpc::Status Void(grpc::ServerContext*, const v1::VoidRequest* request, v1::VoidResponse*) override {
    std::lock_guard lock(mutex);
    voided.push_back(request->id().low());
    changed.notify_all();
    return grpc::Status::OK;
  }
  grpc::Status GetClusterState(grpc::ServerContext*, const v1::GetClusterStateRequest*,
                               v1::ClusterState* state) override {
    std::lock_guard lock(mutex);
    for (v1::Role role : {v1::ROLE_VISION, v1::ROLE_LLM}) {
      v1::WorkerView* worker = state->add_workers();
      worker->add_roles(role);
      worker->set_placeable(true);
      worker->mutable_model()->set_sha256(fingerprint);
      worker->set_block_size(16);
      worker->set_max_model_len(1000);
      worker->set_max_patches_per_step(2048);
      worker->set_embedding_piece_bytes(64 * 256 * 2);
    }
    return grpc::Status::OK;
  }

  std::mutex mutex;
  std::string fingerprint;
  absl::Status refuse;
  int refusals = 1 << 20;
  std::stop_source* stop = nullptr;
  std::condition_variable changed;
  std::vector<v1::ReserveRequest> reserves;
  std::vector<uint64_t> voided;
};

class ScriptedVision : public v1::Vision::Service {
 public:
  grpc::Status Encode(grpc::ServerContext* context,
                      grpc::ServerReaderWriter<v1::EncodeResponse, v1::EncodeRequest>* stream) override {
    v1::EncodeRequest request;
    if (!stream->Read(&request)) return grpc::Status::CANCELLED;
    const v1::EncodeStart start = request.start();
    if (!fail.ok()) return rpc::ToGrpc(fail);
    rpc::MarkAccepted(*context);
    stream->SendInitialMetadata();
    std::vector<std::string> bytes(static_cast<size_t>(start.images_size()));
    for (int i = 0; i < start.images_size(); ++i) {
      while (static_cast<int64_t>(bytes[static_cast<size_t>(i)].size()) < start.images(i).size_bytes() &&
             stream->Read(&request)) {
        bytes[static_cast<size_t>(i)] += request.chunk().data();
      }
      v1::EncodeResponse response;
      response.mutable_encoded()->set_image(i);
      response.mutable_encoded()->mutable_ref()->set_id(static_cast<uint64_t>(i) + 100);
      stream->Write(response);
    }
    {
      std::lock_guard lock(mutex);
      received = bytes;
    }
    // Open until the gateway closes it.
    while (stream->Read(&request)) {
    }
    std::lock_guard lock(mutex);
    ++closed;
    return grpc::Status::OK;
  }

  std::mutex mutex;
  absl::Status fail;
  std::vector<std::string> received;
  int closed = 0;
};

// Sends `tokens` from position continued_ids on, then ends with `last`, or fails with `fail` after `fail_after` tokens.
class ScriptedLlm : public v1::Llm::Service {
 public:
  grpc::Status Generate(grpc::ServerContext* context, const v1::LlmGenerateRequest* request,
                        grpc::ServerWriter<v1::TokenEvent>* writer) override {
    {
      std::lock_guard lock(mutex);
      requests.push_back(*request);
    }
    if (accept) {
      rpc::MarkAccepted(*context);
      writer->SendInitialMetadata();
    }
    int sent = 0;
    for (size_t i = static_cast<size_t>(request->continued_ids_size()); i < tokens.size(); ++i, ++sent) {
      if (!fail.ok() && sent == fail_after) return rpc::ToGrpc(fail);
      v1::TokenEvent event;
      event.set_index(static_cast<int64_t>(i));
      event.set_token(tokens[i]);
      event.set_has_token(true);
      if (i + 1 == tokens.size() && !endless) event.set_finish(v1::FINISH_REASON_STOP);
      if (!writer->Write(event)) return grpc::Status::CANCELLED;
    }
    if (!fail.ok()) return rpc::ToGrpc(fail);
    while (endless && !context->IsCancelled()) std::this_thread::yield();
    return endless ? grpc::Status::CANCELLED : grpc::Status::OK;
  }

  std::mutex mutex;
  std::vector<int32_t> tokens;
  absl::Status fail;
  int fail_after = 0;
  bool accept = true;
  bool endless = false;
  std::vector<v1::LlmGenerateRequest> requests;
};

class PipelineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loaded = ServedModel::Load(kGolden);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    model_ = *std::move(loaded);
    scheduler_.fingerprint = model_->fingerprint;
    Host("scheduler", &scheduler_);
    Host("vision", &vision_);
    Host("llm-a", &llm_a_);
    Host("llm-b", &llm_b_);
    client_.emplace(channels_, "inproc:scheduler");
    grants_.emplace(*client_, SystemClock());
    cluster_.emplace(*client_, model_->fingerprint, true);
    ASSERT_TRUE(cluster_->WaitReady(std::chrono::seconds(60)));
    // The answer "one two three", then the stop id.
    llm_a_.tokens = *model_->tokenizer->Encode("one two three", model::AddedTokens::kNone);
    llm_a_.tokens.push_back(model_->stop_ids.front());
    llm_b_.tokens = llm_a_.tokens;
  }

  void TearDown() override {
    cluster_.reset();
    grants_.reset();
    for (const auto& host : hosts_) host->Shutdown(std::chrono::seconds(60));
  }

  void Host(const std::string& name, grpc::Service* service) {
    hosts_.push_back(std::make_unique<rpc::ServerHost>(rpc::ServerHostOptions{.listen = ""}));
    ASSERT_TRUE(hosts_.back()->Start({service}).ok());
    channels_.Register("inproc:" + name, hosts_.back()->server());
  }

  static v1::GenerateRequest Ask(bool picture) {
    v1::GenerateRequest request;
    v1::Message* message = request.add_messages();
    message->set_role("user");
    if (picture) {
      std::ifstream file(kGolden + "/images/small.png", std::ios::binary);
      message->add_content()->mutable_image()->set_data(std::string(std::istreambuf_iterator<char>(file), {}));
    }
    message->add_content()->set_text("Which?");
    return request;
  }

  absl::StatusOr<v1::Finish> Run(const v1::GenerateRequest& request) {
    Pipeline pipeline({config_, *model_, channels_, *client_, *grants_, *cluster_, budget_, SystemClock()});
    const CallScope scope{std::chrono::system_clock::now() + deadline_, stop_.get_token()};
    RequestTimes times;
    shown_.clear();
    return pipeline.Run(
        request, "r1", scope,
        [this](const std::string& text) {
          shown_ += text;
          return !client_gone_;
        },
        &times);
  }

  GatewaySection config_;
  std::unique_ptr<ServedModel> model_;
  ScriptedScheduler scheduler_;
  ScriptedVision vision_;
  ScriptedLlm llm_a_, llm_b_;
  rpc::ChannelDirectory channels_;
  std::vector<std::unique_ptr<rpc::ServerHost>> hosts_;
  std::optional<SchedulerClient> client_;
  std::optional<GrantKeeper> grants_;
  std::optional<ClusterView> cluster_;
  HostBudget budget_{1 << 20};
  std::stop_source stop_;
  std::chrono::seconds deadline_{60};
  std::string shown_;
  bool client_gone_ = false;
};

TEST_F(PipelineTest, PictureAndQuestion) {
  const auto request = Ask(true);
  const auto finish = Run(request);
  ASSERT_TRUE(finish.ok()) << finish.status();
  EXPECT_EQ(shown_, "one two three");
  EXPECT_EQ(finish->reason(), v1::FINISH_REASON_STOP);
  EXPECT_EQ(finish->usage().completion_tokens(), static_cast<int64_t>(llm_a_.tokens.size()));
  EXPECT_THAT(vision_.received, ElementsAre(request.messages(0).content(0).image().data()));
  EXPECT_EQ(vision_.closed, 1);
  ASSERT_EQ(llm_a_.requests.size(), 1);
  ASSERT_EQ(llm_a_.requests[0].spans_size(), 1);
  EXPECT_EQ(llm_a_.requests[0].spans(0).rows(), 64);
  EXPECT_EQ(llm_a_.requests[0].refs(0).id(), 100);
  EXPECT_THAT(scheduler_.voided, IsEmpty());
  EXPECT_EQ(budget_.used_bytes(), 0);
}

TEST_F(PipelineTest, TextIsTokenizedWithinTheHostBudget) {
  auto request = Ask(false);
  request.mutable_messages(0)->mutable_content(0)->set_text("short");
  const auto held = budget_.Take(budget_.capacity_bytes() - 64);
  EXPECT_EQ(Run(request).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(scheduler_.reserves, IsEmpty());
}

TEST_F(PipelineTest, StopStringCancelsTheWorkerAndCutsTheText) {
  llm_a_.endless = true;
  auto request = Ask(false);
  request.add_stop("two");
  const auto finish = Run(request);
  ASSERT_TRUE(finish.ok()) << finish.status();
  EXPECT_EQ(shown_, "one ");
  EXPECT_EQ(finish->reason(), v1::FINISH_REASON_STOP);
}

TEST_F(PipelineTest, WorkerLostWhileDecodingIsReplacedOnce) {
  llm_a_.fail = absl::UnavailableError("connection lost");
  llm_a_.fail_after = 2;
  const auto finish = Run(Ask(true));
  ASSERT_TRUE(finish.ok()) << finish.status();
  EXPECT_EQ(shown_, "one two three");
  ASSERT_EQ(scheduler_.reserves.size(), 2);
  EXPECT_TRUE(scheduler_.reserves[1].resume());
  EXPECT_EQ(scheduler_.reserves[1].exclude_workers(0), "llm-a");
  ASSERT_EQ(llm_b_.requests.size(), 1);
  EXPECT_THAT(llm_b_.requests[0].continued_ids(), ElementsAre(llm_a_.tokens[0], llm_a_.tokens[1]));
  EXPECT_EQ(finish->usage().completion_tokens(), static_cast<int64_t>(llm_a_.tokens.size()));
}

TEST_F(PipelineTest, SecondLossEndsTheRequest) {
  llm_a_.fail = absl::UnavailableError("connection lost");
  llm_a_.fail_after = 1;
  llm_b_.fail = absl::UnavailableError("connection lost");
  llm_b_.fail_after = 1;
  EXPECT_EQ(Run(Ask(false)).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(scheduler_.reserves.size(), 2);
}

TEST_F(PipelineTest, WorkerLostDuringPrefillMayHaveBeenPoisoned) {
  llm_a_.fail = absl::UnavailableError("connection lost");
  EXPECT_EQ(Run(Ask(false)).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(scheduler_.reserves.size(), 1);
  EXPECT_THAT(llm_b_.requests, IsEmpty());
  EXPECT_THAT(scheduler_.voided, ElementsAre(1));
}

TEST_F(PipelineTest, WorkerThatHadNotBegunIsReplaced) {
  llm_a_.accept = false;
  llm_a_.fail = absl::UnavailableError("connection lost");
  const auto finish = Run(Ask(false));
  ASSERT_TRUE(finish.ok()) << finish.status();
  EXPECT_EQ(shown_, "one two three");
  ASSERT_EQ(scheduler_.reserves.size(), 2);
  EXPECT_EQ(scheduler_.reserves[1].exclude_workers(0), "llm-a");
  EXPECT_THAT(scheduler_.voided, ElementsAre(1));
}

TEST_F(PipelineTest, RefusalsHaveAnEndToo) {
  for (ScriptedLlm* llm : {&llm_a_, &llm_b_}) llm->fail = rpc::RefusalError(RefusalReason::kNoRoom, "full");
  EXPECT_EQ(Run(Ask(false)).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(scheduler_.reserves.size(), 4);
}

TEST_F(PipelineTest, SchedulerThatIsAwayIsAskedAgain) {
  scheduler_.refuse = rpc::RefusalError(RefusalReason::kDraining, "draining");
  scheduler_.refusals = 2;
  const auto finish = Run(Ask(false));
  ASSERT_TRUE(finish.ok()) << finish.status();
  ASSERT_EQ(scheduler_.reserves.size(), 3);
  EXPECT_FALSE(scheduler_.reserves[2].resume());
  // It keeps its place in the queue, and does not wait longer than it may.
  EXPECT_GT(scheduler_.reserves[2].queued_ms(), scheduler_.reserves[0].queued_ms());
  EXPECT_LT(scheduler_.reserves[2].wait_ms_max(), scheduler_.reserves[0].wait_ms_max());
}

// A server that goes cancels the calls that are left in it. Nobody here wished that.
TEST_F(PipelineTest, CallsThatTheOtherSideCancelsAreMadeAgain) {
  scheduler_.refuse = absl::CancelledError("CANCELLED");
  scheduler_.refusals = 1;
  llm_a_.accept = false;
  llm_a_.fail = absl::CancelledError("CANCELLED");
  const auto finish = Run(Ask(false));
  ASSERT_TRUE(finish.ok()) << finish.status();
  EXPECT_EQ(shown_, "one two three");
  EXPECT_EQ(scheduler_.reserves.size(), 3);
}

TEST_F(PipelineTest, SchedulerIsAskedAgainWithinTheWaitOnly) {
  config_.queue_wait_ms_max = 200;
  scheduler_.refuse = absl::UnavailableError("failed to connect to 10.0.0.7:7311");
  const absl::Status status = Run(Ask(false)).status();
  EXPECT_EQ(rpc::ReasonOf(status), RefusalReason::kNoScheduler);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message().find("10.0.0.7"), std::string::npos) << status;
  EXPECT_TRUE(rpc::GetDetails(status).retry_delay.has_value());
  EXPECT_GE(scheduler_.reserves.size(), 2);
}

// A newer scheduler may have reasons that this gateway does not know: they are its decision, and go on to the client.
TEST_F(PipelineTest, ReasonOfANewerSchedulerReachesTheClient) {
  scheduler_.refuse = rpc::WithDetails(absl::UnavailableError("not today"), {.reason = "OF_A_LATER_VERSION"});
  const absl::Status status = Run(Ask(false)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(rpc::GetDetails(status).reason, "OF_A_LATER_VERSION");
  EXPECT_EQ(scheduler_.reserves.size(), 1);
  grants_.reset();
  EXPECT_THAT(scheduler_.voided, IsEmpty());
}

TEST_F(PipelineTest, NoWorkerIsTheSchedulersDecision) {
  scheduler_.refuse = rpc::RefusalError(RefusalReason::kNoWorker, "no llm worker");
  EXPECT_EQ(Run(Ask(false)).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(scheduler_.reserves.size(), 1);
  grants_.reset();
  EXPECT_THAT(scheduler_.voided, IsEmpty()) << "it says itself that there is no grant";
}

// The scheduler may have made a grant in each of these calls; the ids are the gateway's, one a call.
TEST_F(PipelineTest, ReservesWithoutAnAnswerAreVoided) {
  scheduler_.refuse = absl::UnavailableError("connection reset");
  scheduler_.refusals = 2;
  const auto finish = Run(Ask(false));
  ASSERT_TRUE(finish.ok()) << finish.status();
  std::unique_lock lock(scheduler_.mutex);
  ASSERT_EQ(scheduler_.reserves.size(), 3);
  std::vector<uint64_t> ids;
  for (const v1::ReserveRequest& reserve : scheduler_.reserves) ids.push_back(reserve.grant_id().low());
  EXPECT_EQ(std::set(ids.begin(), ids.end()).size(), 3);
  scheduler_.changed.wait_for(lock, kPatience, [&] { return scheduler_.voided.size() >= 2; });
  EXPECT_THAT(scheduler_.voided, ElementsAre(ids[0], ids[1]));
}

TEST_F(PipelineTest, ReserveThatTheClientCutsShortIsVoided) {
  scheduler_.stop = &stop_;
  EXPECT_EQ(Run(Ask(false)).status().code(), absl::StatusCode::kCancelled);
  std::unique_lock lock(scheduler_.mutex);
  scheduler_.changed.wait_for(lock, kPatience, [&] { return !scheduler_.voided.empty(); });
  ASSERT_EQ(scheduler_.reserves.size(), 1);
  // Of the answer, where it still came, or of the call.
  EXPECT_THAT(scheduler_.voided, ElementsAre(::testing::AnyOf(1, scheduler_.reserves[0].grant_id().low())));
}

TEST_F(PipelineTest, SchedulerIsNotAskedForLongerThanTheDeadline) {
  deadline_ = std::chrono::seconds(5);
  ASSERT_TRUE(Run(Ask(false)).ok());
  EXPECT_LE(scheduler_.reserves.at(0).wait_ms_max(), 5'000);
  deadline_ = std::chrono::seconds(-1);
  EXPECT_EQ(Run(Ask(false)).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(scheduler_.reserves.size(), 1) << "a grant would be of no use";
}

TEST_F(PipelineTest, RefusalBeforeWorkMoves) {
  llm_a_.fail = rpc::RefusalError(RefusalReason::kDraining, "draining");
  const auto finish = Run(Ask(false));
  ASSERT_TRUE(finish.ok()) << finish.status();
  EXPECT_EQ(shown_, "one two three");
  EXPECT_THAT(scheduler_.voided, ElementsAre(1));
}

TEST_F(PipelineTest, StaleGrantIsReplacedWithoutExcludingTheWorker) {
  vision_.fail = rpc::RefusalError(RefusalReason::kGrantNotValid, "epoch 1 is over");
  EXPECT_EQ(Run(Ask(true)).status().code(), absl::StatusCode::kUnavailable);
  // Three refusals may be answered with a new grant.
  ASSERT_EQ(scheduler_.reserves.size(), 4);
  EXPECT_EQ(scheduler_.reserves[3].exclude_workers_size(), 0);
}

TEST_F(PipelineTest, BadPictureIsNotTriedTwiceAndTheGrantIsVoided) {
  vision_.fail = absl::InvalidArgumentError("image 1: could not be decoded");
  EXPECT_EQ(Run(Ask(true)).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(scheduler_.reserves.size(), 1);
  EXPECT_THAT(scheduler_.voided, ElementsAre(1));
  EXPECT_EQ(budget_.used_bytes(), 0);
}

TEST_F(PipelineTest, RefusalOfTheSchedulerReachesTheClientWithItsDetails) {
  scheduler_.refuse =
      rpc::RefusalError(RefusalReason::kQueueFull, "queue full", {{"budget", "queue"}}, std::chrono::seconds(2));
  const auto finish = Run(Ask(false));
  EXPECT_EQ(finish.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(rpc::ReasonOf(finish.status()), RefusalReason::kQueueFull);
  EXPECT_EQ(rpc::GetDetails(finish.status()).metadata.at("budget"), "queue");
}

TEST_F(PipelineTest, ClientThatGoesAwayCancels) {
  client_gone_ = true;
  EXPECT_EQ(Run(Ask(true)).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(budget_.used_bytes(), 0);
}

TEST_F(PipelineTest, StopTokenEndsAWaitingCall) {
  llm_a_.tokens.clear();
  llm_a_.endless = true;
  std::jthread canceller([this] {
    while (true) {
      {
        std::lock_guard lock(llm_a_.mutex);
        if (!llm_a_.requests.empty()) break;
      }
      std::this_thread::yield();
    }
    stop_.request_stop();
  });
  EXPECT_EQ(Run(Ask(false)).status().code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace headroom::gateway
