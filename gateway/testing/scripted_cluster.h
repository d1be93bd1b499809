// Scripted services over real in-process gRPC, and a gateway's runner of requests before them.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/metrics.h"
#include "common/rpc/acceptance.h"
#include "common/rpc/server_host.h"
#include "common/rpc/status.h"
#include "common/testing/paths.h"
#include "gateway/grpc_peers.h"
#include "gateway/grpc_scheduler_client.h"
#include "gateway/request_runner.h"
#include "gateway/testing/scripted_scheduler.h"
#include "gateway/whole_answer.h"
#include "headroom/v1/llm.grpc.pb.h"
#include "headroom/v1/vision.grpc.pb.h"

namespace headroom::gateway {

constexpr std::chrono::seconds kPatience(60);  // only so that a failure ends
const std::string kGolden = SourceDir() + "/tests/golden/minicpmv";

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
    if (!lost.ok()) return rpc::ToGrpc(lost);
    if (stop != nullptr) {
      stop->request_stop();  // its client leaves
      while (!context->IsCancelled()) std::this_thread::yield();
      std::lock_guard lock(mutex);
      ++closed;
      return grpc::Status::CANCELLED;
    }
    std::vector<std::string> bytes(static_cast<size_t>(start.images_size()));
    for (int i = 0; i < start.images_size(); ++i) {
      while (static_cast<int64_t>(bytes[static_cast<size_t>(i)].size()) < start.images(i).size_bytes() &&
             stream->Read(&request)) {
        bytes[static_cast<size_t>(i)] += request.chunk().data();
      }
    }
    {
      std::lock_guard lock(mutex);
      ++opened;
    }
    // Only now: in one process a message is on its way until it is read, and the gateway sends all pictures first.
    for (int i = 0; i < start.images_size(); ++i) {
      v1::EncodeResponse response;
      response.mutable_encoded()->set_image(i);
      response.mutable_encoded()->mutable_ref()->set_id(static_cast<uint64_t>(i) + 100);
      *response.mutable_encoded()->mutable_ref()->mutable_piece_rows() = start.images(i).piece_rows();
      if (one_row_less) response.mutable_encoded()->mutable_ref()->set_piece_rows(0, start.images(i).piece_rows(0) - 1);
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
  // Rows of piece p of image i, 256 numbers each of type bfloat16: all of them i + 1 + p / 4.
  grpc::Status Fetch(grpc::ServerContext*, const v1::FetchRequest* request,
                     grpc::ServerWriter<v1::FetchResponse>* writer) override {
    std::lock_guard lock(mutex);
    if (!fetch_fail.ok()) return rpc::ToGrpc(fetch_fail);
    EXPECT_LT(closed, opened) << "the embeddings are no longer pinned";
    const float value =
        static_cast<float>(request->ref().id() - 99) + 0.25f * static_cast<float>(request->first_piece());
    const std::string half(reinterpret_cast<const char*>(&value) + 2, 2);
    v1::FetchResponse response;
    response.set_piece(request->first_piece());
    response.set_first_row(request->first_row());
    response.set_dtype("bfloat16");
    for (int64_t i = 0; i < request->rows() * 256; ++i) *response.mutable_data() += half;
    writer->Write(response);
    return grpc::Status::OK;
  }

  std::mutex mutex;
  absl::Status fail, lost, fetch_fail;  // before it has begun; after; when its embeddings are asked for
  bool one_row_less = false;            // than was priced, of the first piece of each picture
  std::stop_source* stop = nullptr;
  std::vector<std::string> received;
  int opened = 0, closed = 0;  // encodings: that have all their pictures; that are over
};

// Sends `tokens` for every choice, from what it has already on, the choices in turn; fails with `fail` after
// `fail_after` of them. The logprob of a token is −its position, and its alternatives are the same token again and
// again.
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
    if (request->has_prompt_logprobs()) {
      v1::TokenEvent prompt;
      for (int i = 0; i < request->prompt_ids_size(); ++i) {
        v1::PromptLogprob& told = *prompt.add_prompt_logprobs();
        if (i > 0) told.set_logprob(static_cast<float>(-i));
      }
      if (!writer->Write(prompt)) return grpc::Status::CANCELLED;
    }
    int sent = 0;
    const std::map<int32_t, size_t> choices = Choices(*request);
    for (size_t i = 0; i < tokens.size(); ++i) {
      for (const auto& [choice, from] : choices) {
        if (i < from) continue;
        if (!fail.ok() && sent++ == fail_after) return rpc::ToGrpc(fail);
        if (!writer->Write(Token(*request, choice, i))) return grpc::Status::CANCELLED;
        ++written;
      }
    }
    if (!fail.ok()) return rpc::ToGrpc(fail);
    while (endless && !context->IsCancelled()) std::this_thread::yield();
    return endless ? grpc::Status::CANCELLED : grpc::Status::OK;
  }

  static std::map<int32_t, size_t> Choices(const v1::LlmGenerateRequest& request) {
    if (request.n() <= 1) return {{0, static_cast<size_t>(request.continued_ids_size())}};
    std::map<int32_t, size_t> choices;
    for (const v1::ContinuedChoice& choice : request.continued()) {
      choices[choice.choice()] = static_cast<size_t>(choice.ids_size());
    }
    for (int32_t choice = 0; request.continued_size() == 0 && choice < request.n(); ++choice) choices[choice] = 0;
    return choices;
  }
  v1::TokenEvent Token(const v1::LlmGenerateRequest& request, int32_t choice, size_t position) const {
    v1::TokenEvent event;
    event.set_choice(choice);
    event.set_index(static_cast<int64_t>(position));
    event.set_token(tokens[position]);
    event.set_has_token(true);
    if (request.has_logprobs()) {
      event.set_logprob(-static_cast<float>(position));
      for (int i = 0; i < request.logprobs(); ++i) event.add_top()->set_token(tokens[position]);
    }
    if (position + 1 == tokens.size() && !endless) event.set_finish(v1::FINISH_REASON_STOP);
    return event;
  }

  std::mutex mutex;
  std::vector<int32_t> tokens;
  absl::Status fail;
  int fail_after = 0;
  bool accept = true;
  bool endless = false;
  std::atomic<int> written = 0;  // events that were taken from it
  std::vector<v1::LlmGenerateRequest> requests;
};

// Keeps what comes of embeddings; takes each piece at once unless its client is gone.
class KeptRows : public RowsSink {
 public:
  void Granted() override { ++granted; }
  void Piece(const v1::EmbedResponse& piece, Taken taken) override {
    {
      std::lock_guard lock(mutex);
      pieces.push_back(piece);
    }
    taken(!gone);
  }
  void Disconnect() override {}
  void End(const absl::Status& status) override {
    std::lock_guard lock(mutex);
    end = status;
    changed.notify_all();
  }
  absl::Status AwaitEnd() {
    std::unique_lock lock(mutex);
    EXPECT_TRUE(changed.wait_for(lock, kPatience, [this] { return end.has_value(); }));
    return end.value_or(absl::UnknownError("no end"));
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::vector<v1::EmbedResponse> pieces;
  std::atomic<int> granted = 0;
  std::atomic<bool> gone = false;
  std::optional<absl::Status> end;
};

// Keeps the answer; takes each piece at once unless told otherwise.
class KeptAnswer : public AnswerSink {
 public:
  void Granted() override {
    std::lock_guard lock(mutex);
    ++granted;
    EXPECT_EQ(pieces, 0) << "text came before the grant was told";
    changed.notify_all();
  }
  void Piece(const v1::GenerateResponse& piece, Taken taken) override {
    {
      std::lock_guard lock(mutex);
      EXPECT_FALSE(held) << "a second piece came before the first was taken";
      shown += piece.text_delta();
      whole.Add(piece);
      ++pieces;
      if (piece.has_finish()) finish = piece.finish();
      changed.notify_all();
      if (slow && !piece.has_finish()) {
        held = std::move(taken);
        return;
      }
    }
    taken(!gone);
  }
  void Disconnect() override { TakeHeld(false); }
  void End(const absl::Status& status) override {
    std::lock_guard lock(mutex);
    EXPECT_FALSE(end.has_value());
    end = status;
    changed.notify_all();
  }

  // Answers for the piece that a slow client holds.
  void TakeHeld(bool ok) {
    Taken taken;
    {
      std::lock_guard lock(mutex);
      std::swap(taken, held);
    }
    if (taken) taken(ok);
  }
  template <typename Condition>
  void Await(Condition condition) {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, kPatience, condition));
  }
  absl::Status AwaitEnd() {
    Await([this] { return end.has_value(); });
    return end.value_or(absl::UnknownError("no end"));
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::string shown;
  WholeAnswer whole;
  v1::Finish finish;  // the latest
  int pieces = 0;
  int granted = 0;
  bool gone = false;  // takes nothing
  bool slow = false;  // takes when told
  Taken held;
  std::optional<absl::Status> end;
};

class ScriptedCluster : public ::testing::Test {
 protected:
  explicit ScriptedCluster(int64_t host_bytes = 1 << 20) : budget_(host_bytes) {}

  void SetUp() override {
    auto loaded = ServedModel::Load(kGolden);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    (*loaded)->config.slice.rows = rows_of_pieces_;
    model_ = loaded->get();
    std::vector<std::unique_ptr<ServedModel>> models;
    models.push_back(*std::move(loaded));
    models_.emplace(std::move(models));
    scheduler_.fingerprint = model_->fingerprint;
    Host("scheduler", &scheduler_);
    Host("vision", &vision_);
    Host("llm-a", &llm_a_);
    Host("llm-b", &llm_b_);
    client_.emplace(channels_, "inproc:scheduler");
    peers_.emplace(channels_, "inproc:scheduler", threads_.steps, threads_.timers);
    grants_.emplace(*client_, *peers_, SystemClock());
    cluster_.emplace(*client_, *models_);
    ASSERT_TRUE(cluster_->WaitReady(kPatience));
    // The answer "one two three", then the stop id.
    llm_a_.tokens = *model_->tokenizer->Encode("one two three", model::AddedTokens::kNone);
    llm_a_.tokens.push_back(model_->stop_ids.front());
    llm_b_.tokens = llm_a_.tokens;
    Serve(*peers_);
  }

  void TearDown() override {
    runner_.reset();
    cluster_.reset();
    grants_.reset();
    for (const auto& host : hosts_) host->Shutdown(kPatience);
  }

  void Host(const std::string& name, grpc::Service* service) {
    hosts_.push_back(std::make_unique<rpc::ServerHost>(rpc::ServerHostOptions{.listen = ""}));
    ASSERT_TRUE(hosts_.back()->Start({service}).ok());
    channels_.Register("inproc:" + name, hosts_.back()->server());
  }

  // Makes the runner, with `peers` for the services.
  void Serve(Peers& peers) {
    runner_.reset();
    metrics_ = *Metrics::Create("");
    runner_.emplace(PipelineParts{config_, *models_, peers, *grants_, *cluster_, budget_, SystemClock(), threads_.steps,
                                  threads_.timers},
                    threads_, *metrics_);
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

  absl::StatusOr<RequestRunner::Handle> Submit(const v1::GenerateRequest& request, std::shared_ptr<AnswerSink> sink) {
    HEADROOM_ASSIGN_OR_RETURN(auto place, runner_->Enter(0));
    RequestRunner::Arrival arrival;
    arrival.deadline = std::chrono::system_clock::now() + deadline_;
    arrival.read = [request](v1::GenerateRequest* read) {
      *read = request;
      return absl::OkStatus();
    };
    return runner_->Submit(std::move(place), std::move(arrival), std::move(sink));
  }

  // One request from its arrival to its end; stop_ is its client's leaving.
  absl::StatusOr<v1::Finish> Run(const v1::GenerateRequest& request) {
    const auto answer = std::make_shared<KeptAnswer>();
    answer->gone = client_gone_;
    HEADROOM_ASSIGN_OR_RETURN(RequestRunner::Handle handle, Submit(request, answer));
    const std::stop_callback leave(stop_.get_token(), [&handle] { handle.Cancel(); });
    const absl::Status end = answer->AwaitEnd();
    shown_ = answer->shown;
    whole_ = answer->whole.Take();
    granted_ = answer->granted;
    HEADROOM_RETURN_IF_ERROR(end);
    return answer->finish;
  }

  GatewaySection config_;
  model::RowRule rows_of_pieces_;  // as of the golden model, unless a test makes up another
  const ServedModel* model_ = nullptr;
  std::optional<ServedModels> models_;
  ScriptedScheduler scheduler_;
  ScriptedVision vision_;
  ScriptedLlm llm_a_, llm_b_;
  rpc::ChannelDirectory channels_;
  std::vector<std::unique_ptr<rpc::ServerHost>> hosts_;
  HostBudget budget_;
  std::unique_ptr<Metrics> metrics_;
  RequestThreads threads_{config_.requests_running_max};
  std::optional<GrpcSchedulerClient> client_;
  std::optional<GrpcPeers> peers_;
  std::optional<GrantKeeper> grants_;
  std::optional<ClusterView> cluster_;
  std::optional<RequestRunner> runner_;
  std::stop_source stop_;
  std::chrono::seconds deadline_{60};
  std::string shown_;
  v1::CompleteResponse whole_;
  int granted_ = 0;
  bool client_gone_ = false;
};

}  // namespace headroom::gateway
