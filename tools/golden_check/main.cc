// golden_check DIR: does this build compute what the reference computed? See --help.
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "common/flags.h"
#include "runtime/device.h"
#include "tools/golden_check/golden_check.h"

namespace headroom::tools {
namespace {

constexpr int kPassed = 0, kPastTolerance = 1, kCannotRun = 2;

constexpr const char* kDescription =
    "Runs the cases of a golden directory (a model in the Hugging Face layout and a folder expected/ with what the\n"
    "reference code made of it) and prints, case by case: whether pixels and prompt ids are equal, the relative L2\n"
    "error of vision tower, resampler, prompt logits, step logits (steps forced along the reference's ids) and prompt\n"
    "log-probabilities, and how far the own greedy ids follow the reference; they are judged up to the first step\n"
    "whose two best logits are closer than 0.01.\n"
    "\n"
    "Tolerance: fp32, every error at most 1e-4 and ids equal; bf16, every error at most 1.5 times that of the\n"
    "reference's own bf16 run (0.02 where the case gives none), own ids printed only.\n"
    "\n"
    "Without CASE all cases run. Exit status: 0 within tolerance, 1 past it, 2 when a case could not be run.\n";

absl::StatusOr<CheckOptions> ParseOptions(const std::vector<std::string>& arguments, std::string* help) {
  CheckOptions options;
  std::string dtype = "fp32";
  options.device.isa = "auto";
  std::optional<int64_t> threads, tokens, patches, block_size;
  Flags flags("golden_check [flags] DIR [CASE…]", kDescription);
  flags.Text("dtype", &dtype, "compute type: fp32 or bf16");
  flags.Text("device", &options.device.kind, "device to compute on: cpu or cuda");
  flags.Text("isa", &options.device.isa, "instruction set: auto, avx2, avx512, avx512_bf16 or amx");
  flags.OptionalInteger("threads", &threads, "threads of the compute team (default: all processors)");
  flags.OptionalInteger("max-num-batched-tokens", &tokens,
                        "tokens of a decoder step; longer prompts are computed in chunks (default 512)");
  flags.OptionalInteger("max-patches-per-step", &patches,
                        "patches of an encoder step; raised to the largest piece (default 4096)");
  flags.OptionalInteger("block-size", &block_size, "tokens of a KV block (default 16)");
  *help = flags.Help();
  HEADROOM_ASSIGN_OR_RETURN(std::vector<std::string> rest, flags.Parse(arguments));
  if (rest.empty()) return absl::InvalidArgumentError("wants a directory; see --help");
  options.directory = rest.front();
  options.cases.assign(rest.begin() + 1, rest.end());
  if (dtype != "fp32" && dtype != "bf16") {
    return absl::InvalidArgumentError(absl::StrCat("--dtype is fp32 or bf16, got '", dtype, "'"));
  }
  options.compute = dtype == "fp32" ? DType::kF32 : DType::kBF16;
  const auto take = [](const char* name, const std::optional<int64_t>& value, int64_t max,
                       int64_t* place) -> absl::Status {
    if (!value.has_value()) return absl::OkStatus();
    if (*value < 1 || *value > max) {
      return absl::InvalidArgumentError(absl::StrCat("--", name, " is 1 to ", max, ", got ", *value));
    }
    *place = *value;
    return absl::OkStatus();
  };
  int64_t team = options.device.threads;
  HEADROOM_RETURN_IF_ERROR(take("threads", threads, 1024, &team));
  HEADROOM_RETURN_IF_ERROR(take("max-num-batched-tokens", tokens, 1 << 20, &options.max_num_batched_tokens));
  HEADROOM_RETURN_IF_ERROR(take("max-patches-per-step", patches, 1 << 20, &options.max_patches_per_step));
  HEADROOM_RETURN_IF_ERROR(take("block-size", block_size, 256, &options.block_size));
  options.device.threads = static_cast<int>(team);
  return options;
}

int Main(const std::vector<std::string>& arguments) {
  std::string help;
  const absl::StatusOr<CheckOptions> options = ParseOptions(arguments, &help);
  if (absl::IsCancelled(options.status())) {
    std::fputs(help.c_str(), stdout);
    return kPassed;
  }
  const auto print = [](const std::string& text) {
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
  };
  const absl::StatusOr<CheckSummary> summary = options.ok() ? RunGoldenCheck(*options, print) : options.status();
  if (!summary.ok()) {
    std::fprintf(stderr, "golden_check: %s\n", std::string(summary.status().message()).c_str());
    return kCannotRun;
  }
  if (summary->broken > 0) return kCannotRun;
  return summary->passed() ? kPassed : kPastTolerance;
}

}  // namespace
}  // namespace headroom::tools

int main(int argc, char** argv) {
  headroom::runtime::PrepareProcess(argv);
  return headroom::tools::Main(std::vector<std::string>(argv + 1, argv + argc));
}
