// The whole llm-worker over in-process channels, on the tiny reference models in fp32, for tests of its service.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "admission/link/convert.h"
#include "admission/price.h"
#include "common/rpc/server_host.h"
#include "common/rpc/status.h"
#include "common/testing/paths.h"
#include "headroom/v1/vision.grpc.pb.h"
#include "llm-worker/server.h"
#include "runtime/testing/test_device.h"

namespace headroom::llm_worker {

using nlohmann::json;

struct Golden {
  std::vector<int32_t> prompt, answer;
};

inline Golden ReadGolden(const std::string& path) {
  std::ifstream file(SourceDir() + "/tests/golden/" + path);
  const json data = json::parse(file);
  return {data["prompt_ids"].get<std::vector<int32_t>>(), data["greedy_ids"].get<std::vector<int32_t>>()};
}

// Sends pieces that are right but for one thing.
class OddVision final : public v1::Vision::Service {
 public:
  grpc::Status Fetch(grpc::ServerContext* context, const v1::FetchRequest* request,
                     grpc::ServerWriter<v1::FetchResponse>* writer) override {
    ++fetches;
    if (how == "not found") return {grpc::StatusCode::NOT_FOUND, "gone"};
    while (how == "hang" && !context->IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const v1::EmbeddingRef& ref = request->ref();
    const int64_t count = ref.piece_rows_size() + (how == "one more" ? 1 : how == "one less" ? -1 : 0);
    for (int64_t piece = 0; piece < count; ++piece) {
      const int64_t rows = ref.piece_rows(static_cast<int>(std::min<int64_t>(piece, ref.piece_rows_size() - 1)));
      for (int64_t row = 0; row < rows; row += kMessageRows) {
        if (how == "row missing" && row > 0) break;
        Send(ref, piece, row, std::min(kMessageRows, rows - row), writer);
      }
    }
    return grpc::Status::OK;
  }

  static constexpr int64_t kMessageRows = 48;

  void Send(const v1::EmbeddingRef& ref, int64_t piece, int64_t row, int64_t rows,
            grpc::ServerWriter<v1::FetchResponse>* writer) const {
    v1::FetchResponse response;
    response.set_piece(how == "order" ? 1 - piece : piece);
    response.set_first_row(how == "row order" ? row + 1 : row);
    response.set_dtype(how == "dtype" ? "bfloat16" : "float32");
    if (how == "row more" && row > 0) ++rows;
    const std::vector<float> values(static_cast<size_t>(how == "no rows" ? 0 : rows * ref.columns()),
                                    0.01f * static_cast<float>(piece + 1));
    response.set_data(values.data(), values.size() * sizeof(float) - (how == "short" ? 4 : 0));
    writer->Write(response);
  }
  std::string how;
  std::atomic<int> fetches = 0;
};

class LlmWorkerTest : public testing::Test {
 protected:
  void Start(const std::string& model, std::vector<std::string> overrides = {}) {
    overrides.insert(overrides.begin(),
                     {"model.path=" + SourceDir() + "/tests/golden/" + model, "model.dtype=fp32", "device.memory=96MiB",
                      "device.threads=1", "knobs.max_model_len=2048", "knobs.max_num_seqs=8",
                      "knobs.max_num_batched_tokens=64", "llm_worker.name=llm-test"});
    auto config = LoadConfig("", overrides);
    ASSERT_TRUE(config.ok()) << config.status();
    config->llm_worker.listen.clear();
    config->llm_worker.scheduler = "inproc:nowhere";
    metrics_ = *Metrics::Create("");
    auto device = worker::WorkerDevice::Create(*config, {.vision = false, .llm = true}, AddDecoderNeeds, {}, {},
                                               runtime::CreateTestDevice);
    ASSERT_TRUE(device.ok()) << device.status();
    device_ = std::move(*device);
    auto server = LlmServer::Start(*config, *device_, channels_, *metrics_, process_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
    ASSERT_TRUE(server_->WaitLoaded().ok());
    stub_ = v1::Llm::NewStub(*channels_.Get("inproc:llm-test"));
    block_size_ = device_->plan().knobs.block_size;
  }

  void StartVision() {
    ASSERT_TRUE(vision_host_.Start({&vision_}).ok());
    channels_.Register("inproc:vision", vision_host_.server());
  }

  v1::LlmGenerateRequest Request(const std::vector<int32_t>& prompt, int64_t max_tokens, int64_t host_bytes = 0) {
    v1::LlmGenerateRequest request;
    request.mutable_model()->set_sha256(device_->fingerprint());
    request.mutable_prompt_ids()->Assign(prompt.begin(), prompt.end());
    request.set_max_tokens(max_tokens);
    request.mutable_sampling()->set_top_p(1);
    request.mutable_sampling()->set_repetition_penalty(1);
    admission::Grant grant;
    grant.id = {7, ++grants_};
    grant.cluster_id = "headroom";  // of epoch 0: no scheduler has told this worker another
    grant.ttl = std::chrono::milliseconds(60'000);
    grant.model = device_->fingerprint();
    admission::Leg leg;
    leg.role = admission::Role::kLlm;
    leg.worker = "llm-test";
    leg.incarnation = server_->worker().incarnation();
    leg.resources.slots = 1;
    leg.resources.kv_blocks = BlocksFor(static_cast<int64_t>(prompt.size()) + max_tokens, block_size_);
    leg.resources.host_bytes = host_bytes;
    grant.legs.push_back(leg);
    *request.mutable_grant() = admission::ToProto(grant);
    return request;
  }

  // A prompt with one image of two pieces, 64 rows and 50.
  v1::LlmGenerateRequest ImageRequest() {
    const EmbeddingShape shape{.columns = device_->model().llm.hidden_size, .dtype = DType::kF32, .model = ""};
    v1::LlmGenerateRequest request = Request(std::vector<int32_t>(150, 5), 4, (64 + 50) * shape.row_bytes());
    v1::EmbeddingRef& ref = *request.add_refs();
    ref.set_endpoint("inproc:vision");
    ref.set_id(1);
    for (const int64_t rows : {64, 50}) ref.add_piece_rows(rows);
    ref.set_columns(shape.columns);
    ref.mutable_model()->set_sha256(device_->fingerprint());
    for (int i = 0; i < 2; ++i) {
      v1::EmbeddingSpan& span = *request.add_spans();
      span.set_begin(3 + 70 * i);
      span.set_rows(ref.piece_rows(i));
      span.set_piece(i);
    }
    return request;
  }

  struct Answer {
    std::vector<int32_t> ids;
    v1::TokenEvent last;
    absl::Status status;
  };
  Answer Ask(const v1::LlmGenerateRequest& request, const std::function<void(const v1::TokenEvent&)>& look = {}) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    const auto reader = stub_->Generate(&context, request);
    Answer answer;
    v1::TokenEvent event;
    while (reader->Read(&event)) {
      if (event.has_token()) answer.ids.push_back(event.token());
      if (look) look(event);
      answer.last = event;
    }
    answer.status = rpc::FromGrpc(reader->Finish());
    return answer;
  }

  // What a call held is back by the time that its end is seen, but for the microseconds of the last hand-over.
  void ExpectAllFree() {
    for (int i = 0; i < 2000 && !server_->worker().gate().Snapshot().active.empty(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_TRUE(server_->worker().gate().Snapshot().active.empty());
    const memory::LedgerLine kv = device_->ledger().Snapshot()[memory::Component::kKvPool];
    EXPECT_EQ(kv.used, 0);
    EXPECT_EQ(kv.reserved, 0);
  }

  OddVision vision_;
  rpc::ServerHost vision_host_{{}};
  ProcessEnd process_;
  rpc::ChannelDirectory channels_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<worker::WorkerDevice> device_;
  std::unique_ptr<LlmServer> server_;
  std::unique_ptr<v1::Llm::Stub> stub_;
  int64_t block_size_ = 0;
  uint64_t grants_ = 0;
};

}  // namespace headroom::llm_worker
