#include "common/metric_catalogue.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/refusal_reason.h"

namespace headroom {
namespace {

constexpr auto kLatency = MetricBuckets::kLatency;
constexpr auto kCount = MetricBuckets::kCount;

constexpr char kAll[] = "gateway|scheduler|vision-worker|llm-worker";
constexpr char kWorkers[] = "vision-worker|llm-worker";
constexpr char kGateway[] = "gateway";
constexpr char kScheduler[] = "scheduler";
constexpr char kVision[] = "vision-worker";
constexpr char kLlm[] = "llm-worker";

// memory/component.h
constexpr MetricLabel kComponent = {
    "component",
    "vision_weights|resampler_weights|llm_weights|head_weights|kv_pool|llm_workspace|vision_workspace|embedding_store|"
    "communication|libraries|graphs|context_floor|other_processes|alignment|headroom"};
constexpr MetricLabel kDevice = {"device", "", "device of the process"};
constexpr MetricLabel kModel = {"model", "", "model of the process"};
constexpr MetricLabel kAskedModel = {"model", "",
                                     "model of the configuration, and none for requests that name none of them", 4};
constexpr MetricLabel kRole = {"role", "vision|llm"};
// In one process there is one worker of each role; a scheduler may know many.
constexpr MetricLabel kWorker = {"worker", "", "worker of the process"};
constexpr MetricLabel kKnownWorker = {"worker", "", "worker that the scheduler knows", 64};
constexpr MetricLabel kRoute = {"route", "", "route of the HTTP API, and other", 16};
constexpr MetricLabel kGrpcService = {"service", "Gateway|Scheduler|Vision|Llm|other"};
constexpr MetricLabel kGrpcMethod = {"method",
                                     "Generate|Complete|Embed|Tokenize|Detokenize|Price|GetStatus|GetHistory|"
                                     "GetRefusals|Reserve|Renew|Void|CanAdmit|GetClusterState|"
                                     "WorkerLink|Encode|Fetch|other"};
constexpr MetricLabel kGrpcCode = {
    "code",
    "OK|CANCELLED|UNKNOWN|INVALID_ARGUMENT|DEADLINE_EXCEEDED|NOT_FOUND|ALREADY_EXISTS|PERMISSION_DENIED|"
    "RESOURCE_EXHAUSTED|FAILED_PRECONDITION|ABORTED|OUT_OF_RANGE|UNIMPLEMENTED|INTERNAL|UNAVAILABLE|DATA_LOSS|"
    "UNAUTHENTICATED"};
constexpr MetricLabel kBudget = {"budget",
                                 "slots|kv_blocks|patches|embedding_bytes|host_bytes|queue|model_len|"
                                 "max_patches_per_step|none"};

// Refusals by the names of the table.
std::string Reasons(std::string_view service) {
  std::vector<std::string> names;
  for (const RefusalReasonInfo& info : RefusalReasons()) {
    if (service.empty() || info.IsOf(service)) names.emplace_back(info.name);
  }
  return absl::StrJoin(names, "|");
}

MetricDefinition Counter(const char* name, const char* unit, const char* services, std::vector<MetricLabel> labels,
                         const char* help) {
  return {name, MetricType::kCounter, unit, services, std::move(labels), MetricBuckets::kNone, help};
}

MetricDefinition Gauge(const char* name, const char* unit, const char* services, std::vector<MetricLabel> labels,
                       const char* help) {
  return {name, MetricType::kGauge, unit, services, std::move(labels), MetricBuckets::kNone, help};
}

MetricDefinition Histogram(const char* name, const char* unit, const char* services, std::vector<MetricLabel> labels,
                           MetricBuckets buckets, const char* help) {
  return {name, MetricType::kHistogram, unit, services, std::move(labels), buckets, help};
}

std::vector<MetricDefinition> Build() {
  static const std::string reserve_outcomes = "granted|cancelled|" + Reasons(kScheduler);
  static const std::string reasons = Reasons("");
  return {
      // Every process.
      Gauge("headroom_build_info", "info", kAll, {{"version", "", "version"}, {"build", "release|debug"}},
            "Which build runs."),
      Gauge("headroom_config_info", "info", kAll,
            {{"cluster", "", "cluster id"}, {"device", "", "device.kind"}, {"dtype", "", "model.dtype"}},
            "What the configuration says."),
      Gauge("headroom_process_resident_bytes", "bytes", kAll, {},
            "Memory of the process that no file stands behind (RssAnon and RssShmem)."),
      Gauge("headroom_process_start_time_seconds", "seconds", kAll, {},
            "When the process came up, seconds since 1970."),
      Gauge("headroom_host_available_bytes", "bytes", kWorkers, {},
            "What the machine, or the process's control group, could still give: the smaller one."),
      Counter("headroom_grpc_server_calls_total", "calls", kAll, {kGrpcService, kGrpcMethod, kGrpcCode},
              "Calls that the process has answered, by status code."),
      Histogram("headroom_grpc_server_call_seconds", "seconds", kAll, {kGrpcService, kGrpcMethod}, MetricBuckets::kCall,
                "Time from a call's arrival to its status; for streams all of their life."),
      // The ledger of a device: all lines of one scrape are of one moment.
      Gauge("headroom_memory_device_bytes", "bytes", kWorkers, {kDevice},
            "Memory of the device. The planned bytes of all components sum to it."),
      Gauge("headroom_memory_planned_bytes", "bytes", kWorkers, {kDevice, kComponent}, "Bytes of the plan's line."),
      Gauge("headroom_memory_reserved_bytes", "bytes", kWorkers, {kDevice, kComponent},
            "Bytes promised: taken from the arena, or granted out of a pool."),
      Gauge("headroom_memory_used_bytes", "bytes", kWorkers, {kDevice, kComponent}, "Bytes that hold data."),
      Gauge("headroom_memory_high_water_bytes", "bytes", kWorkers, {kDevice, kComponent},
            "Most bytes of the component that held data at one moment."),
      Gauge("headroom_memory_device_used_bytes", "bytes", kWorkers, {kDevice}, "Bytes that hold data, all components."),
      Gauge("headroom_memory_device_high_water_bytes", "bytes", kWorkers, {kDevice},
            "Most bytes that held data at one moment, all components."),
      Gauge(
          "headroom_memory_headroom_bytes", "bytes", kWorkers, {kDevice},
          "Bytes of the device that nothing holds now: device less used, and less what is reserved outside the arena."),
      Gauge("headroom_memory_headroom_low_water_bytes", "bytes", kWorkers, {kDevice},
            "Least headroom at one moment since start."),
      Gauge("headroom_memory_process_planned_bytes", "bytes", kWorkers, {kDevice},
            "Lines of the plan that lie in the process: the arena, libraries, the context floor."),
      // Where a driver tells of others (device.kind cuda).
      Gauge("headroom_card_total_bytes", "bytes", kWorkers, {kDevice},
            "Of a card: memory that processes can have. This and the next four are there with device.kind cuda alone."),
      Gauge("headroom_card_free_bytes", "bytes", kWorkers, {kDevice}, "Of a card: memory that nobody holds."),
      Gauge("headroom_card_own_bytes", "bytes", kWorkers, {kDevice},
            "Of a card: memory of this process, context and libraries included."),
      Gauge("headroom_card_growth_bytes", "bytes", kWorkers, {kDevice},
            "Of a card: what this process holds more than when it was ready, which no plan knows. Absent where the "
            "driver does not tell of this process alone."),
      Gauge("headroom_card_other_bytes", "bytes", kWorkers, {kDevice}, "Of a card: memory of all other processes."),
      Gauge("headroom_plan_knob_value", "number", kWorkers,
            {kDevice,
             {"knob",
              "max_num_seqs|max_model_len|max_num_batched_tokens|block_size|max_patches_per_step|embedding_store_pages|"
              "gpu_memory_utilization"}},
            "Knobs as the plan resolved them."),
      // Admission as the worker enforces it.
      Gauge("headroom_worker_ready", "state", kWorkers, {kRole, kWorker}, "1 when the worker takes grants."),
      Gauge("headroom_worker_load_progress_ratio", "ratio", kWorkers, {kRole, kWorker}, "Weights loaded."),
      Gauge("headroom_worker_active_legs", "legs", kWorkers, {kRole, kWorker}, "Legs in use."),
      Gauge("headroom_worker_capacity_slots", "slots", kWorkers, {kRole, kWorker},
            "Sequences (llm) or images in flight (vision) that the worker offers."),
      Gauge("headroom_worker_reserved_slots", "slots", kWorkers, {kRole, kWorker}, "Slots that active legs hold."),
      Gauge("headroom_worker_capacity_kv_blocks", "kv_blocks", kLlm, {kRole, kWorker},
            "KV blocks that the worker offers."),
      Gauge("headroom_worker_reserved_kv_blocks", "kv_blocks", kLlm, {kRole, kWorker},
            "KV blocks that active legs hold, written or not."),
      Gauge("headroom_worker_capacity_patches", "patches", kVision, {kRole, kWorker},
            "Patches in flight that the worker offers."),
      Gauge("headroom_worker_reserved_patches", "patches", kVision, {kRole, kWorker}, "Patches that active legs hold."),
      Gauge("headroom_worker_capacity_embedding_bytes", "bytes", kVision, {kRole, kWorker},
            "Embedding bytes that the worker offers."),
      Gauge("headroom_worker_reserved_embedding_bytes", "bytes", kVision, {kRole, kWorker},
            "Embedding bytes that active legs hold."),
      Gauge("headroom_worker_capacity_host_bytes", "bytes", kWorkers, {kRole, kWorker},
            "The worker's budget of host memory for requests."),
      Gauge("headroom_worker_reserved_host_bytes", "bytes", kWorkers, {kRole, kWorker},
            "Host memory that active legs hold."),
      Gauge(
          "headroom_worker_fitting_requests", "requests", kWorkers,
          {kRole, kWorker, {"class", "short_text|full_length|one_piece_image|largest_image"}},
          "How many more requests of a class fit beside the active legs: 256 tokens; max_model_len tokens; an image of "
          "one piece; one of as many pieces as the model allows."),
      // Scheduler.
      Counter("headroom_scheduler_reserve_decisions_total", "decisions", kScheduler,
              {{"outcome", reserve_outcomes.c_str()}, kBudget},
              "Reservations by outcome (refusals by their reason, docs/refusals.md) and by the budget that decided."),
      Histogram("headroom_scheduler_queue_wait_seconds", "seconds", kScheduler, {}, kLatency,
                "Time that granted requests waited, time waited elsewhere included."),
      Gauge("headroom_scheduler_queue_entries", "entries", kScheduler, {}, "Requests that wait for room."),
      Gauge("headroom_scheduler_queue_limit_entries", "entries", kScheduler, {}, "Requests that may wait."),
      Gauge("headroom_scheduler_grants", "grants", kScheduler, {{"state", "pending|active"}},
            "Grants with at least one leg in that state."),
      Gauge("headroom_scheduler_epoch", "number", kScheduler, {}, "Epoch that the scheduler leads with."),
      Gauge("headroom_scheduler_workers", "workers", kScheduler, {kRole, {"state", "loading|ready|draining|lost"}},
            "Workers that the scheduler knows; lost: the link ended without a drain, until the worker is forgotten."),
      Gauge("headroom_scheduler_worker_placeable", "state", kScheduler, {kKnownWorker},
            "1 when the worker may get grants."),
      Gauge("headroom_scheduler_worker_reserved_ratio", "ratio", kScheduler,
            {kKnownWorker, {"resource", "slots|kv_blocks|patches|embedding_bytes|host_bytes"}},
            "Part of a worker's capacity that is active or pending; above 1 after a restart with less capacity."),
      // Gateway.
      Counter("headroom_gateway_requests_total", "requests", kGateway,
              {kAskedModel,
               {"outcome",
                "ok|cancelled|invalid_argument|not_found|deadline_exceeded|resource_exhausted|failed_precondition|"
                "unavailable|"
                "internal"}},
              "Requests by outcome, those refused at the door included."),
      Counter(
          "headroom_gateway_refusals_total", "refusals", kGateway,
          {{"reason", reasons.c_str()},
           {"budget",
            "slots|kv_blocks|patches|embedding_bytes|host_bytes|gateway_host_bytes|queue|model_len|max_patches_per_"
            "step|requests_running|"
            "none"}},
          "Requests refused by this gateway, the scheduler or a worker, by reason (docs/refusals.md) and by the budget "
          "that was short."),
      Gauge("headroom_gateway_model_ready", "state", kGateway, {kAskedModel},
            "1 when the model has a worker of every role that it needs."),
      Gauge("headroom_gateway_model_host_bytes", "bytes", kGateway, {kAskedModel},
            "What the model's tokenizer and templates take of the gateway's memory at most; 0 where they are not "
            "loaded."),
      Gauge("headroom_gateway_requests_running", "requests", kGateway, {}, "Requests between arrival and last byte."),
      Histogram("headroom_gateway_queue_seconds", "seconds", kGateway, {}, kLatency, "Time from arrival to grant."),
      Histogram("headroom_gateway_time_to_first_token_seconds", "seconds", kGateway, {}, kLatency,
                "Time from arrival to first token."),
      Histogram("headroom_gateway_time_per_output_token_seconds", "seconds", kGateway, {}, MetricBuckets::kToken,
                "Mean time between the tokens of an answer, after the first; answers of one token do not count."),
      Histogram("headroom_gateway_request_seconds", "seconds", kGateway, {}, kLatency,
                "Time from arrival to last byte."),
      Counter("headroom_gateway_prompt_tokens_total", "tokens", kGateway, {kAskedModel},
              "Prompt tokens of finished requests, image tokens included."),
      Counter("headroom_gateway_completion_tokens_total", "tokens", kGateway, {kAskedModel},
              "Tokens generated for finished requests."),
      Counter("headroom_gateway_images_total", "images", kGateway, {}, "Images of finished requests."),
      Counter("headroom_gateway_pieces_total", "pieces", kGateway, {}, "Pieces of images of finished requests."),
      Gauge("headroom_gateway_http_connections", "connections", kGateway, {},
            "Open HTTP connections, idle ones among them."),
      Gauge("headroom_gateway_http_open_requests", "requests", kGateway, {},
            "HTTP requests between their last byte and that of their answer."),
      Counter("headroom_gateway_http_connections_ended_total", "connections", kGateway,
              {{"cause", "done|left|idle|slow_head|slow_body|unread|cut|made_room|turned_away|drained"}},
              "HTTP connections that have ended, by what ended them: done and left are the usual ends."),
      Counter(
          "headroom_gateway_http_requests_total", "requests", kGateway,
          {kRoute, {"status", "200|204|400|401|403|404|405|408|413|415|417|421|422|429|431|499|500|501|503|504|other"}},
          "HTTP answers that have begun, by route and status; what is of no route counts as other."),
      Counter("headroom_gateway_http_received_bytes_total", "bytes", kGateway, {}, "Bytes that HTTP clients sent."),
      Counter("headroom_gateway_http_sent_bytes_total", "bytes", kGateway, {}, "Bytes that went to HTTP clients."),
      Gauge("headroom_gateway_host_used_bytes", "bytes", kGateway, {},
            "What open requests and the files of models hold of gateway.host_bytes_max."),
      Gauge("headroom_gateway_host_capacity_bytes", "bytes", kGateway, {},
            "gateway.host_bytes_max: for open requests and the tokenizers and templates of models."),
      // Vision-worker.
      Counter("headroom_vision_images_total", "images", kVision, {kModel}, "Images whose bytes arrived."),
      Counter("headroom_vision_cache_hits_total", "hits", kVision, {kModel},
              "Images whose embeddings were there already."),
      Counter("headroom_vision_refused_total", "refused", kVision, {kModel},
              "Encode streams refused by a check of the worker."),
      Counter("headroom_vision_fetched_pieces_total", "pieces", kVision, {kModel}, "Pieces sent to llm-workers."),
      Counter("headroom_vision_decodes_total", "decodes", kVision,
              {kModel, {"outcome", "decoded|undecodable|crashed|timed_out|not_served"}},
              "Images given to the decoders."),
      Histogram("headroom_vision_decode_seconds", "seconds", kVision, {kModel}, kLatency,
                "Decode, resize and cut of an image."),
      Histogram("headroom_vision_encode_seconds", "seconds", kVision, {kModel}, kLatency, "Compute time of an image."),
      Histogram("headroom_vision_piece_encode_seconds", "seconds", kVision, {kModel}, kLatency,
                "Compute time of a piece: that of its step, shared by the step's pieces."),
      Counter("headroom_vision_steps_total", "steps", kVision, {kModel}, "Steps of the vision tower."),
      Counter("headroom_vision_pieces_total", "pieces", kVision, {kModel}, "Pieces through the vision tower."),
      Counter("headroom_vision_patches_total", "patches", kVision, {kModel}, "Patches through the vision tower."),
      Histogram("headroom_vision_step_seconds", "seconds", kVision, {kModel}, kLatency, "Time of a step."),
      Histogram("headroom_vision_step_pieces", "pieces", kVision, {kModel}, kCount, "Pieces of a step."),
      Histogram("headroom_vision_step_patches", "patches", kVision, {kModel}, MetricBuckets::kPatches,
                "Patches of a step."),
      Gauge("headroom_vision_waiting_pieces", "pieces", kVision, {kModel}, "Pieces that wait for a step."),
      Gauge("headroom_embedding_store_capacity_pages", "pages", kVision, {kModel},
            "Pages of 32 rows that the embedding store holds."),
      Gauge("headroom_embedding_store_used_pages", "pages", kVision, {kModel}, "Pages that hold embeddings."),
      Gauge("headroom_embedding_store_pinned_pages", "pages", kVision, {kModel}, "Pages that open streams hold."),
      Counter("headroom_embedding_store_evictions_total", "evictions", kVision, {kModel}, "Entries evicted."),
      // Llm-worker.
      Counter("headroom_llm_requests_total", "requests", kLlm,
              {kModel, {"outcome", "answered|cancelled|refused|failed"}},
              "Generate calls that have ended, by outcome."),
      Counter("headroom_llm_fetches_total", "fetches", kLlm, {kModel}, "Requests whose embeddings were pulled."),
      Counter("headroom_llm_fetch_failures_total", "failures", kLlm, {kModel},
              "Requests whose embeddings could not be pulled."),
      Counter("headroom_llm_unread_cancels_total", "cancels", kLlm, {kModel},
              "Answers cancelled because nobody read them."),
      Counter("headroom_llm_steps_total", "steps", kLlm, {kModel, {"kind", "prefill|decode|mixed"}},
              "Steps of the engine, by what their rows were of: prompts, answers, both."),
      Counter("headroom_llm_tokens_total", "tokens", kLlm, {kModel, {"kind", "prompt|answer"}},
              "Tokens through the decoder."),
      Histogram("headroom_llm_step_seconds", "seconds", kLlm, {kModel}, kLatency, "Time of a step."),
      Histogram("headroom_llm_step_tokens", "tokens", kLlm, {kModel}, kCount, "Rows of a step."),
      Histogram("headroom_llm_step_prompt_tokens", "tokens", kLlm, {kModel}, kCount,
                "Rows of a step that are of prompts, in steps that have such."),
      Histogram("headroom_llm_step_sequences", "sequences", kLlm, {kModel}, kCount, "Sequences of a step."),
      Gauge("headroom_llm_running_sequences", "sequences", kLlm, {kModel}, "Sequences that take part in steps."),
      Gauge("headroom_llm_waiting_sequences", "sequences", kLlm, {kModel}, "Sequences that wait for a step."),
      Gauge("headroom_llm_used_kv_blocks", "kv_blocks", kLlm, {kModel}, "KV blocks that hold tokens."),
      Gauge("headroom_llm_pool_kv_blocks", "kv_blocks", kLlm, {kModel}, "KV blocks of the pool."),
      Gauge("headroom_llm_grammar_bytes", "bytes", kLlm, {kModel},
            "Host memory of the grammars of structured output, up to llm_worker.grammar_bytes_max."),
      Gauge("headroom_llm_grammars", "grammars", kLlm, {kModel}, "Grammars of structured output that are held."),
  };
}

bool IsOfCalls(const MetricDefinition& metric) {
  return std::string_view(metric.name).find("_grpc_") != std::string_view::npos;
}

// Whether it has one of these open labels.
bool HasLabel(const MetricDefinition& metric, std::initializer_list<MetricLabel> open) {
  return std::any_of(metric.labels.begin(), metric.labels.end(), [&](const MetricLabel& label) {
    return std::any_of(open.begin(), open.end(), [&](const MetricLabel& one) {
      return std::string_view(label.name) == one.name && std::string_view(label.open) == one.open;
    });
  });
}

const char* TypeName(MetricType type) {
  return type == MetricType::kCounter ? "counter" : type == MetricType::kGauge ? "gauge" : "histogram";
}

// "all", or the services with spaces.
std::string Services(const MetricDefinition& metric) {
  return metric.services == kAll ? "all" : absl::StrReplaceAll(metric.services, {{"|", ", "}});
}

// Sets of more values stand once, below the table.
constexpr size_t kValuesInTable = 10;

std::string Listed(const MetricLabel& label) { return absl::StrReplaceAll(label.values, {{"|", ", "}}); }

std::string LabelsText(const MetricDefinition& metric) {
  std::vector<std::string> labels;
  for (const MetricLabel& label : metric.labels) {
    const size_t values = ClosedValues(label).size();
    labels.push_back(absl::StrCat("`", label.name, "`: ",
                                  values == 0                ? absl::StrCat("one for each ", label.open)
                                  : values <= kValuesInTable ? Listed(label)
                                                             : "see below"));
  }
  return absl::StrJoin(labels, "; ");
}

}  // namespace

const std::vector<double>& BucketsOf(MetricBuckets buckets) {
  static const std::vector<double> none;
  static const std::vector<double> latency = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2,
                                              0.5,    1,     2,     5,     10,   30,   60,   120};
  static const std::vector<double> call = {0.001, 0.005, 0.02, 0.1, 0.3, 1, 3, 10, 60};
  static const std::vector<double> token = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5};
  static const std::vector<double> count = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192};
  static const std::vector<double> patches = {256, 512, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 16384};
  switch (buckets) {
    case MetricBuckets::kLatency:
      return latency;
    case MetricBuckets::kCall:
      return call;
    case MetricBuckets::kToken:
      return token;
    case MetricBuckets::kCount:
      return count;
    case MetricBuckets::kPatches:
      return patches;
    case MetricBuckets::kNone:
      break;
  }
  return none;
}

std::vector<std::string> ClosedValues(const MetricLabel& label) {
  if (*label.values == '\0') return {};
  return absl::StrSplit(label.values, '|');
}

int64_t MetricDefinition::SeriesMax() const {
  // Buckets, +Inf, sum and count.
  int64_t series = type == MetricType::kHistogram ? static_cast<int64_t>(BucketsOf(buckets).size()) + 3 : 1;
  for (const MetricLabel& label : labels) {
    series *= *label.values == '\0' ? label.open_count : static_cast<int64_t>(ClosedValues(label).size());
  }
  return series;
}

const std::vector<MetricDefinition>& MetricCatalogue() {
  static const std::vector<MetricDefinition> catalogue = Build();
  return catalogue;
}

const MetricDefinition* FindMetric(const std::vector<MetricDefinition>& catalogue, std::string_view name) {
  const auto found =
      std::find_if(catalogue.begin(), catalogue.end(), [name](const auto& metric) { return name == metric.name; });
  return found == catalogue.end() ? nullptr : &*found;
}

std::string MetricReference() {
  int64_t all = 0, of_calls = 0, of_asked = 0, of_served = 0;
  for (const MetricDefinition& metric : MetricCatalogue()) {
    all += metric.SeriesMax();
    if (IsOfCalls(metric)) of_calls += metric.SeriesMax();
    if (HasLabel(metric, {kAskedModel})) of_asked += metric.SeriesMax() / kAskedModel.open_count;
    if (HasLabel(metric, {kModel, kDevice, kWorker})) of_served += metric.SeriesMax();
  }
  std::string page =
      "# Metrics\n\n"
      "Written by `headroom metrics`; a test compares. Every service answers on its `metrics_listen` address, path "
      "`/metrics`; `headroom up` shows all of them on the gateway's.\n"
      "Histograms have the usual `_bucket`, `_sum` and `_count`. Open labels take one value for each thing named, so "
      "their number is bounded by the configuration, never by what clients send.\n\n";
  absl::StrAppend(&page, "A process with all services and one model shows at most ", all - of_calls, " series, and ",
                  of_calls, " more of gRPC calls, where ", kKnownWorker.open_count, " workers are known, ",
                  kAskedModel.open_count, " models configured and ", kRoute.open_count,
                  " routes served. A further model takes at most ", of_asked, " of a gateway that was told of it, and ",
                  of_served, " of a process that serves it: `device` is then one for each share, as `cpu/NAME`.\n\n");
  page += "| name | type | unit | labels | service | meaning |\n| --- | --- | --- | --- | --- | --- |\n";
  std::map<std::string, std::string> long_sets;
  for (const MetricDefinition& metric : MetricCatalogue()) {
    for (const MetricLabel& label : metric.labels) {
      if (ClosedValues(label).size() > kValuesInTable) long_sets[label.name] = Listed(label);
    }
    absl::StrAppend(&page, "| `", metric.name, "` | ", TypeName(metric.type), " | ", metric.unit, " | ",
                    LabelsText(metric), " | ", Services(metric), " | ", metric.help, " |\n");
  }
  absl::StrAppend(&page, "\n## Label values\n\n");
  for (const auto& [name, values] : long_sets) absl::StrAppend(&page, "- `", name, "`: ", values, "\n");
  return page;
}

}  // namespace headroom
