// The one configuration file of a cluster: YAML, a section per service. Every binary checks all of it and reads its own
// section, so a typo in one section is found by whichever service starts first. Unknown sections and keys, wrong types
// and out-of-range values are errors with file and line. docs/configuration.md lists every key (generated from the
// declarations in config.cc by `headroom config`).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/config_fields.h"
#include "common/status.h"

namespace headroom {

struct ClusterSection {
  std::string id = "headroom";
  int64_t drain_ms_max = 30'000;
  void Declare(ConfigFields& fields);
};

struct LogSection {
  std::string level = "info";
  void Declare(ConfigFields& fields);
};

struct DeviceSection {
  std::string kind = "cpu";
  std::string isa = "auto";
  int64_t threads = 0;
  int64_t memory = int64_t{2} << 30;
  int64_t context_floor = 0;  // 0: the catalogue's; the next too
  int64_t libraries = 0;
  void Declare(ConfigFields& fields);
};

// The knobs keep the names that users of vLLM know. Absent ones are filled in by the memory plan.
struct KnobsSection {
  std::optional<int64_t> max_num_seqs;
  std::optional<int64_t> max_model_len;
  std::optional<int64_t> max_num_batched_tokens;
  std::optional<double> gpu_memory_utilization;
  std::optional<int64_t> block_size;
  std::optional<int64_t> max_patches_per_step;
  std::optional<int64_t> embedding_store_pages;
  std::string kv_cache_dtype = "auto";
  bool decode_graphs = true;
  void Declare(ConfigFields& fields);
};

// A model: the section `model` where there is one, an entry of the list `models` where there are several.
struct ModelSection {
  std::string name = {};  // empty: the last part of the path
  std::vector<std::string> aliases = {};
  std::string path = {};
  std::string dtype = "bf16";
  std::string chat_template = {};
  // Of an entry of the list alone.
  std::optional<double> share = {};  // of device.memory; absent: all of it
  KnobsSection knobs = {};           // what stands here wins over the section `knobs`

  void Declare(ConfigFields& fields);
  void DeclareEntry(ConfigFields& fields);
  // What clients call it.
  std::string Name() const;
  // Whether that or an alias is `called`.
  bool IsCalled(const std::string& called) const;
  // Its share of a device of so many bytes, in whole pages, so that shares sum to no more than the device.
  int64_t ShareOf(int64_t device_bytes) const;
};

// What gRPC may hold in one server. No key: a start lowers it where the machine has less, as it lowers a host_bytes_max
// that was not given (memory/host_budgets.h).
constexpr int64_t kGrpcBytesMax = int64_t{256} << 20;

struct SchedulerSection {
  std::string listen = "127.0.0.1:7701";
  std::string metrics_listen = "127.0.0.1:7711";
  int64_t queue_entries_max = 1024;
  int64_t queue_bytes_max = int64_t{16} << 20;
  int64_t grpc_bytes_max = kGrpcBytesMax;
  int64_t queue_wait_ms_max = 600'000;
  int64_t grant_ttl_ms = 10'000;
  int64_t heartbeat_ms = 500;
  int64_t worker_lost_ms = 5'000;
  int64_t worker_forget_ms = 600'000;
  int64_t startup_grace_ms = 3'000;
  int64_t overtakes_max = 16;
  int64_t history_bytes_max = int64_t{16} << 20;
  void Declare(ConfigFields& fields);
};

struct VisionWorkerSection {
  std::string name = "vision-0";
  std::string model;  // name or alias of an entry of `models`; empty: the only one
  std::string listen = "127.0.0.1:7702";
  std::string advertise;  // empty: the listen address
  std::string metrics_listen = "127.0.0.1:7712";
  std::string scheduler = "127.0.0.1:7701";
  int64_t images_in_flight_max = 64;
  int64_t patches_in_flight_max = 65'536;
  int64_t host_bytes_max = int64_t{1} << 30;
  bool host_bytes_given = false;
  int64_t grpc_bytes_max = kGrpcBytesMax;
  int64_t decoders = 1;
  int64_t decode_timeout_ms = 10'000;
  bool allow_unsandboxed = false;
  void Declare(ConfigFields& fields);
};

struct LlmWorkerSection {
  std::string name = "llm-0";
  std::string model;  // name or alias of an entry of `models`; empty: the only one
  std::string listen = "127.0.0.1:7703";
  std::string advertise;  // empty: the listen address
  std::string metrics_listen = "127.0.0.1:7713";
  std::string scheduler = "127.0.0.1:7701";
  int64_t waiting_requests_max = 1024;
  int64_t host_bytes_max = int64_t{1} << 30;
  bool host_bytes_given = false;
  int64_t grpc_bytes_max = kGrpcBytesMax;
  int64_t unread_ms_max = 60'000;
  int64_t fetch_threads = 4;
  int64_t grammar_bytes_max = int64_t{64} << 20;
  bool grammar_bytes_given = false;
  void Declare(ConfigFields& fields);
};

// The keys http_… of the gateway.
struct HttpKeys {
  std::string listen = "127.0.0.1:7720";
  std::string hosts;
  std::string origins;
  int64_t connections_max = 16'384;
  int64_t head_bytes_max = int64_t{16} << 10;
  int64_t body_bytes_max = int64_t{32} << 20;
  int64_t head_ms_max = 10'000;
  int64_t body_ms_max = 60'000;
  int64_t idle_ms_max = 60'000;
  std::string unknown_fields = "refuse";
};

struct GatewaySection {
  std::string listen = "127.0.0.1:7700";
  HttpKeys http;
  std::string metrics_listen = "127.0.0.1:7710";
  std::string scheduler = "127.0.0.1:7701";
  bool reflection = false;
  bool explain = true;
  int64_t max_tokens_default = 512;
  int64_t requests_running_max = 4096;
  int64_t host_bytes_max = int64_t{1} << 30;
  bool host_bytes_given = false;
  int64_t grpc_bytes_max = kGrpcBytesMax;
  int64_t receive_bytes_max = int64_t{20} << 20;
  int64_t images_max = 32;
  int64_t image_pixels_max = 64'000'000;
  int64_t image_side_max = 32'768;
  std::string image_transparency = "white";
  int64_t deadline_ms_default = 600'000;
  int64_t queue_wait_ms_max = 60'000;
  int64_t unread_ms_max = 60'000;
  void Declare(ConfigFields& fields);
};

struct ClusterConfig {
  ClusterSection cluster;
  LogSection log;
  ModelSection model;                // of a worker: the one that it serves
  std::vector<ModelSection> models;  // empty: `model` is the only one
  DeviceSection device;
  KnobsSection knobs;
  SchedulerSection scheduler;
  VisionWorkerSection vision_worker;
  LlmWorkerSection llm_worker;
  GatewaySection gateway;

  struct Section {
    std::string name;
    std::string help;
    ConfigFields fields;
  };
  // The declared sections, bound to this object, in file order; `models` is not among them.
  std::vector<Section> Sections();

  // All models of the cluster: the list, or the one.
  std::vector<ModelSection> Models() const { return models.empty() ? std::vector{model} : models; }
};

inline constexpr size_t kModelsMax = 64;

// The configuration as a worker of one model reads it: `model` is the one of that name or alias (empty: the only one),
// `knobs` and `device.memory` are its own, and there are no others. `key` names the setting that chose, for errors.
absl::StatusOr<ClusterConfig> ConfigOfModel(const ClusterConfig& config, const std::string& name,
                                            const std::string& key);
// For models that share one device: INVALID_ARGUMENT with the keys when their shares are more than all of it.
absl::Status CheckShares(const ClusterConfig& config);

// Reads `path` (empty: defaults only), then applies overrides of the form "section.key=value", in order. The file may
// have at most 1 MiB.
absl::StatusOr<ClusterConfig> LoadConfig(const std::string& path, const std::vector<std::string>& overrides);
// The same from text; `name` stands in error positions.
absl::StatusOr<ClusterConfig> ParseConfig(const std::string& yaml, const std::string& name,
                                          const std::vector<std::string>& overrides);

// The reference page in Markdown.
std::string ConfigReference();

}  // namespace headroom
