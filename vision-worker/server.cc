#include "vision-worker/server.h"

#include <algorithm>
#include <utility>

#include "admission/price.h"
#include "common/embedding_pages.h"
#include "common/log.h"
#include "common/random.h"

namespace headroom::vision_worker {
namespace {

using memory::Component;

// Most that one resize takes beside its input and output: filter taps and a window of rows, for a side of 32768 shrunk
// to a piece (resize_test measures the worst shapes).
constexpr int64_t kResizeBytesMax = 16 << 20;

// Of the host budget: what is held from the start or not priced by the image. The rest is what images may take.
int64_t FixedHostBytes(const ClusterConfig& config, const worker::WorkerDevice& device) {
  const int64_t patch_matrix = device.plan().knobs.max_patches_per_step * device.model().encoder->patch_values *
                               static_cast<int64_t>(sizeof(float));
  return patch_matrix + config.vision_worker.decoders * kResizeBytesMax;
}

// What pictures cost that say much about a worker: the usual and the largest.
std::vector<std::pair<std::string, admission::Resources>> RequestClasses(const worker::WorkerDevice& device) {
  std::vector<std::pair<std::string, admission::Resources>> classes;
  const model::ModelSpec& model = device.model();
  const model::EncoderShape& shape = *model.encoder;
  const int64_t frames = model.merging ? model.resize.frames : 1;  // a picture fills them all
  const auto add = [&](const char* name, int64_t pieces, int64_t patches, int64_t rows) {
    const int64_t pixels = pieces * patches * shape.patch_values / (3 * frames);
    // A byte a pixel is more than photographs take.
    const auto price = admission::ComputeVisionPrice({.image_tokens = pieces * rows,
                                                      .images = 1,
                                                      .pieces = pieces,
                                                      .patches = pieces * patches,
                                                      .largest_piece_patches = patches,
                                                      .embedding_pages = pieces * EmbeddingPages(rows),
                                                      .embedding_row_bytes = device.EmbeddingRowBytes(),
                                                      .compressed_bytes = pixels,
                                                      .decoded_bytes = 3 * pixels});
    if (price.ok() && price->vision) classes.emplace_back(name, *price->vision);
  };
  add("one_piece_image", 1, shape.usual_patches, shape.usual_rows);
  if (model.merging) {
    add("largest_image", 1, shape.largest_patches, shape.largest_rows);
  } else {
    add("largest_image", model.slice.max_slice_nums == 1 ? 1 : shape.pieces_max, shape.usual_patches, shape.usual_rows);
  }
  return classes;
}

worker::WorkerEndpoint::Options EndpointOptions(const ClusterConfig& config, const worker::WorkerDevice& device) {
  const memory::Plan& plan = device.plan();
  worker::WorkerEndpoint::Options options;
  options.cluster_id = config.cluster.id;
  options.name = config.vision_worker.name;
  options.listen = config.vision_worker.listen;
  options.advertise = config.vision_worker.advertise;
  options.scheduler = config.vision_worker.scheduler;
  options.model = device.fingerprint();
  options.device = plan.device;
  options.role = admission::Role::kVision;
  options.capacity.slots = config.vision_worker.images_in_flight_max;
  options.capacity.patches = config.vision_worker.patches_in_flight_max;
  options.capacity.embedding_bytes = plan.knobs.embedding_store_pages * plan.page_bytes;
  options.capacity.host_bytes = config.vision_worker.host_bytes_max - FixedHostBytes(config, device);
  options.grpc_bytes_max = config.vision_worker.grpc_bytes_max;
  options.max_patches_per_step = plan.knobs.max_patches_per_step;
  options.embedding_row_bytes = device.EmbeddingRowBytes();
  options.request_classes = RequestClasses(device);
  return options;
}

model::ImageLimits LimitsFrom(const ClusterConfig& config) {
  model::ImageLimits limits;
  limits.bytes_max = config.gateway.receive_bytes_max;
  limits.side_max = config.gateway.image_side_max;
  limits.pixels_max = config.gateway.image_pixels_max;
  return limits;
}

ImageIntake::Options IntakeOptions(const ClusterConfig& config, const worker::WorkerDevice& device) {
  ImageIntake::Options options;
  options.rule = device.model().Pictures();
  options.limits = LimitsFrom(config);
  options.max_patches_per_step = device.plan().knobs.max_patches_per_step;
  return options;
}

StepBatcher::Options BatcherOptions(const ClusterConfig& config, const worker::WorkerDevice& device) {
  const memory::ResolvedKnobs& knobs = device.plan().knobs;
  StepBatcher::Options options;
  options.bounds = {.patches_max = knobs.max_patches_per_step, .pieces_max = knobs.max_pieces_per_step};
  // Every piece has a patch, so the gate's patches bound the pieces.
  options.pieces_waiting_max = config.vision_worker.patches_in_flight_max;
  return options;
}

VisionOptions ServiceOptions(const ClusterConfig& config, const worker::WorkerDevice& device) {
  VisionOptions options;
  options.model = device.fingerprint();
  options.columns = device.model().llm.hidden_size;
  options.dtype = device.compute();
  options.images_max = config.vision_worker.images_in_flight_max;
  options.model_name = config.model.Name();
  options.decoders = static_cast<int>(config.vision_worker.decoders);
  options.images_waiting_max = config.vision_worker.images_in_flight_max;
  return options;
}

PixelNorm NormFrom(const model::ModelSpec& model) {
  PixelNorm norm;
  for (size_t i = 0; i < 3; ++i) {
    norm.mean[i] = static_cast<float>(model.norm_mean[i]);
    norm.std[i] = static_cast<float>(model.norm_std[i]);
  }
  return norm;
}

}  // namespace

SandboxConfig SandboxConfigFrom(const ClusterConfig& config) {
  SandboxConfig sandbox;
  sandbox.decoders_max = static_cast<int>(config.vision_worker.decoders);
  sandbox.decode_ms_max = config.vision_worker.decode_timeout_ms;
  sandbox.seccomp_required = !config.vision_worker.allow_unsandboxed;
  return sandbox;
}

int64_t DecoderBytesMax(const ClusterConfig& config) {
  return ImageSandbox::HostBytesMax(SandboxConfigFrom(config), LimitsFrom(config));
}

absl::StatusOr<std::unique_ptr<VisionServer>> VisionServer::Start(const ClusterConfig& config,
                                                                  worker::WorkerDevice& device, ImageSandbox& sandbox,
                                                                  rpc::ChannelDirectory& channels, Metrics& metrics,
                                                                  ProcessEnd& process) {
  const memory::Plan& plan = device.plan();
  if (FixedHostBytes(config, device) >= config.vision_worker.host_bytes_max) {
    return absl::FailedPreconditionError(absl::StrCat(
        "vision_worker.host_bytes_max is ", config.vision_worker.host_bytes_max, ", but the patches of a step and ",
        config.vision_worker.decoders, " decoder(s) take ", FixedHostBytes(config, device)));
  }
  HEADROOM_ASSIGN_OR_RETURN(std::unique_ptr<PieceEncoder> encoder,
                            CreateEncoder(device.device(), device.model(), plan, device.arena()));
  HEADROOM_ASSIGN_OR_RETURN(
      const memory::DeviceSpan store,
      device.arena().Take(Component::kEmbeddingStore, plan.knobs.embedding_store_pages * plan.page_bytes));
  HEADROOM_RETURN_IF_ERROR(admission::ValidateResources(EndpointOptions(config, device).capacity));
  std::unique_ptr<VisionServer> server(
      new VisionServer(config, device, sandbox, std::move(encoder), store, channels, metrics, process));
  HEADROOM_RETURN_IF_ERROR(server->endpoint_.Start(&server->service_));
  server->service_.SetEndpoint(server->endpoint_.endpoint());
  server->load_.Start();
  return server;
}

VisionServer::VisionServer(const ClusterConfig& config, worker::WorkerDevice& device, ImageSandbox& sandbox,
                           std::unique_ptr<PieceEncoder> encoder, memory::DeviceSpan store,
                           rpc::ChannelDirectory& channels, Metrics& metrics, ProcessEnd& process)
    : device_(device),
      process_(process),
      model_name_(config.model.Name()),
      sandbox_(sandbox),
      norm_(NormFrom(device.model())),
      encoder_(std::move(encoder)),
      patch_matrix_(static_cast<size_t>(encoder_->max_patches() * device.model().encoder->patch_values)),
      steps_(metrics.AddCounter("headroom_vision_steps_total", {{"model", config.model.Name()}})),
      pieces_(metrics.AddCounter("headroom_vision_pieces_total", {{"model", config.model.Name()}})),
      patches_(metrics.AddCounter("headroom_vision_patches_total", {{"model", config.model.Name()}})),
      step_seconds_(metrics.AddHistogram("headroom_vision_step_seconds", {{"model", config.model.Name()}})),
      piece_seconds_(metrics.AddHistogram("headroom_vision_piece_encode_seconds", {{"model", config.model.Name()}})),
      step_pieces_(metrics.AddHistogram("headroom_vision_step_pieces", {{"model", config.model.Name()}})),
      step_patches_(metrics.AddHistogram("headroom_vision_step_patches", {{"model", config.model.Name()}})),
      endpoint_(
          EndpointOptions(config, device), [&device] { return device.Ledger(); }, channels, metrics, SystemClock()),
      intake_(IntakeOptions(config, device),
              [this, wait = std::chrono::milliseconds(config.vision_worker.decode_timeout_ms)](
                  const std::string& bytes, const DecodeSpec& spec) { return sandbox_.Decode(bytes, spec, wait); }),
      store_(device.arena().memory(), store, device.EmbeddingRowBytes(), SystemRandom().Next() >> 1),
      batcher_(
          BatcherOptions(config, device),
          [this](std::span<const StepBatcher::Piece> pieces) { return EncodePieces(pieces); }, SystemClock(),
          [this](const StepReport& step) { CountStep(step); }),
      service_({endpoint_.gate(), intake_, store_, batcher_, SystemClock()}, ServiceOptions(config, device), metrics),
      metrics_token_(metrics.AddCollector([this] { return Collect(); })),
      load_({.name = config.vision_worker.name,
             .total_bytes =
                 device.plan().Bytes(Component::kVisionWeights) + device.plan().Bytes(Component::kResamplerWeights),
             .load =
                 [this](const memory::LoadProgress& tell) {
                   // The queries of the resampler are computed when its weights are there: a first run, too.
                   return device_.floor().Take(Component::kLibraries,
                                               [&] { return encoder_->Load(device_.checkpoint(), tell); });
                 },
             .loading = [this](double progress) { endpoint_.Loading(progress); },
             .warm_up =
                 [this] { return device_.floor().Take(Component::kLibraries, [this] { return encoder_->WarmUp(); }); },
             .ready = [this] { endpoint_.Ready(); }},
            process, SystemClock()) {
  // The whole store is promised: to active legs, and what they leave free to the cache, which yields to them.
  memory::Ledger& ledger = device.ledger();
  ledger.AddReserved(Component::kEmbeddingStore, store.bytes);
  store_.ListenToUsed([&ledger](int64_t bytes) { ledger.AddUsed(Component::kEmbeddingStore, bytes); });
}

VisionServer::~VisionServer() { Stop(Duration::zero()); }

// On the batcher's thread.
absl::StatusOr<std::vector<bool>> VisionServer::EncodePieces(std::span<const StepBatcher::Piece> pieces) {
  const int64_t columns = device_.model().encoder->patch_values;
  std::vector<PieceInput> inputs;
  std::vector<std::vector<memory::DeviceSpan>> store;
  inputs.reserve(pieces.size());
  store.reserve(pieces.size());
  float* rows = patch_matrix_.data();
  for (const StepBatcher::Piece& piece : pieces) {
    const int64_t patches = piece.pixels->grid.patches();
    const model::ModelSpec& model = device_.model();
    if (model.merging) {
      WriteGridMatrix(*piece.pixels, norm_, {.merge = model.resize.merge, .frames = model.resize.frames}, rows);
    } else {
      WritePatchMatrix(*piece.pixels, norm_, rows);
    }
    inputs.push_back({.grid = piece.pixels->grid, .patches = runtime::HostMatrix::F32(rows, patches, columns)});
    store.push_back(piece.to);
    rows += patches * columns;
  }
  return encoder_->Encode(inputs, {.store = store});
}

void VisionServer::CountStep(const StepReport& step) {
  steps_.Increment();
  pieces_.Increment(static_cast<double>(step.pieces));
  patches_.Increment(static_cast<double>(step.patches));
  step_seconds_.Observe(step.seconds);
  step_pieces_.Observe(static_cast<double>(step.pieces));
  for (int64_t piece = 0; piece < step.pieces; ++piece) {
    piece_seconds_.Observe(step.seconds / static_cast<double>(step.pieces));
  }
  step_patches_.Observe(static_cast<double>(step.patches));
}

std::vector<MetricSample> VisionServer::Collect() const {
  const EmbeddingStoreStats store = store_.Stats();
  const SandboxStats sandbox = sandbox_.stats();
  std::vector<MetricSample> samples = {
      {"headroom_embedding_store_capacity_pages", {{"model", model_name_}}, static_cast<double>(store.capacity_pages)},
      {"headroom_embedding_store_used_pages", {{"model", model_name_}}, static_cast<double>(store.used_pages)},
      {"headroom_embedding_store_pinned_pages", {{"model", model_name_}}, static_cast<double>(store.pinned_pages)},
      {"headroom_embedding_store_evictions_total", {{"model", model_name_}}, static_cast<double>(store.evictions)},
      {"headroom_vision_waiting_pieces", {{"model", model_name_}}, static_cast<double>(batcher_.pieces_waiting())}};
  auto add = [&](const char* outcome, uint64_t count) {
    samples.push_back(
        {"headroom_vision_decodes_total", {{"model", model_name_}, {"outcome", outcome}}, static_cast<double>(count)});
  };
  add("decoded", sandbox.decoded);
  add("undecodable", sandbox.undecodable);
  add("crashed", sandbox.crashed);
  add("timed_out", sandbox.timed_out);
  add("not_served", sandbox.not_served);
  return samples;
}

void VisionServer::Stop(Duration deadline) {
  if (std::exchange(stopped_, true)) return;
  // A worker that is not READY has no grants to wait for.
  if (!load_.Stop()) deadline = Duration::zero();
  const TimePoint end = SystemClock().Now() + deadline;
  // Of a failure the scheduler is not told: to it the worker is lost, which is an alert.
  if (!process_.failed()) endpoint_.Drain(deadline);
  endpoint_.StopServing(std::max(end - SystemClock().Now(), Duration::zero()));
  service_.StopDecoders();
  batcher_.Stop();
  endpoint_.Close();
  metrics_token_.reset();
}

}  // namespace headroom::vision_worker
