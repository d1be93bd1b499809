#include "common/config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <string_view>

#include "common/config_models.h"
#include "common/config_yaml.h"
#include "common/units.h"

namespace headroom {
namespace {

constexpr int64_t kMillion = 1'000'000;
constexpr int64_t kHourMs = 3'600'000;

absl::Status ApplyModels(const YAML::Node& list, const std::string& file, ClusterConfig& config) {
  return ApplyList(list, file, "models", kModelsMax, [&config] {
    ConfigFields fields;
    config.models.emplace_back().DeclareEntry(fields);
    return fields;
  });
}

absl::Status ApplyYaml(const YAML::Node& root, const std::string& name, std::vector<ClusterConfig::Section>& sections,
                       ClusterConfig& config) {
  if (!root.IsDefined() || root.IsNull()) return absl::OkStatus();
  if (!root.IsMap()) return absl::InvalidArgumentError(name + ":1: the file must be a mapping of sections");
  std::set<std::string> seen;
  for (const auto& entry : root) {
    const std::string where = YamlPosition(name, entry.first.Mark());
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
    if (!seen.insert(key).second) return absl::InvalidArgumentError(where + ": section '" + key + "' stands twice");
    bool found = key == "models";
    if (found) HEADROOM_RETURN_IF_ERROR(ApplyModels(entry.second, name, config));
    for (ClusterConfig::Section& section : sections) {
      if (section.name != key) continue;
      found = true;
      HEADROOM_RETURN_IF_ERROR(ApplyMapping(entry.second, name, section.name, section.fields));
    }
    if (!found) return absl::InvalidArgumentError(where + ": unknown section '" + key + "'");
  }
  return absl::OkStatus();
}

// "models.NAME.key=value": names may have dots, keys have none but that of "knobs.key". An entry that is not there yet
// is made.
absl::Status ApplyModelOverride(const std::string& text, const std::string& path, const std::string& value,
                                ClusterConfig& config) {
  constexpr std::string_view kKnobs = ".knobs";
  const size_t dot = path.rfind('.');
  if (dot == std::string::npos || dot == 0) {
    return absl::InvalidArgumentError("--set " + text + ": wanted models.NAME.key=value");
  }
  std::string name = path.substr(0, dot);
  const bool knob = name.ends_with(kKnobs);
  if (knob) name.resize(name.size() - kKnobs.size());
  auto model = std::find_if(config.models.begin(), config.models.end(),
                            [&](const ModelSection& entry) { return entry.Name() == name; });
  if (model == config.models.end()) {
    config.models.emplace_back().name = name;
    model = config.models.end() - 1;
  }
  ConfigFields fields;
  if (knob) {
    model->knobs.Declare(fields);
  } else {
    model->DeclareEntry(fields);
  }
  const ConfigFields::Field* field = fields.Find(path.substr(dot + 1));
  if (field == nullptr || field->nested != nullptr) {
    return absl::InvalidArgumentError("--set " + text + ": unknown key 'models." + path + "'");
  }
  return field->parse({value, "--set", false});
}

absl::Status ApplyOverride(const std::string& text, std::vector<ClusterConfig::Section>& sections,
                           ClusterConfig& config) {
  const size_t dot = text.find('.');
  const size_t equals = text.find('=');
  if (dot == std::string::npos || equals == std::string::npos || dot > equals) {
    return absl::InvalidArgumentError("--set " + text + ": wanted section.key=value");
  }
  const std::string section_name = text.substr(0, dot);
  const std::string key = text.substr(dot + 1, equals - dot - 1);
  if (section_name == "models") return ApplyModelOverride(text, key, text.substr(equals + 1), config);
  for (const ClusterConfig::Section& section : sections) {
    if (section.name != section_name) continue;
    const ConfigFields::Field* field = section.fields.Find(key);
    if (field == nullptr) break;
    return field->parse({text.substr(equals + 1), "--set", false});
  }
  return absl::InvalidArgumentError("--set " + text + ": unknown key '" + section_name + "." + key + "'");
}

}  // namespace

void ClusterSection::Declare(ConfigFields& fields) {
  fields.Text("id", &id, "name of the cluster; epochs of another cluster are refused");
  fields.Integer("drain_ms_max", &drain_ms_max, 0, 24 * kHourMs, "after SIGTERM, running streams may go on so long");
}

void LogSection::Declare(ConfigFields& fields) {
  fields.Choice("level", &level, {"debug", "info", "warning", "error"}, "lowest level that is written");
}

void DeviceSection::Declare(ConfigFields& fields) {
  fields.Choice("kind", &kind, {"cpu", "cuda"}, "backend of the workers in this process");
  fields.Choice("isa", &isa, {"auto", "avx2", "avx512", "avx512_bf16", "amx"},
                "instruction set of the CPU backend; auto takes the fastest present");
  fields.Integer("threads", &threads, 0, 1024, "threads of the CPU backend; 0 takes one per core");
  fields.Bytes("memory", &memory, 16 * kMiB, 64 * kTiB,
               "memory that the device promises; all of it is reserved at start");
  fields.Bytes("context_floor", &context_floor, 0, kTiB,
               "planned for driver, context and kernels of one process; 0 takes the catalogue's");
  fields.Bytes("libraries", &libraries, 0, kTiB,
               "planned for what libraries keep on the device by themselves; 0 takes the catalogue's");
}

void KnobsSection::Declare(ConfigFields& fields) {
  fields.OptionalInteger("max_num_seqs", &max_num_seqs, 1, 65'536, "sequences in an llm-worker at once");
  fields.OptionalInteger("max_model_len", &max_model_len, 1, 16 * kMillion, "tokens of a sequence, prompt and answer");
  fields.OptionalInteger("max_num_batched_tokens", &max_num_batched_tokens, 1, kMillion, "tokens of one llm step");
  fields.OptionalNumber(
      "gpu_memory_utilization", &gpu_memory_utilization, 0, 1, true,
      "share of device.memory that is used; 1 unless given, since other users have lines of their own");
  fields.OptionalInteger("block_size", &block_size, 8, 256, "tokens of a KV block, a power of two");
  fields.OptionalInteger("max_patches_per_step", &max_patches_per_step, 1, 16 * kMillion,
                         "patches of one vision step; a piece above it is refused");
  fields.OptionalInteger("embedding_store_pages", &embedding_store_pages, 1, 4 * kMillion,
                         "pages of 32 rows in which a vision-worker keeps the embeddings of pictures");
  fields.Choice("kv_cache_dtype", &kv_cache_dtype, {"auto", "bf16", "fp32"},
                "number format of the KV cache; auto is model.dtype");
  fields.Boolean(
      "decode_graphs", &decode_graphs,
      "whether a card keeps each decode step as a CUDA graph, which starts it as one; false saves its memory");
}

void SchedulerSection::Declare(ConfigFields& fields) {
  fields.Address("listen", &listen, "address for gateways and workers");
  fields.OptionalAddress("metrics_listen", &metrics_listen, "address of /metrics; empty: none");
  fields.Integer("queue_entries_max", &queue_entries_max, 1, kMillion, "requests that may wait for room");
  fields.Bytes("queue_bytes_max", &queue_bytes_max, kMiB, kTiB, "memory of the requests that wait");
  fields.Integer("queue_wait_ms_max", &queue_wait_ms_max, 1, 24 * kHourMs, "longest wait that a request may ask for");
  fields.Integer("grant_ttl_ms", &grant_ttl_ms, 100, kHourMs, "life of a grant that is neither activated nor renewed");
  fields.Integer("heartbeat_ms", &heartbeat_ms, 10, 60'000, "how often workers report");
  fields.Integer("worker_lost_ms", &worker_lost_ms, 100, kHourMs, "silence after which a worker gets no new grants");
  fields.Integer("worker_forget_ms", &worker_forget_ms, 1000, 24 * kHourMs,
                 "silence after which a worker and its legs leave the books");
  fields.Integer("startup_grace_ms", &startup_grace_ms, 0, kHourMs,
                 "after a start, requests wait so long for workers that have not come yet");
  fields.Integer("overtakes_max", &overtakes_max, 0, kMillion,
                 "smaller requests that may pass one that waits for room, before all wait for it");
  fields.Bytes("history_bytes_max", &history_bytes_max, 64 * 1024, 4096 * kMiB,
               "memory of the recent past that `headroom explain` reads: an hour of a small cluster");
}

void VisionWorkerSection::Declare(ConfigFields& fields) {
  fields.Text("name", &name, "unique in the cluster");
  fields.Text("model", &model, "which of `models` it serves, by name or alias; empty: the only one");
  fields.Address("listen", &listen, "address for gateways and llm-workers");
  fields.OptionalAddress("advertise", &advertise, "address that others dial; empty: the listen address");
  fields.OptionalAddress("metrics_listen", &metrics_listen, "address of /metrics; empty: none");
  fields.Address("scheduler", &scheduler, "address of the scheduler");
  fields.Integer("images_in_flight_max", &images_in_flight_max, 1, 65'536, "images of open requests (its slots)");
  fields.Integer("patches_in_flight_max", &patches_in_flight_max, 1, 1024 * kMillion, "patches of open requests");
  fields.Bytes(
      "host_bytes_max", &host_bytes_max, kMiB, 64 * kTiB,
      "compressed and decoded pixels of open requests; unless given, lowered at start where the machine has less",
      &host_bytes_given);
  fields.Integer("decoders", &decoders, 1, 64, "sandboxed image decoder processes");
  fields.Integer("decode_timeout_ms", &decode_timeout_ms, 10, kHourMs, "time for one image");
  fields.Boolean("allow_unsandboxed", &allow_unsandboxed, "start even where the kernel refuses a seccomp filter");
}

void LlmWorkerSection::Declare(ConfigFields& fields) {
  fields.Text("name", &name, "unique in the cluster");
  fields.Text("model", &model, "which of `models` it serves, by name or alias; empty: the only one");
  fields.Address("listen", &listen, "address for gateways");
  fields.OptionalAddress("advertise", &advertise, "address that others dial; empty: the listen address");
  fields.OptionalAddress("metrics_listen", &metrics_listen, "address of /metrics; empty: none");
  fields.Address("scheduler", &scheduler, "address of the scheduler");
  fields.Integer("waiting_requests_max", &waiting_requests_max, 1, kMillion,
                 "activated requests that wait for embeddings or a step");
  fields.Bytes(
      "host_bytes_max", &host_bytes_max, kMiB, 64 * kTiB,
      "fetched embeddings and token ids of open requests; unless given, lowered at start where the machine has less",
      &host_bytes_given);
  fields.Integer("unread_ms_max", &unread_ms_max, 100, kHourMs, "a stream that nobody reads for so long is cancelled");
  fields.Integer("fetch_threads", &fetch_threads, 1, 256, "requests that pull embeddings at once");
  fields.Bytes("grammar_bytes_max", &grammar_bytes_max, kMiB, 64 * kTiB,
               "grammars of structured output: those in use, and others while there is room; unless given, lowered at "
               "start where the machine has less",
               &grammar_bytes_given);
}

void GatewaySection::Declare(ConfigFields& fields) {
  fields.Address("listen", &listen, "public address (a maintained HTTP/2 proxy belongs in front of it)");
  fields.OptionalAddress("http_listen", &http.listen, "address of the HTTP API; empty: none");
  fields.OptionalAddress("metrics_listen", &metrics_listen, "address of /metrics; empty: none");
  fields.Address("scheduler", &scheduler, "address of the scheduler");
  fields.Boolean("reflection", &reflection, "gRPC server reflection on the public port");
  fields.Boolean("explain", &explain,
                 "answer `headroom explain` on the public port: it names requests and tenants of the recent past");
  fields.Integer("max_tokens_default", &max_tokens_default, 1, kMillion, "max_tokens of a request that names none");
  fields.Integer("requests_running_max", &requests_running_max, 1, 65'536, "requests at once; one more is refused");
  fields.Bytes(
      "host_bytes_max", &host_bytes_max, kMiB, 64 * kTiB,
      "messages of open requests and the work on their text; unless given, lowered at start where the machine has less",
      &host_bytes_given);
  fields.Bytes("receive_bytes_max", &receive_bytes_max, 4096, 1024 * kMiB, "one request message");
  fields.Integer("images_max", &images_max, 0, 4096, "images of a request");
  fields.Integer("image_pixels_max", &image_pixels_max, 1, 1024 * kMillion, "width x height of an image");
  fields.Integer("image_side_max", &image_side_max, 1, 65'535, "longer side of an image, in pixels");
  fields.Choice("image_transparency", &image_transparency, {"white", "dropped"},
                "transparent pixels: on white; or alpha is dropped and the colours under it show, as the published "
                "preprocessor of MiniCPM-V has it");
  fields.Integer("deadline_ms_default", &deadline_ms_default, 1, 24 * kHourMs,
                 "deadline of a request that brings none");
  fields.Integer("queue_wait_ms_max", &queue_wait_ms_max, 1, 24 * kHourMs, "longest wait for admission");
  fields.Integer("unread_ms_max", &unread_ms_max, 100, kHourMs, "a client that does not read for so long is cancelled");
  fields.Text("http_hosts", &http.hosts,
              "names that Host may have, with commas between them; beside localhost, which is all that a listener on "
              "loopback answers to. On other addresses: any, unless names are given");
  fields.Text("http_origins", &http.origins,
              "origins of web pages that may use the HTTP API (https://app.example), with commas between them");
  fields.Integer("http_connections_max", &http.connections_max, 1, 1'000'000,
                 "HTTP connections at once; one more takes the place of the one that was idle for longest");
  fields.Bytes("http_head_bytes_max", &http.head_bytes_max, 1024, kMiB, "an HTTP request's line and headers");
  fields.Bytes("http_body_bytes_max", &http.body_bytes_max, 4096, 1024 * kMiB, "an HTTP request's body");
  fields.Integer("http_head_ms_max", &http.head_ms_max, 100, kHourMs, "time for an HTTP request's head to come");
  fields.Integer("http_body_ms_max", &http.body_ms_max, 100, kHourMs, "time for an HTTP request's body to come");
  fields.Integer("http_idle_ms_max", &http.idle_ms_max, 100, kHourMs,
                 "an HTTP connection without a request is kept for so long");
  fields.Choice("http_unknown_fields", &http.unknown_fields, {"refuse", "ignore"},
                "what becomes of a request's fields that docs/openai-api.md does not list; ignored ones are named in "
                "the header x-headroom-ignored");
}

std::vector<ClusterConfig::Section> ClusterConfig::Sections() {
  std::vector<Section> sections;
  auto add = [&sections](const std::string& name, auto& section, const std::string& help) {
    sections.push_back({name, help, {}});
    section.Declare(sections.back().fields);
  };
  add("cluster", cluster, "the cluster as a whole");
  add("log", log, "structured logs on stderr");
  add("model", model, "what is served, where it is one model");
  add("device", device, "the device of the workers in this process");
  add("knobs", knobs, "sizes that the memory plan works with; all optional");
  add("scheduler", scheduler, "admission");
  add("vision_worker", vision_worker, "images to embeddings");
  add("llm_worker", llm_worker, "tokens to tokens");
  add("gateway", gateway, "the public API");
  return sections;
}

absl::StatusOr<ClusterConfig> ParseConfig(const std::string& yaml, const std::string& name,
                                          const std::vector<std::string>& overrides) {
  ClusterConfig config;
  std::vector<ClusterConfig::Section> sections = config.Sections();
  try {
    HEADROOM_ASSIGN_OR_RETURN(const YAML::Node root, OneYamlDocument(yaml, name));
    HEADROOM_RETURN_IF_ERROR(ApplyYaml(root, name, sections, config));
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(YamlPosition(name, error.mark) + ": not YAML: " + error.msg);
  }
  for (const std::string& text : overrides) HEADROOM_RETURN_IF_ERROR(ApplyOverride(text, sections, config));
  HEADROOM_RETURN_IF_ERROR(CheckModels(config));
  return config;
}

absl::StatusOr<ClusterConfig> LoadConfig(const std::string& path, const std::vector<std::string>& overrides) {
  if (path.empty()) return ParseConfig("", "", overrides);
  HEADROOM_ASSIGN_OR_RETURN(const std::string yaml, ReadYamlFile(path));
  return ParseConfig(yaml, path, overrides);
}

std::string ConfigReference() {
  ClusterConfig defaults;
  ModelSection entry;
  std::vector<ClusterConfig::Section> sections = defaults.Sections();
  const auto after_model =
      std::find_if(sections.begin(), sections.end(), [](const auto& s) { return s.name == "device"; });
  const auto models =
      sections.insert(after_model, {"models", "several models: a list of these, in place of `model`", {}});
  entry.DeclareEntry(models->fields);
  std::ostringstream page;
  page << "# Configuration reference\n\nGenerated by `headroom config`; do not edit. One YAML file, a section per "
          "service. Every key is optional "
          "unless it has no default and the service needs it.\n";
  for (const ClusterConfig::Section& section : sections) {
    page << "\n## " << section.name << "\n\n"
         << section.help << "\n\n| key | type | default | allowed | meaning |\n| --- | --- | --- | --- | --- |\n";
    for (const ConfigFields::Field& field : section.fields.fields()) {
      page << "| `" << field.name << "` | " << field.type << " | "
           << (field.default_value.empty() ? "–" : field.default_value) << " | "
           << (field.bounds.empty() ? "any" : field.bounds) << " | " << field.help << " |\n";
    }
  }
  return page.str();
}

}  // namespace headroom
