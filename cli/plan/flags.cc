#include "cli/plan/flags.h"

#include "common/status.h"

namespace headroom::cli {

void PlanFlags::Declare(Flags& flags) {
  memory::Knobs& knobs = options.knobs;
  flags.Repeated("device", &options.devices, "rtx3090, l40s, h100, … or cpu:24GiB, cuda:48GiB; see --list-devices");
  flags.Text("devices", &options.devices_file, "YAML file with more devices, in the form of deploy/devices.yaml");
  flags.Text("config", &config_path, "YAML file of the services: model, device and knobs from there");
  flags.Repeated("set", &overrides, "section.key=value, over the file");
  flags.Text("role", &options.role, "all, vision or llm");
  flags.Text("dtype", &options.dtype, "bf16 or fp32");
  flags.Text("isa", &options.isa, "instruction set of a CPU: auto, avx2, avx512, avx512_bf16, amx");
  flags.OptionalInteger("max-num-seqs", &knobs.max_num_seqs, "sequences at a time");
  flags.OptionalInteger("max-model-len", &knobs.max_model_len, "tokens of prompt and answer");
  flags.OptionalInteger("max-num-batched-tokens", &knobs.max_num_batched_tokens, "tokens of an llm step");
  flags.OptionalInteger("max-patches-per-step", &knobs.max_patches_per_step, "patches of a vision step");
  flags.OptionalInteger("embedding-store-pages", &knobs.embedding_store_pages,
                        "pages of 32 rows that a vision-worker keeps");
  flags.OptionalInteger("block-size", &knobs.block_size, "tokens of a KV block");
  flags.OptionalNumber("gpu-memory-utilization", &knobs.gpu_memory_utilization, "share of the device, (0, 1]");
  flags.OptionalInteger("tensor-parallel-size", &knobs.tensor_parallel_size, "devices that share the decoder");
  flags.OptionalInteger("full-length-seqs", &full_length_seqs, "sequences of max_model_len that must fit in full");
  flags.Text("kv-cache-dtype", &options.kv_cache_dtype, "auto, bf16, fp32 or fp8");
  flags.Text("quantization", &options.quantization, "none, int8, fp8, int4-g32, int4-g64 or int4-g128");
  flags.Text("other-processes", &options.other_processes, "device memory that others use, as in 2GiB");
}

absl::StatusOr<std::vector<Plans>> PlanFlags::Make() {
  options.knobs.min_full_length_seqs = full_length_seqs.value_or(1);
  HEADROOM_ASSIGN_OR_RETURN(const ClusterConfig config, LoadConfig(config_path, overrides));
  return MakePlans(config, options);
}

absl::StatusOr<Plans> PlanFlags::MakeOne() {
  options.knobs.min_full_length_seqs = full_length_seqs.value_or(1);
  HEADROOM_ASSIGN_OR_RETURN(const ClusterConfig config, LoadConfig(config_path, overrides));
  return MakeOnePlan(config, options);
}

}  // namespace headroom::cli
