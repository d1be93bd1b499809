// Many requests at once: limits, waits without threads, slow clients, drain and cancellation.
#include "gateway/request_runner.h"

#include <gmock/gmock.h>
#include <malloc.h>

#include <algorithm>
#include <set>

#include "common/error_details.h"
#include "common/log.h"
#include "gateway/testing/scripted_cluster.h"

// Sanitizers have their own allocators, and make threads of their own.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kInstrumented = true;
#else
constexpr bool kInstrumented = false;
#endif

namespace headroom::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A cluster that is full: every Reserve waits until Answer() or its client leaves.
class FullPeers : public Peers {
 public:
  explicit FullPeers(Executor& executor) : executor_(executor) {}

  Task<absl::StatusOr<v1::ReserveResponse>> Reserve(const v1::ReserveRequest&, const CallScope& scope) override {
    Event over(executor_);
    {
      std::lock_guard lock(mutex_);
      waiting_.insert(&over);
      changed_.notify_all();
    }
    {
      const std::stop_callback left(scope.stop, [this, &over] { End(&over); });
      co_await over;
    }
    if (scope.stop.stop_requested()) co_return absl::CancelledError("left");
    co_return RefusalError(RefusalReason::kWaitTooLong, "no room came");
  }
  Task<absl::Status> Void(const v1::VoidRequest&) override { co_return absl::OkStatus(); }
  Task<absl::StatusOr<std::unique_ptr<VisionEncoding>>> OpenEncoding(const std::string&, const v1::EncodeStart&,
                                                                     const CallScope&) override {
    co_return absl::InternalError("no grant, no work");
  }
  Task<absl::StatusOr<std::unique_ptr<LlmGeneration>>> OpenGeneration(const std::string&, const v1::LlmGenerateRequest&,
                                                                      const CallScope&) override {
    co_return absl::InternalError("no grant, no work");
  }

  Task<absl::StatusOr<v1::FetchResponse>> FetchRows(const std::string&, const v1::FetchRequest&,
                                                    const CallScope&) override {
    co_return absl::InternalError("no grant, no work");
  }

  void AwaitWaiting(size_t count) {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, 5 * kPatience, [&] { return waiting_.size() == count; })) << waiting_.size();
  }
  // Refuses one that waits.
  void Answer() {
    Event* first = nullptr;
    {
      std::lock_guard lock(mutex_);
      first = *waiting_.begin();
    }
    End(first);
  }

 private:
  // Whoever takes it out sets it, so that it is set once.
  void End(Event* over) {
    {
      std::lock_guard lock(mutex_);
      if (waiting_.erase(over) == 0) return;
    }
    over->Set();
  }

  Executor& executor_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<Event*> waiting_;
};

int ThreadsOfThisProcess() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("Threads:", 0) == 0) return std::stoi(line.substr(8));
  }
  return 0;
}

class RequestRunnerTest : public ScriptedCluster {
 protected:
  // A limit, and host memory for as many.
  void Limit(int64_t requests_max) {
    config_.requests_running_max = requests_max;
    many_threads_.emplace(requests_max);
    many_budget_.emplace(requests_max * (int64_t{128} << 10));
    full_.emplace(many_threads_->steps);
    runner_.reset();
    metrics_ = *Metrics::Create("");
    runner_.emplace(PipelineParts{config_, *models_, *full_, *grants_, *cluster_, *many_budget_, SystemClock(),
                                  many_threads_->steps, many_threads_->timers},
                    *many_threads_, *metrics_);
  }

  void TearDown() override {
    runner_.reset();
    ScriptedCluster::TearDown();
  }

  struct Client {
    std::shared_ptr<KeptAnswer> answer = std::make_shared<KeptAnswer>();
    RequestRunner::Handle handle;
  };
  std::vector<Client> SubmitMany(int64_t count) {
    std::vector<Client> clients(static_cast<size_t>(count));
    for (Client& client : clients) {
      auto handle = Submit(Ask(false), client.answer);
      EXPECT_TRUE(handle.ok()) << handle.status();
      if (handle.ok()) client.handle = *handle;
    }
    return clients;
  }

  std::optional<RequestThreads> many_threads_;
  std::optional<HostBudget> many_budget_;
  std::optional<FullPeers> full_;
};

TEST_F(RequestRunnerTest, TenThousandWaitWithoutThreads) {
  constexpr int64_t kMany = 10'000;
  Limit(kMany);
  SetLogLevel(LogLevel::kWarning);  // not a line for each of them
  std::vector<Client> clients = SubmitMany(1);
  full_->AwaitWaiting(1);
  const int threads = ThreadsOfThisProcess();
  const auto before = static_cast<int64_t>(mallinfo2().uordblks);
  for (Client& more : SubmitMany(kMany - 1)) clients.push_back(std::move(more));
  full_->AwaitWaiting(kMany);
  EXPECT_EQ(runner_->running(), kMany);
  if (!kInstrumented) {
    EXPECT_EQ(ThreadsOfThisProcess(), threads);
    const int64_t each = (static_cast<int64_t>(mallinfo2().uordblks) - before) / kMany;
    RecordProperty("bytes_of_a_waiting_request", std::to_string(each));
    EXPECT_LT(each, kRequestBytes);
  }
  EXPECT_GE(many_budget_->used_bytes(), kMany * kRequestBytes);
  EXPECT_THAT(metrics_->Render(), HasSubstr("headroom_gateway_requests_running 10000"));

  // One more is refused, with the limit's name.
  const absl::Status above = Submit(Ask(false), std::make_shared<KeptAnswer>()).status();
  EXPECT_EQ(above.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(above.message()), HasSubstr("requests_running_max"));
  EXPECT_EQ(GetDetails(above).metadata.at("budget"), "requests_running");
  EXPECT_EQ(runner_->refusals().Last("", 10, SystemClock().Now()).size(), 1);

  // A place that becomes free is taken again.
  full_->Answer();
  full_->AwaitWaiting(kMany - 1);
  const auto ended = [&] {
    return std::count_if(clients.begin(), clients.end(), [](Client& client) {
      std::lock_guard lock(client.answer->mutex);
      return client.answer->end.has_value();
    });
  };
  while (ended() < 1) std::this_thread::yield();
  std::vector<Client> late = SubmitMany(1);
  full_->AwaitWaiting(kMany);

  for (Client& client : clients) client.handle.Cancel();
  for (Client& client : late) client.handle.Cancel();
  int cancelled = 0;
  for (Client& client : clients) cancelled += absl::IsCancelled(client.answer->AwaitEnd());
  EXPECT_EQ(cancelled, kMany - 1);
  EXPECT_TRUE(absl::IsCancelled(late.front().answer->AwaitEnd()));
  EXPECT_EQ(runner_->running(), 0);
  EXPECT_EQ(many_budget_->used_bytes(), 0);
  EXPECT_THAT(metrics_->Render(),
              HasSubstr("headroom_gateway_requests_total{model=\"minicpmv\",outcome=\"cancelled\"} 10000"));
  SetLogLevel(LogLevel::kInfo);
}

TEST_F(RequestRunnerTest, HostMemoryIsALimitOfItsOwn) {
  const auto held = budget_.Take(budget_.capacity_bytes() - 2 * kRequestBytes);
  auto first = runner_->Enter(kRequestBytes);
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::Status second = runner_->Enter(0).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetDetails(second).metadata.at("budget"), "gateway_host_bytes");
  EXPECT_EQ(ReasonOf(runner_->Enter(budget_.capacity_bytes()).status()), RefusalReason::kNeverFits);
  EXPECT_EQ(runner_->running(), 1) << "a refused one has no place";
  first = absl::CancelledError("left before it was read");
  EXPECT_EQ(runner_->running(), 0);
  EXPECT_TRUE(runner_->Enter(0).ok());
}

TEST_F(RequestRunnerTest, DrainingTakesNoNewOnesAndEndsTheOldOnes) {
  Limit(8);
  std::vector<Client> clients = SubmitMany(1);
  full_->AwaitWaiting(1);
  runner_->Drain();
  EXPECT_EQ(Submit(Ask(false), std::make_shared<KeptAnswer>()).status().code(), absl::StatusCode::kUnavailable);
  full_->Answer();
  const absl::Status end = clients.front().answer->AwaitEnd();
  EXPECT_EQ(ReasonOf(end), RefusalReason::kWaitTooLong) << "as the scheduler said";
}

TEST_F(RequestRunnerTest, OnePieceWaitsForASlowClient) {
  const auto answer = std::make_shared<KeptAnswer>();
  answer->slow = true;
  ASSERT_TRUE(Submit(Ask(false), answer).ok());
  answer->Await([&] { return answer->pieces == 1; });
  // The next token is there already.
  while (llm_a_.written < 2) std::this_thread::yield();
  {
    std::lock_guard lock(answer->mutex);
    EXPECT_EQ(answer->pieces, 1);
    EXPECT_FALSE(answer->end.has_value());
    answer->slow = false;
  }
  answer->TakeHeld(true);
  EXPECT_TRUE(answer->AwaitEnd().ok());
  EXPECT_EQ(answer->shown, "one two three");
}

TEST_F(RequestRunnerTest, ClientThatTakesNothingIsLetGo) {
  config_.unread_ms_max = 200;
  llm_a_.endless = true;
  const auto answer = std::make_shared<KeptAnswer>();
  answer->slow = true;
  ASSERT_TRUE(Submit(Ask(true), answer).ok());
  EXPECT_EQ(answer->AwaitEnd().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(answer->pieces, 1);
  EXPECT_EQ(runner_->running(), 0);
  EXPECT_EQ(budget_.used_bytes(), 0);
}

TEST_F(RequestRunnerTest, MessagesThatCannotBeReadAreCountedAndNamed) {
  const auto answer = std::make_shared<KeptAnswer>();
  auto place = runner_->Enter(0);
  ASSERT_TRUE(place.ok());
  RequestRunner::Arrival arrival;
  arrival.read = [](v1::GenerateRequest*) { return absl::InvalidArgumentError("not a request"); };
  runner_->Submit(*std::move(place), std::move(arrival), answer);
  EXPECT_EQ(answer->AwaitEnd().message(), "not a request");
  auto request = Ask(false);
  request.set_request_id("with a space");
  EXPECT_EQ(Run(request).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(scheduler_.reserves, IsEmpty());
  EXPECT_THAT(metrics_->Render(),
              HasSubstr("headroom_gateway_requests_total{model=\"minicpmv\",outcome=\"invalid_argument\"} 2"));
}

// Streams of many requests at once, half of whose clients leave: each gets its own answer, and nothing is left.
TEST_F(RequestRunnerTest, ManyStreamsAtOnce) {
  constexpr int kStreams = 64;
  HostBudget budget(kStreams * (int64_t{256} << 10));
  runner_.reset();
  metrics_ = *Metrics::Create("");
  runner_.emplace(PipelineParts{config_, *models_, *peers_, *grants_, *cluster_, budget, SystemClock(), threads_.steps,
                                threads_.timers},
                  threads_, *metrics_);
  std::vector<Client> clients(kStreams);
  for (size_t i = 0; i < clients.size(); ++i) {
    auto handle = Submit(Ask(i % 4 == 0), clients[i].answer);
    ASSERT_TRUE(handle.ok()) << handle.status();
    clients[i].handle = *handle;
    if (i % 2 == 1) clients[i].handle.Cancel();
  }
  for (size_t i = 0; i < clients.size(); ++i) {
    const absl::Status end = clients[i].answer->AwaitEnd();
    if (i % 2 == 1) {
      EXPECT_TRUE(end.ok() || absl::IsCancelled(end)) << end;
    } else {
      EXPECT_TRUE(end.ok()) << end;
      EXPECT_EQ(clients[i].answer->shown, "one two three");
    }
  }
  EXPECT_EQ(runner_->running(), 0);
  EXPECT_EQ(budget.used_bytes(), 0);
  runner_.reset();
}

}  // namespace
}  // namespace headroom::gateway
