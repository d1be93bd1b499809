// The pipeline against scripted services over real in-process gRPC: what it asks for, what it does when they fail, and
// that nothing is left.
#include "gateway/pipeline.h"

#include <gmock/gmock.h>

#include <set>

#include "common/error_details.h"
#include "gateway/testing/scripted_cluster.h"

namespace headroom::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using PipelineTest = ScriptedCluster;

TEST_F(PipelineTest, PictureAndQuestion) {
  const auto request = Ask(true);
  const auto finish = Run(request);
  ASSERT_TRUE(finish.ok()) << finish.status();
  EXPECT_EQ(shown_, "one two three");
  EXPECT_EQ(granted_, 1);
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
  const auto held = budget_.Take(budget_.capacity_bytes() - kRequestBytes - 64);
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
  EXPECT_EQ(granted_, 1) << "a client is told once";
  EXPECT_EQ(scheduler_.reserves[1].exclude_workers(0), "llm-a");
  ASSERT_EQ(llm_b_.requests.size(), 1);
  EXPECT_THAT(llm_b_.requests[0].continued_ids(), ElementsAre(llm_a_.tokens[0], llm_a_.tokens[1]));
  EXPECT_EQ(finish->usage().completion_tokens(), static_cast<int64_t>(llm_a_.tokens.size()));
}

TEST_F(PipelineTest, EveryChoiceHasItsTextAndItsEnd) {
  v1::GenerateRequest request = Ask(false);
  request.set_n(3);
  const auto finish = Run(request);
  ASSERT_TRUE(finish.ok()) << finish.status();
  EXPECT_EQ(llm_a_.requests[0].n(), 3);
  EXPECT_EQ(scheduler_.reserves[0].price().llm().slots(), 3);
  ASSERT_EQ(whole_.choices_size(), 3);
  for (const v1::Choice& choice : whole_.choices()) {
    EXPECT_EQ(choice.text(), "one two three");
    EXPECT_EQ(choice.finish().reason(), v1::FINISH_REASON_STOP);
    EXPECT_EQ(choice.finish().has_usage(), choice.index() == 2) << "the last end of all has the usage";
  }
  EXPECT_EQ(whole_.finish().usage().completion_tokens(), 3 * static_cast<int64_t>(llm_a_.tokens.size()));
  EXPECT_EQ(budget_.used_bytes(), 0);
}

// Choices that are over when the worker is lost stay over; the others go on from what each has.
TEST_F(PipelineTest, ChoicesMoveWithWhatTheyHave) {
  llm_a_.fail = absl::UnavailableError("connection lost");
  llm_a_.fail_after = 3;
  v1::GenerateRequest request = Ask(false);
  request.set_n(2);
  request.set_logprobs(1);
  request.set_prompt_logprobs(0);
  const auto finish = Run(request);
  ASSERT_TRUE(finish.ok()) << finish.status();
  ASSERT_EQ(llm_b_.requests.size(), 1);
  const v1::LlmGenerateRequest& moved = llm_b_.requests[0];
  ASSERT_EQ(moved.continued_size(), 2);
  EXPECT_THAT(moved.continued(0).ids(), ElementsAre(llm_a_.tokens[0], llm_a_.tokens[1]));
  EXPECT_THAT(moved.continued(1).ids(), ElementsAre(llm_a_.tokens[0]));
  EXPECT_FALSE(moved.has_prompt_logprobs()) << "they have been told";
  EXPECT_EQ(whole_.prompt_logprobs_size(), moved.prompt_ids_size());
  EXPECT_FALSE(whole_.prompt_logprobs().empty());
  for (const v1::Choice& choice : whole_.choices()) {
    EXPECT_EQ(choice.text(), "one two three");
    // All but the stop id; each with its own place.
    ASSERT_EQ(choice.logprobs_size(), static_cast<int>(llm_a_.tokens.size()) - 1);
    std::string text;
    for (int i = 0; i < choice.logprobs_size(); ++i) {
      EXPECT_EQ(choice.logprobs(i).token(), llm_a_.tokens[static_cast<size_t>(i)]);
      EXPECT_EQ(choice.logprobs(i).logprob(), static_cast<float>(-i));
      EXPECT_EQ(choice.logprobs(i).top_size(), 1);
      text += choice.logprobs(i).text();
    }
    EXPECT_EQ(text, "one two three");
  }
}

TEST_F(PipelineTest, AStopStringEndsEachChoiceByItself) {
  llm_a_.endless = true;
  v1::GenerateRequest request = Ask(false);
  request.set_n(2);
  request.add_stop("two");
  request.set_logprobs(0);
  const auto finish = Run(request);
  ASSERT_TRUE(finish.ok()) << finish.status();
  for (const v1::Choice& choice : whole_.choices()) {
    EXPECT_EQ(choice.text(), "one ");
    EXPECT_EQ(choice.finish().reason(), v1::FINISH_REASON_STOP);
    ASSERT_GE(choice.logprobs_size(), 1);
    EXPECT_EQ(choice.logprobs(0).text(), "one");
  }
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
  for (ScriptedLlm* llm : {&llm_a_, &llm_b_}) llm->fail = RefusalError(RefusalReason::kNoRoom, "full");
  EXPECT_EQ(Run(Ask(false)).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(scheduler_.reserves.size(), 4);
}

TEST_F(PipelineTest, SchedulerThatIsAwayIsAskedAgain) {
  scheduler_.refuse = RefusalError(RefusalReason::kDraining, "draining");
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
  EXPECT_EQ(ReasonOf(status), RefusalReason::kNoScheduler);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message().find("10.0.0.7"), std::string::npos) << status;
  EXPECT_TRUE(GetDetails(status).retry_delay.has_value());
  EXPECT_GE(scheduler_.reserves.size(), 2);
}

// A newer scheduler may have reasons that this gateway does not know: they are its decision, and go on to the client.
TEST_F(PipelineTest, ReasonOfANewerSchedulerReachesTheClient) {
  scheduler_.refuse = WithDetails(absl::UnavailableError("not today"), {.reason = "OF_A_LATER_VERSION"});
  const absl::Status status = Run(Ask(false)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(GetDetails(status).reason, "OF_A_LATER_VERSION");
  EXPECT_EQ(scheduler_.reserves.size(), 1);
  runner_.reset();
  grants_.reset();
  EXPECT_THAT(scheduler_.voided, IsEmpty());
}

TEST_F(PipelineTest, NoWorkerIsTheSchedulersDecision) {
  scheduler_.refuse = RefusalError(RefusalReason::kNoWorker, "no llm worker");
  EXPECT_EQ(Run(Ask(false)).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(scheduler_.reserves.size(), 1);
  runner_.reset();
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
  llm_a_.fail = RefusalError(RefusalReason::kDraining, "draining");
  const auto finish = Run(Ask(false));
  ASSERT_TRUE(finish.ok()) << finish.status();
  EXPECT_EQ(shown_, "one two three");
  EXPECT_THAT(scheduler_.voided, ElementsAre(1));
}

TEST_F(PipelineTest, StaleGrantIsReplacedWithoutExcludingTheWorker) {
  vision_.fail = RefusalError(RefusalReason::kGrantNotValid, "epoch 1 is over");
  EXPECT_EQ(Run(Ask(true)).status().code(), absl::StatusCode::kUnavailable);
  // Three refusals may be answered with a new grant.
  ASSERT_EQ(scheduler_.reserves.size(), 4);
  EXPECT_EQ(scheduler_.reserves[3].exclude_workers_size(), 0);
}

TEST_F(PipelineTest, VisionWorkerLostAfterItBeganMayHaveBeenPoisoned) {
  vision_.lost = absl::UnavailableError("connection lost");
  EXPECT_EQ(Run(Ask(true)).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(scheduler_.reserves.size(), 1);
  EXPECT_THAT(llm_a_.requests, IsEmpty());
  EXPECT_THAT(scheduler_.voided, ElementsAre(1));
}

TEST_F(PipelineTest, ClientThatLeavesDuringEncodeLeavesNoLegBehind) {
  vision_.stop = &stop_;
  EXPECT_EQ(Run(Ask(true)).status().code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(llm_a_.requests, IsEmpty());
  EXPECT_THAT(scheduler_.voided, ElementsAre(1)) << "the llm leg was never activated";
  runner_.reset();
  for (const auto& host : hosts_) host->Shutdown(kPatience);
  EXPECT_EQ(vision_.closed, 1) << "the worker saw the end and settles its leg";
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
      RefusalError(RefusalReason::kQueueFull, "queue full", {{"budget", "queue"}}, std::chrono::seconds(2));
  const auto finish = Run(Ask(false));
  EXPECT_EQ(finish.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(finish.status()), RefusalReason::kQueueFull);
  EXPECT_EQ(GetDetails(finish.status()).metadata.at("budget"), "queue");
  EXPECT_EQ(granted_, 0);
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
