// The whole vision-worker over in-process channels, with the real sandbox, on the tiny reference model in fp32.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "admission/link/convert.h"
#include "common/error_details.h"
#include "common/rpc/status.h"
#include "common/testing/paths.h"
#include "model/checkpoint.h"
#include "runtime/testing/test_device.h"
#include "vision-worker/server.h"

namespace headroom::vision_worker {
namespace {

const std::string kGolden = SourceDir() + "/tests/golden/minicpmv/";

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// A tensor "resampler" [pieces, 64, 256] in f32 of a reference file.
std::vector<float> ReadReference(const std::string& name) {
  const std::string file = ReadFile(kGolden + "expected/" + name + ".safetensors");
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), 8);
  const std::string header = file.substr(8, header_bytes);
  const size_t entry = header.find("\"resampler\"");
  size_t begin = 0, end = 0;
  const size_t offsets = header.find("\"data_offsets\"", entry);
  std::sscanf(header.c_str() + header.find('[', offsets), "[%zu,%zu]", &begin, &end);
  std::vector<float> values((end - begin) / sizeof(float));
  std::memcpy(values.data(), file.data() + 8 + header_bytes + begin, end - begin);
  return values;
}

class VisionWorkerTest : public testing::Test {
 protected:
  void Start(std::vector<std::string> overrides = {}) {
    overrides.insert(overrides.begin(), {"model.path=" + kGolden, "model.dtype=fp32", "device.memory=192MiB",
                                         "device.threads=1", "knobs.max_patches_per_step=2600",
                                         "knobs.embedding_store_pages=24", "vision_worker.name=vision-test",
                                         // The sanitizers map more than the filter of the confined process allows for.
                                         "vision_worker.allow_unsandboxed=true"});
    auto config = LoadConfig("", overrides);
    ASSERT_TRUE(config.ok()) << config.status();
    config->vision_worker.listen.clear();
    config->vision_worker.scheduler = "inproc:nowhere";
    SandboxConfig sandbox = SandboxConfigFrom(*config);
    sandbox.decoder_path = BinaryDir() + "/bin/headroom-image-decoder";
    auto started = ImageSandbox::Start(sandbox);
    ASSERT_TRUE(started.ok()) << started.status();
    sandbox_ = std::move(*started);
    metrics_ = *Metrics::Create("");
    auto device = worker::WorkerDevice::Create(*config, {.vision = true, .llm = false}, AddEncoderNeeds, {}, {},
                                               runtime::CreateTestDevice);
    ASSERT_TRUE(device.ok()) << device.status();
    device_ = std::move(*device);
    auto server = VisionServer::Start(*config, *device_, *sandbox_, channels_, *metrics_, process_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
    ASSERT_TRUE(server_->WaitLoaded().ok());
    stub_ = v1::Vision::NewStub(*channels_.Get("inproc:vision-test"));
  }

  std::string Image(const std::string& name) { return ReadFile(kGolden + "images/" + name); }

  // Priced as the gateway does it.
  v1::PricedImage Price(const std::string& bytes, const std::string& key = "") {
    const auto header = model::ProbeImage(bytes, {});
    EXPECT_TRUE(header.ok()) << header.status();
    const auto geometry = model::ComputePieces(header->width, header->height, device_->model().slice);
    v1::PricedImage priced;
    priced.set_format(model::ImageFormatKey(header->format));
    priced.set_width(header->width);
    priced.set_height(header->height);
    priced.set_size_bytes(static_cast<int64_t>(bytes.size()));
    priced.set_max_slice_nums(device_->model().slice.max_slice_nums);
    for (const model::PieceShape& piece : geometry->pieces) priced.add_piece_rows(piece.rows);
    priced.set_patches(geometry->total_patches());
    priced.set_cache_key(key);
    priced.set_drop_alpha(true);  // as golden data was made
    return priced;
  }

  v1::EncodeStart StartMessage(const std::vector<v1::PricedImage>& images) {
    v1::EncodeStart start;
    start.mutable_model()->set_sha256(device_->fingerprint());
    admission::Grant grant;
    grant.id = {9, ++grants_};
    grant.cluster_id = "headroom";  // of epoch 0: no scheduler has told this worker another
    grant.ttl = std::chrono::milliseconds(60'000);
    grant.model = device_->fingerprint();
    admission::Leg leg;
    leg.role = admission::Role::kVision;
    leg.worker = "vision-test";
    leg.incarnation = server_->worker().incarnation();
    leg.resources.slots = static_cast<int64_t>(images.size());
    for (const v1::PricedImage& image : images) {
      *start.add_images() = image;
      leg.resources.patches += image.patches();
      leg.resources.embedding_bytes += image.piece_rows_size() * 64 * 256 * 4;
      const auto geometry = model::ComputePieces(static_cast<int>(image.width()), static_cast<int>(image.height()),
                                                 device_->model().slice);
      // Tests lie about prices: what lies outside every range is refused before its host memory is looked at.
      if (geometry.ok()) leg.resources.host_bytes += PricedHostBytes(image, *geometry);
    }
    grant.legs.push_back(leg);
    *start.mutable_grant() = admission::ToProto(grant);
    return start;
  }

  // One open Encode stream.
  struct Stream {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReaderWriter<v1::EncodeRequest, v1::EncodeResponse>> rpc;

    void Send(const v1::EncodeStart& start) {
      v1::EncodeRequest request;
      *request.mutable_start() = start;
      rpc->Write(request);
    }
    void Send(int image, const std::string& bytes, size_t chunk_bytes = 1000) {
      for (size_t begin = 0; begin < bytes.size(); begin += chunk_bytes) {
        v1::EncodeRequest request;
        request.mutable_chunk()->set_image(image);
        request.mutable_chunk()->set_data(bytes.substr(begin, chunk_bytes));
        if (!rpc->Write(request)) return;
      }
    }
    absl::Status End() {
      rpc->WritesDone();
      return Rest();
    }
    // Waits for the worker to end it.
    absl::Status Rest() {
      v1::EncodeResponse response;
      while (rpc->Read(&response)) {
      }
      return rpc::FromGrpc(rpc->Finish());
    }
  };
  std::unique_ptr<Stream> Open() {
    auto stream = std::make_unique<Stream>();
    stream->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    stream->rpc = stub_->Encode(&stream->context);
    return stream;
  }

  absl::StatusOr<std::vector<float>> Fetch(const v1::EmbeddingRef& ref, int64_t first = 0, int64_t rows = 0,
                                           int64_t first_row = 0) {
    grpc::ClientContext context;
    v1::FetchRequest request;
    *request.mutable_ref() = ref;
    request.set_first_piece(first);
    request.set_first_row(first_row);
    request.set_rows(rows);
    const auto reader = stub_->Fetch(&context, request);
    std::vector<float> values;
    v1::FetchResponse response;
    while (reader->Read(&response)) {
      EXPECT_EQ(response.dtype(), "float32");
      EXPECT_EQ(response.piece(), first++);
      const size_t begin = values.size();
      values.resize(begin + response.data().size() / sizeof(float));
      std::memcpy(values.data() + begin, response.data().data(), response.data().size());
    }
    HEADROOM_RETURN_IF_ERROR(rpc::FromGrpc(reader->Finish()));
    return values;
  }

  absl::StatusOr<v1::ImageEncoded> EncodeOne(Stream& stream, const std::string& bytes, const std::string& key = "") {
    stream.Send(StartMessage({Price(bytes, key)}));
    stream.Send(0, bytes);
    v1::EncodeResponse response;
    if (!stream.rpc->Read(&response)) return rpc::FromGrpc(stream.rpc->Finish());
    return response.encoded();
  }

  void ExpectSettled() {
    for (int i = 0; i < 5000 && !server_->worker().gate().Snapshot().active.empty(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_TRUE(server_->worker().gate().Snapshot().active.empty());
  }

  std::unique_ptr<ImageSandbox> sandbox_;
  ProcessEnd process_;
  rpc::ChannelDirectory channels_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<worker::WorkerDevice> device_;
  std::unique_ptr<VisionServer> server_;
  std::unique_ptr<v1::Vision::Stub> stub_;
  uint64_t grants_ = 0;
};

void ExpectNear(const std::vector<float>& got, std::span<const float> expected) {
  ASSERT_EQ(got.size(), expected.size());
  double error = 0, norm = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    error += std::pow(got[i] - expected[i], 2);
    norm += std::pow(expected[i], 2);
  }
  EXPECT_LT(std::sqrt(error / norm), 1e-4);
}

TEST_F(VisionWorkerTest, EmbeddingsAreTheReferences) {
  Start();
  auto stream = Open();
  const std::string left = Image("left.png"), right = Image("right.png");
  stream->Send(StartMessage({Price(left), Price(right)}));
  stream->Send(0, left);
  stream->Send(1, right, 1 << 20);
  const std::vector<float> reference = ReadReference("two_images");
  size_t begin = 0;
  for (int i = 0; i < 2; ++i) {
    v1::EncodeResponse response;
    ASSERT_TRUE(stream->rpc->Read(&response));
    EXPECT_EQ(response.encoded().image(), i);
    EXPECT_FALSE(response.encoded().cache_hit());
    const auto values = Fetch(response.encoded().ref());
    ASSERT_TRUE(values.ok()) << values.status();
    ExpectNear(*values, std::span(reference).subspan(begin, values->size()));
    begin += values->size();
  }
  EXPECT_EQ(begin, reference.size());
  EXPECT_EQ(server_->worker().gate().Snapshot().active.size(), 1u) << "an open stream holds its leg";
  EXPECT_TRUE(stream->End().ok());
  EXPECT_TRUE(server_->worker().gate().Snapshot().active.empty()) << "its end settles it";
}

TEST_F(VisionWorkerTest, PartsOfAnImageAndBadReferences) {
  Start();
  auto stream = Open();
  const auto encoded = EncodeOne(*stream, Image("wide.png"));
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  const std::vector<float> reference = ReadReference("wide");
  const auto part = Fetch(encoded->ref(), 1, 2 * 64);
  ASSERT_TRUE(part.ok()) << part.status();
  ExpectNear(*part, std::span(reference).subspan(64 * 256, 2 * 64 * 256));
  const auto rows = Fetch(encoded->ref(), 2, 40, 30);  // 34 rows of a piece and 6 of the next
  ASSERT_TRUE(rows.ok()) << rows.status();
  ExpectNear(*rows, std::span(reference).subspan((2 * 64 + 30) * 256, 40 * 256));
  EXPECT_EQ(Fetch(encoded->ref(), 4).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Fetch(encoded->ref(), -1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Fetch(encoded->ref(), 1, 3 * 64 + 1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Fetch(encoded->ref(), 1, 1, 64).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Fetch(encoded->ref(), 1, 1, -1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Fetch(encoded->ref(), 1, -1).status().code(), absl::StatusCode::kInvalidArgument);
  v1::EmbeddingRef ref = encoded->ref();
  ref.set_id(ref.id() + 1);
  EXPECT_EQ(Fetch(ref).status().code(), absl::StatusCode::kNotFound);
  ref = encoded->ref();
  ref.set_incarnation(1);
  EXPECT_EQ(Fetch(ref).status().code(), absl::StatusCode::kNotFound);
  ref = encoded->ref();
  ref.mutable_model()->set_sha256("other");
  EXPECT_EQ(Fetch(ref).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(stream->End().ok());
}

TEST_F(VisionWorkerTest, CacheServesTheSecondRequestAndYieldsToGrants) {
  Start();
  const std::string small = Image("small.png");
  v1::EmbeddingRef ref;
  for (int i = 0; i < 2; ++i) {
    auto stream = Open();
    const auto encoded = EncodeOne(*stream, small, "key");
    ASSERT_TRUE(encoded.ok()) << encoded.status();
    EXPECT_EQ(encoded->cache_hit(), i == 1);
    EXPECT_EQ(encoded->encode_seconds() > 0, i == 0);
    ref = encoded->ref();
    EXPECT_TRUE(stream->End().ok());
  }
  EXPECT_TRUE(Fetch(ref).ok()) << "settled embeddings stay as cache";
  // Three images of four pieces, two pages each, fill the store.
  const std::string wide = Image("wide.png");
  auto stream = Open();
  stream->Send(StartMessage({Price(wide, "a"), Price(wide, "b"), Price(wide, "c")}));
  for (int i = 0; i < 3; ++i) stream->Send(i, wide);
  v1::EncodeResponse response;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(stream->rpc->Read(&response)) << i;
  EXPECT_EQ(Fetch(ref).status().code(), absl::StatusCode::kNotFound);
  const memory::LedgerLine line = device_->ledger().Snapshot()[memory::Component::kEmbeddingStore];
  EXPECT_EQ(line.used, 12 * 64 * 256 * 4);
  // A thirteenth piece has no room while they are open.
  auto refused = Open();
  const auto answer = EncodeOne(*refused, small, "key");
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable) << answer.status();
  EXPECT_EQ(ReasonOf(answer.status()), RefusalReason::kNoRoom);
  EXPECT_TRUE(stream->End().ok());
}

TEST_F(VisionWorkerTest, WhatDiffersFromItsPriceIsRefused) {
  Start();
  const std::string image = Image("first.png");
  const struct {
    const char* name;
    std::function<void(v1::EncodeStart&)> spoil;
    absl::StatusCode code = absl::StatusCode::kInvalidArgument;
  } bad[] = {
      {"model", [](auto& s) { s.mutable_model()->set_sha256("x"); }, absl::StatusCode::kFailedPrecondition},
      {"no image", [](auto& s) { s.clear_images(); }},
      {"no grant", [](auto& s) { s.clear_grant(); }},
      {"format", [](auto& s) { s.mutable_images(0)->set_format("jpeg"); }},
      {"width", [](auto& s) { s.mutable_images(0)->set_width(319); }},
      {"height", [](auto& s) { s.mutable_images(0)->set_height(0); }},
      {"huge", [](auto& s) { s.mutable_images(0)->set_width(int64_t{1} << 40); }},
      {"pieces", [](auto& s) { s.mutable_images(0)->add_piece_rows(64); }},
      {"no pieces", [](auto& s) { s.mutable_images(0)->clear_piece_rows(); }},
      {"rows", [](auto& s) { s.mutable_images(0)->set_piece_rows(0, 63); }},
      {"negative rows", [](auto& s) { s.mutable_images(0)->set_piece_rows(0, -64); }},
      {"patches", [](auto& s) { s.mutable_images(0)->set_patches(1); }},
      {"slices", [](auto& s) { s.mutable_images(0)->set_max_slice_nums(0); }},
      {"key", [](auto& s) { s.mutable_images(0)->set_cache_key(std::string(65, 'k')); }},
      {"fewer bytes", [](auto& s) { s.mutable_images(0)->set_size_bytes(s.images(0).size_bytes() - 1); }},
      {"no bytes", [](auto& s) { s.mutable_images(0)->set_size_bytes(0); }},
      {"leg patches", [](auto& s) { s.mutable_grant()->mutable_legs(0)->mutable_resources()->set_patches(5); }},
      {"leg bytes", [](auto& s) { s.mutable_grant()->mutable_legs(0)->mutable_resources()->set_embedding_bytes(5); }},
      {"leg host bytes", [](auto& s) { s.mutable_grant()->mutable_legs(0)->mutable_resources()->set_host_bytes(5); }},
      {"leg slots", [](auto& s) { s.mutable_grant()->mutable_legs(0)->mutable_resources()->set_slots(0); }},
      {"incarnation", [](auto& s) { s.mutable_grant()->mutable_legs(0)->set_incarnation(3); },
       absl::StatusCode::kUnavailable},
  };
  for (const auto& entry : bad) {
    auto stream = Open();
    v1::EncodeStart start = StartMessage({Price(image)});
    entry.spoil(start);
    stream->Send(start);
    stream->Send(0, image);
    EXPECT_EQ(stream->Rest().code(), entry.code) << entry.name;
    ExpectSettled();
  }
}

// Before its bytes, among its bytes, and when they are decoded.
TEST_F(VisionWorkerTest, ErrorsNameTheirImage) {
  Start();
  const std::string image = Image("first.png");
  const auto starts_with_image_2 = [](const absl::Status& status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(status.message().find("image 2: "), 0u) << status;
  };
  const std::vector<std::function<void(v1::EncodeStart&)>> spoilers = {
      [](auto& s) { s.mutable_images(1)->set_piece_rows(0, 65); },
      [](auto& s) { s.mutable_images(1)->set_width(0); },
      [](auto& s) { s.mutable_images(1)->set_cache_key(std::string(65, 'k')); },
      [](auto& s) { s.mutable_images(1)->set_format("jpeg"); },
  };
  for (const auto& spoil : spoilers) {
    auto stream = Open();
    v1::EncodeStart start = StartMessage({Price(image), Price(image)});
    spoil(start);
    stream->Send(start);
    stream->Send(0, image);
    stream->Send(1, image);
    starts_with_image_2(stream->Rest());
  }
  std::string broken = image;
  for (size_t i = broken.size() / 2; i < broken.size(); ++i) broken[i] = static_cast<char>(broken[i] ^ 0x5a);
  for (const std::string& second : {broken, image + "x"}) {
    auto stream = Open();
    stream->Send(StartMessage({Price(image), Price(image)}));
    stream->Send(0, image);
    stream->Send(1, second);
    starts_with_image_2(stream->Rest());
  }
  auto stream = Open();
  stream->Send(StartMessage({Price(image), Price(image)}));
  stream->Send(0, image);
  stream->Send(0, image);
  starts_with_image_2(stream->Rest());
  ExpectSettled();
}

TEST_F(VisionWorkerTest, StreamsOutOfOrderAreRefused) {
  Start();
  const std::string image = Image("first.png");
  {
    auto stream = Open();
    stream->Send(0, image);
    EXPECT_EQ(stream->End().code(), absl::StatusCode::kInvalidArgument) << "chunk first";
  }
  {
    auto stream = Open();
    stream->Send(StartMessage({Price(image)}));
    stream->Send(StartMessage({Price(image)}));
    EXPECT_EQ(stream->End().code(), absl::StatusCode::kInvalidArgument) << "two starts";
  }
  {
    auto stream = Open();
    stream->Send(StartMessage({Price(image)}));
    stream->Send(1, image);
    EXPECT_EQ(stream->End().code(), absl::StatusCode::kInvalidArgument) << "another image";
  }
  {
    auto stream = Open();
    stream->Send(StartMessage({Price(image)}));
    stream->Send(0, image + "x", 1 << 19);
    EXPECT_EQ(stream->End().code(), absl::StatusCode::kInvalidArgument) << "a byte more";
  }
  {
    auto stream = Open();
    stream->Send(StartMessage({Price(image)}));
    stream->Send(0, image.substr(0, image.size() / 2));
    EXPECT_EQ(stream->End().code(), absl::StatusCode::kCancelled) << "half an image";
  }
  ExpectSettled();
  EXPECT_EQ(device_->ledger().Snapshot()[memory::Component::kEmbeddingStore].used, 0);
}

TEST_F(VisionWorkerTest, UndecodableBytesCostTheirOwnRequestOnly) {
  Start();
  std::string broken = Image("first.png");
  for (size_t i = broken.size() / 2; i < broken.size(); ++i) broken[i] = static_cast<char>(broken[i] ^ 0x5a);
  auto stream = Open();
  const auto encoded = EncodeOne(*stream, broken);
  EXPECT_EQ(encoded.status().code(), absl::StatusCode::kInvalidArgument) << encoded.status();
  ExpectSettled();
  auto next = Open();
  EXPECT_TRUE(EncodeOne(*next, Image("first.png")).ok());
  EXPECT_TRUE(next->End().ok());
}

TEST_F(VisionWorkerTest, ClientsThatGoAwayFreeEverything) {
  Start();
  const std::string wide = Image("wide.png");
  for (int i = 0; i < 4; ++i) {
    auto stream = Open();
    stream->Send(StartMessage({Price(wide, absl::StrCat("key", i))}));
    stream->Send(0, wide);
    std::this_thread::sleep_for(std::chrono::milliseconds(i * 7));
    stream->context.TryCancel();
    EXPECT_EQ(stream->rpc->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  ExpectSettled();
}

TEST_F(VisionWorkerTest, StopEndsOpenStreams) {
  Start();
  auto stream = Open();
  ASSERT_TRUE(EncodeOne(*stream, Image("small.png")).ok());
  std::thread stop([this] { server_->Stop(std::chrono::milliseconds(10)); });
  v1::EncodeResponse response;
  EXPECT_FALSE(stream->rpc->Read(&response));
  EXPECT_FALSE(stream->rpc->Finish().ok());
  stop.join();
  ExpectSettled();
}

}  // namespace
}  // namespace headroom::vision_worker
