#include "llm-worker/server.h"

#include <algorithm>

#include "admission/price.h"
#include "common/log.h"
#include "model/tensor_spec.h"
#include "model/text/tokenizer.h"

namespace headroom::llm_worker {
namespace {

constexpr int64_t kShortTextTokens = 256;
// Of those that compile grammars and those that work out masks: more than one, so that a slow grammar has another
// beside it.
int SideThreads() { return std::clamp(static_cast<int>(std::thread::hardware_concurrency()) / 2, 2, 4); }
// After the deadline: for the last event of answers that were cut short.
constexpr std::chrono::milliseconds kLastWords(500);

worker::WorkerEndpoint::Options EndpointOptions(const ClusterConfig& config, const worker::WorkerDevice& device) {
  const memory::Plan& plan = device.plan();
  worker::WorkerEndpoint::Options options;
  options.cluster_id = config.cluster.id;
  options.name = config.llm_worker.name;
  options.listen = config.llm_worker.listen;
  options.advertise = config.llm_worker.advertise;
  options.scheduler = config.llm_worker.scheduler;
  options.model = device.fingerprint();
  options.device = plan.device;
  options.role = admission::Role::kLlm;
  options.capacity.slots = plan.knobs.max_num_seqs;
  options.capacity.kv_blocks = plan.kv_blocks;
  options.capacity.host_bytes = config.llm_worker.host_bytes_max;
  options.grpc_bytes_max = config.llm_worker.grpc_bytes_max;
  options.max_model_len = plan.knobs.max_model_len;
  options.block_size = plan.knobs.block_size;
  options.kv_block_bytes = plan.kv.BlockBytes();
  options.embedding_row_bytes = device.EmbeddingRowBytes();
  const auto add_class = [&](const char* name, int64_t tokens) {
    const auto price = admission::ComputePrice(
        {.prompt_tokens = tokens - tokens / 2, .max_tokens = tokens / 2, .block_size = plan.knobs.block_size});
    if (price.ok() && price->llm) options.request_classes.emplace_back(name, *price->llm);
  };
  add_class("short_text", std::min(kShortTextTokens, plan.knobs.max_model_len));
  add_class("full_length", plan.knobs.max_model_len);
  return options;
}

EngineOptions EngineOptionsFrom(const ClusterConfig& config, const worker::WorkerDevice& device) {
  const memory::Plan& plan = device.plan();
  EngineOptions options;
  options.limits = {.max_num_seqs = plan.knobs.max_num_seqs,
                    .max_num_batched_tokens = plan.knobs.max_num_batched_tokens,
                    .block_size = plan.knobs.block_size};
  options.waiting_max = config.llm_worker.waiting_requests_max;
  options.vocab_size = device.model().llm.vocab_size;
  options.hidden_size = device.model().llm.hidden_size;
  options.embedding_dtype = device.compute();
  options.mask_threads = SideThreads();
  return options;
}

// A bit for each id that the model's tokenizer has: rows of a vocabulary beyond them, or between, are padding.
std::vector<uint32_t> Vocabulary(const model::Tokenizer& tokenizer, int64_t vocab_size) {
  std::vector<uint32_t> ids(static_cast<size_t>(runtime::SeenWords(vocab_size)), 0);
  for (int32_t id = 0; id < std::min<int64_t>(vocab_size, tokenizer.vocab_size()); ++id) {
    if (!tokenizer.TokenBytes(id).empty()) ids[static_cast<size_t>(id / 32)] |= uint32_t{1} << (id % 32);
  }
  return ids;
}

LlmService::Options ServiceOptions(const ClusterConfig& config, const worker::WorkerDevice& device) {
  const memory::Plan& plan = device.plan();
  const model::ModelSpec& model = device.model();
  LlmService::Options options;
  options.limits = {.vocab_size = model.llm.vocab_size,
                    .max_model_len = plan.knobs.max_model_len,
                    .grid_margin = model.resize.end_rows / 2};
  options.block_size = plan.knobs.block_size;
  options.embedding = {
      .columns = model.Sees() ? model.llm.hidden_size : 0, .dtype = device.compute(), .model = device.fingerprint()};
  options.model = device.fingerprint();
  options.model_name = config.model.Name();
  options.fetch_threads = static_cast<int>(config.llm_worker.fetch_threads);
  options.fetches_waiting_max = config.llm_worker.waiting_requests_max;
  options.compile_threads = SideThreads();
  options.unread_max = std::chrono::milliseconds(config.llm_worker.unread_ms_max);
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LlmServer>> LlmServer::Start(const ClusterConfig& config, worker::WorkerDevice& device,
                                                            rpc::ChannelDirectory& channels, Metrics& metrics,
                                                            ProcessEnd& process) {
  HEADROOM_ASSIGN_OR_RETURN(std::unique_ptr<Decoder> decoder,
                            Decoder::Create(device.device(), device.model(), device.plan(), device.arena()));
  HEADROOM_RETURN_IF_ERROR(admission::ValidateResources(EndpointOptions(config, device).capacity));
  std::unique_ptr<LlmServer> server(new LlmServer(config, device, std::move(decoder), channels, metrics, process));
  HEADROOM_RETURN_IF_ERROR(server->endpoint_.Start(&server->service_));
  server->load_.Start();
  return server;
}

LlmServer::LlmServer(const ClusterConfig& config, worker::WorkerDevice& device, std::unique_ptr<Decoder> decoder,
                     rpc::ChannelDirectory& channels, Metrics& metrics, ProcessEnd& process)
    : config_(config.llm_worker),
      model_directory_(config.model.path),
      device_(device),
      process_(process),
      decoder_(std::move(decoder)),
      prefill_steps_(
          metrics.AddCounter("headroom_llm_steps_total", {{"model", config.model.Name()}, {"kind", "prefill"}})),
      decode_steps_(
          metrics.AddCounter("headroom_llm_steps_total", {{"model", config.model.Name()}, {"kind", "decode"}})),
      mixed_steps_(metrics.AddCounter("headroom_llm_steps_total", {{"model", config.model.Name()}, {"kind", "mixed"}})),
      prompt_tokens_(
          metrics.AddCounter("headroom_llm_tokens_total", {{"model", config.model.Name()}, {"kind", "prompt"}})),
      answer_tokens_(
          metrics.AddCounter("headroom_llm_tokens_total", {{"model", config.model.Name()}, {"kind", "answer"}})),
      step_seconds_(metrics.AddHistogram("headroom_llm_step_seconds", {{"model", config.model.Name()}})),
      step_tokens_(metrics.AddHistogram("headroom_llm_step_tokens", {{"model", config.model.Name()}})),
      step_prompt_tokens_(metrics.AddHistogram("headroom_llm_step_prompt_tokens", {{"model", config.model.Name()}})),
      step_sequences_(metrics.AddHistogram("headroom_llm_step_sequences", {{"model", config.model.Name()}})),
      endpoint_(
          EndpointOptions(config, device), [&device] { return device.Ledger(); }, channels, metrics, SystemClock()),
      kv_pool_({.blocks = device.plan().kv_blocks,
                .block_size = device.plan().knobs.block_size,
                .block_bytes = device.plan().kv.BlockBytes()},
               device.ledger()),
      grammars_(config.llm_worker.grammar_bytes_max),
      engine_(
          EngineOptionsFrom(config, device), kv_pool_,
          [this](const StepBatch& batch) { return decoder_->Forward(batch); }, SystemClock(),
          [this](const EngineStep& step) { CountStep(step); }),
      service_({endpoint_.gate(), engine_, kv_pool_, grammars_, channels, SystemClock()},
               ServiceOptions(config, device), metrics),
      engine_metrics_(metrics.AddCollector([this, model = MetricLabels{{"model", config.model.Name()}}] {
        const EngineStats stats = engine_.Stats();
        return std::vector<MetricSample>{{"headroom_llm_running_sequences", model, static_cast<double>(stats.running)},
                                         {"headroom_llm_waiting_sequences", model, static_cast<double>(stats.waiting)},
                                         {"headroom_llm_used_kv_blocks", model, static_cast<double>(stats.blocks_used)},
                                         {"headroom_llm_pool_kv_blocks", model, static_cast<double>(stats.blocks)}};
      })),
      grammar_metrics_(metrics.AddCollector([this, model = MetricLabels{{"model", config.model.Name()}}] {
        const GrammarStore::Stats stats = grammars_.Stat();
        return std::vector<MetricSample>{{"headroom_llm_grammar_bytes", model, static_cast<double>(stats.bytes)},
                                         {"headroom_llm_grammars", model, static_cast<double>(stats.grammars)}};
      })),
      load_({.name = config.llm_worker.name,
             .total_bytes = device.plan().Bytes(memory::Component::kLlmWeights) +
                            device.plan().Bytes(memory::Component::kHeadWeights),
             .load = [this](const memory::LoadProgress& tell) { return Load(tell); },
             .loading = [this](double progress) { endpoint_.Loading(progress); },
             .warm_up = [this] { return WarmUp(); },
             .ready = [this] { BecomeReady(); }},
            process, SystemClock()) {}

LlmServer::~LlmServer() { Stop(Duration::zero()); }

absl::Status LlmServer::Load(const memory::LoadProgress& tell) {
  const int64_t vocab_size = decoder_->vocab_size();
  const auto tokenizer = model::Tokenizer::FromDirectory(model_directory_);
  if (tokenizer.ok()) {
    std::vector<uint32_t> vocabulary = Vocabulary(**tokenizer, vocab_size);
    HEADROOM_RETURN_IF_ERROR(decoder_->SetVocabulary(vocabulary));
    HEADROOM_RETURN_IF_ERROR(grammars_.Open(**tokenizer, vocab_size, std::move(vocabulary)));
  } else if (absl::IsNotFound(tokenizer.status())) {
    // A worker sees numbers alone and serves without one, but for structured output; who reads its answers needs it.
    HEADROOM_RETURN_IF_ERROR(decoder_->SetVocabulary(
        std::vector<uint32_t>(static_cast<size_t>(runtime::SeenWords(vocab_size)), ~uint32_t{0})));
  } else {
    return tokenizer.status();
  }
  return decoder_->Load(device_.checkpoint(), tell);
}

// On the load's thread, as the next.
absl::Status LlmServer::WarmUp() {
  HEADROOM_RETURN_IF_ERROR(device_.floor().Take(memory::Component::kLibraries, [this] { return decoder_->WarmUp(); }));
  HEADROOM_RETURN_IF_ERROR(
      device_.floor().Take(memory::Component::kGraphs, [this] { return decoder_->RecordSteps(); }));
  if (decoder_->recorded_launches() > 0) {
    Log(LogLevel::kInfo, "llm-worker", "decode steps are launched as one")
        .With("launches", decoder_->recorded_launches());
  }
  return absl::OkStatus();
}

// On the load's thread, which Stop joins before it touches what this makes.
void LlmServer::BecomeReady() {
  engine_.Start();
  reader_watch_ = std::thread([this] { WatchReaders(); });
  endpoint_.Ready();
}

void LlmServer::WatchReaders() {
  const Duration period = std::clamp<Duration>(std::chrono::milliseconds(config_.unread_ms_max) / 4,
                                               std::chrono::milliseconds(10), std::chrono::seconds(1));
  std::unique_lock lock(mutex_);
  while (!stopping_changed_.wait_for(lock, period, [this] { return stopping_; })) service_.CancelUnread();
}

void LlmServer::CountStep(const EngineStep& step) {
  const bool has_prompts = step.prompt_tokens > 0, has_answers = step.tokens > step.prompt_tokens;
  (has_prompts && has_answers ? mixed_steps_ : has_prompts ? prefill_steps_ : decode_steps_).Increment();
  if (has_prompts) step_prompt_tokens_.Observe(static_cast<double>(step.prompt_tokens));
  answer_tokens_.Increment(static_cast<double>(step.sampled));
  prompt_tokens_.Increment(static_cast<double>(step.prompt_tokens));
  step_seconds_.Observe(step.seconds);
  step_tokens_.Observe(static_cast<double>(step.tokens));
  step_sequences_.Observe(static_cast<double>(step.sequences));
}

void LlmServer::Stop(Duration deadline) {
  if (std::exchange(stopped_, true)) return;
  // A worker that is not READY has no grants to wait for.
  if (!load_.Stop()) deadline = Duration::zero();
  const TimePoint end = SystemClock().Now() + deadline;
  // Of a failure the scheduler is not told: to it the worker is lost, which is an alert.
  if (!process_.failed()) endpoint_.Drain(deadline);
  // What still runs ends with UNAVAILABLE, so that the gateway moves it.
  engine_.Stop();
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stopping_changed_.notify_all();
  if (reader_watch_.joinable()) reader_watch_.join();
  endpoint_.StopServing(std::max<Duration>(end - SystemClock().Now(), kLastWords));
  endpoint_.Close();
  engine_metrics_.reset();
  grammar_metrics_.reset();
}

}  // namespace headroom::llm_worker
