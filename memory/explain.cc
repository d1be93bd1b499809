#include "memory/explain.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <utility>
#include <vector>

#include "common/embedding_pages.h"
#include "common/status.h"
#include "common/utf8.h"
#include "memory/alignment.h"
#include "memory/plan_sizing.h"
#include "memory/rank_share.h"

namespace headroom::memory {
namespace {

// One summand: `numbers` evaluates to `bytes`.
struct Term {
  std::string name;
  std::string symbols;
  std::string numbers;
  int64_t bytes = 0;
};

// Terms that lie in memory together.
struct Group {
  std::string title;
  std::vector<Term> terms;
  int64_t Bytes() const {
    int64_t bytes = 0;
    for (const Term& term : terms) bytes += term.bytes;
    return bytes;
  }
};

std::string Sum(const std::vector<Term>& terms) {
  std::string text;
  for (const Term& term : terms) absl::StrAppend(&text, text.empty() ? "" : " + ", term.bytes);
  return text.empty() ? "0" : text;
}

// In columns; × takes two bytes and one column.
std::string Padded(const std::string& text, size_t width) {
  const size_t columns = CountCharacters(text);
  return columns < width ? text + std::string(width - columns, ' ') : text;
}

std::string Row(const Term& term) {
  return "    " + Padded(term.name, 34) + "  " + Padded(term.symbols, 40) + "  " + term.numbers +
         absl::StrCat(" = ", term.bytes, "\n");
}

std::string Rows(const Group& group) {
  std::string text = "  " + group.title + "\n";
  for (const Term& term : group.terms) text += Row(term);
  return text;
}

std::string Title(const Plan& plan, Component component) {
  std::array<char, 160> text{};
  const int64_t bytes = plan.Bytes(component);
  snprintf(text.data(), text.size(), "%s: %lld bytes, %.3f GiB of %s\n", ComponentTitle(component),
           static_cast<long long>(bytes), static_cast<double>(bytes) / (int64_t{1} << 30), plan.device.c_str());
  return text.data();
}

std::string Result(const std::string& numbers, int64_t bytes) {
  return absl::StrCat("  = ", numbers, "\n  = ", bytes, " bytes\n");
}

// A buffer of a step.
Term BufferTerm(const StepBuffer& buffer) {
  const int64_t bytes = AlignUp(buffer.bytes());
  if (*buffer.columns_name == '\0') {
    return {buffer.name, "as the kernels ask", absl::StrCat("align(", buffer.bytes(), ")"), bytes};
  }
  return {buffer.name,
          absl::StrCat("align(", buffer.rows_name, " × ", buffer.columns_name, " × ", DTypeName(buffer.type), ")"),
          absl::StrCat("align(", buffer.rows, " × ", buffer.columns, " × ", SizeOf(buffer.type), ")"), bytes};
}

Group PhaseGroup(const StepPhase& phase) {
  Group group{phase.title, {}};
  for (const StepBuffer& buffer : phase.buffers) group.terms.push_back(BufferTerm(buffer));
  return group;
}

// ---- weights

// "llm.layers.7.qkv.weight" → "llm.layers.*.qkv.weight".
std::string WithoutNumbers(const std::string& name) {
  std::string text;
  for (const char c : name) {
    const bool digit = std::isdigit(static_cast<unsigned char>(c)) != 0;
    const bool after_dot = text.empty() || text.back() == '.';
    if (digit && (after_dot || text.back() == '*')) {
      if (after_dot) text += '*';
      continue;
    }
    text += c;
  }
  return text;
}

// Of a quantized matrix: rows of whole bytes, scales, zero points as wide as elements.
Term Quantized(const model::TensorSpec& tensor, const model::WeightFormat& format, DType compute) {
  const int64_t bits = ElementBits(format, compute), rows = tensor.rows, cols = tensor.cols;
  const auto tiles = [](int64_t size, int64_t shared) {
    return shared == 0   ? std::string("1")
           : shared == 1 ? absl::StrCat(size)
                         : absl::StrCat("ceil(", size, " / ", shared, ")");
  };
  const std::string scales = tiles(rows, format.scale_rows) + " × " + tiles(cols, format.scale_cols);
  Term term{.name = tensor.name, .symbols = "align(rows × columns/8 × bits + scales × ", .numbers = {}};
  absl::StrAppend(&term.symbols, format.scale_bytes);
  term.numbers =
      absl::StrCat("align(", rows, " × ceil(", cols, " × ", bits, " / 8) + ", scales, " × ", format.scale_bytes);
  if (format.zero_points) {
    term.symbols += " + zero points";
    absl::StrAppend(&term.numbers, " + ceil(", scales, " × ", bits, " / 8)");
  }
  term.symbols += ")";
  term.numbers += ")";
  return term;
}

Term Weight(const model::TensorSpec& tensor, const model::WeightFormat& format, DType compute) {
  const int64_t rows = tensor.rows, cols = tensor.cols;
  Term term{.name = tensor.name, .symbols = {}, .numbers = {}};
  if (format.quantized()) {
    term = Quantized(tensor, format, compute);
  } else {
    const DType type = format.kind == model::WeightFormat::Kind::kF32 ? DType::kF32 : compute;
    term.symbols = absl::StrCat("align(rows × columns × ", DTypeName(type), ")");
    term.numbers = absl::StrCat("align(", rows, " × ", cols, " × ", SizeOf(type), ")");
  }
  if (tensor.count != 1) {
    term.symbols = "count × " + term.symbols;
    term.numbers = absl::StrCat(tensor.count, " × ", term.numbers);
  }
  term.bytes = tensor.count * AlignUp(model::MatrixBytes(format, rows, cols, compute));
  return term;
}

std::string ExplainWeights(const Plan& plan, const model::ModelSpec& spec, const PlanRequest& request,
                           model::WeightPart part) {
  // Equal matrices of different layers become one term.
  std::vector<std::pair<model::TensorSpec, model::WeightFormat>> merged;
  for (const model::TensorSpec& whole : spec.tensors) {
    if (whole.part != part) continue;
    model::TensorSpec tensor = RankTensor(spec, whole, plan.tensor_parallel_size);
    const model::WeightFormat format = PlannedFormat(tensor, request.knobs.quantization);
    tensor.name = WithoutNumbers(tensor.name);
    const auto same = std::find_if(merged.begin(), merged.end(), [&](const auto& other) {
      return other.first.name == tensor.name && other.first.rows == tensor.rows && other.first.cols == tensor.cols &&
             other.second == format;
    });
    if (same == merged.end()) {
      merged.emplace_back(std::move(tensor), format);
    } else {
      same->first.count += tensor.count;
    }
  }
  Group group{plan.tensor_parallel_size > 1
                  ? absl::StrCat("what rank ", plan.rank, " of ", plan.tensor_parallel_size, " holds of each matrix")
                  : std::string("each matrix starts at a multiple of 64 bytes"),
              {}};
  for (const auto& [tensor, format] : merged) group.terms.push_back(Weight(tensor, format, plan.compute));
  return Rows(group) + Result(Sum(group.terms), group.Bytes());
}

// ---- workspaces

// Buffers of their own, then one memory for whichever phase is the largest, then scratch.
std::string ExplainStep(const StepBuffers& step) {
  const Group whole = PhaseGroup(step.whole), scratch = PhaseGroup(step.scratch);
  std::string text = Rows(whole) + "  one memory for what never lives together; the largest counts\n";
  std::string largest;
  int64_t most = 0;
  for (const StepPhase& phase : step.phases) {
    const Group group = PhaseGroup(phase);
    std::string rows = Rows(group);
    rows.pop_back();
    absl::StrAppend(&text, rows, "\n    together ", Sum(group.terms), " = ", group.Bytes(), "\n");
    absl::StrAppend(&largest, largest.empty() ? "" : ", ", group.Bytes());
    most = std::max(most, group.Bytes());
  }
  text += Rows(scratch);
  const std::string numbers = absl::StrCat(Sum(whole.terms), " + max(", largest, ") + ", Sum(scratch.terms));
  return text + Result(numbers, whole.Bytes() + most + scratch.Bytes());
}

// ---- pools and the rest

std::string ExplainKvPool(const Plan& plan, const PlanRequest& request) {
  const KvLayout& kv = plan.kv;
  const int64_t element = SizeOf(kv.dtype()), bytes = plan.Bytes(Component::kKvPool);
  std::string text = absl::StrCat("  = blocks × ", kv.vectors() == 2 ? "(K and V)" : "latent",
                                  " × layers × align(heads × head_dim × block_size × ", DTypeName(kv.dtype()), ")\n");
  text += Result(absl::StrCat(plan.kv_blocks, " × ", kv.vectors(), " × ", kv.layers(), " × align(", kv.kv_heads(),
                              " × ", kv.head_dim(), " × ", kv.block_size(), " × ", element, ")"),
                 bytes);
  const double utilization = plan.knobs.gpu_memory_utilization;
  const auto usable = static_cast<int64_t>(static_cast<double>(plan.device_bytes) * utilization);
  int64_t others = 0;
  for (const PlanLine& line : plan.lines) {
    const bool fixed = line.component != Component::kKvPool && line.component != Component::kHeadroom &&
                       line.component != Component::kAlignment;
    if (fixed) others += line.bytes;
  }
  const int64_t communication = plan.Bytes(Component::kCommunication);
  others += AlignUp(communication) - communication;
  absl::StrAppend(&text, "  where blocks = what the other lines leave of ", usable, " bytes",
                  utilization < 1 ? " (the utilization's share of the device)" : "",
                  " less the largest rounding to whole pages\n    floor((", usable, " - ", others, " - ",
                  kPageBytes - 1, ") / ", kv.BlockBytes(), ")",
                  plan.tensor_parallel_size > 1 ? ", or less where another rank has less room" : "", "\n");
  const int64_t per_sequence = kv.BlocksFor(std::max<int64_t>(1, plan.knobs.max_model_len));
  absl::StrAppend(&text, "  a sequence of ", plan.knobs.max_model_len, " tokens takes ", per_sequence, " blocks, ",
                  per_sequence * kv.BlockBytes(), " bytes; ", plan.full_length_seqs, " of them fit, at least ",
                  request.knobs.min_full_length_seqs, " must\n");
  return text;
}

std::string ExplainStore(const Plan& plan, const model::EncoderShape& encoder) {
  return absl::StrCat("  = pages × rows of a page × hidden × ", DTypeName(plan.compute), "\n") +
         Result(absl::StrCat(plan.knobs.embedding_store_pages, " × ", kEmbeddingPageRows, " × ", encoder.out, " × ",
                             SizeOf(plan.compute)),
                plan.Bytes(Component::kEmbeddingStore)) +
         absl::StrCat("  a piece of ", encoder.usual_rows, " rows takes ", EmbeddingPages(encoder.usual_rows),
                      " pages\n");
}

std::string ExplainSum(const std::vector<Term>& terms, int64_t bytes) {
  std::string text;
  for (const Term& term : terms) text += Row(term);
  return text + Result(Sum(terms), bytes);
}

Term Given(const std::string& name, int64_t bytes) { return {name, "as declared", absl::StrCat(bytes), bytes}; }

std::string ExplainAlignment(const Plan& plan) {
  const int64_t communication = plan.Bytes(Component::kCommunication);
  const int64_t lost = AlignUp(communication) - communication;
  const int64_t pages = plan.Bytes(Component::kAlignment) - lost;
  const int64_t arena = plan.arena_bytes - pages;
  return ExplainSum({{"communication to a multiple of 64", "align(bytes) - bytes",
                      absl::StrCat("align(", communication, ") - ", communication), lost},
                     {"the arena to whole pages", "ceil(arena / page) × page - arena",
                      absl::StrCat("ceil(", arena, " / ", kPageBytes, ") × ", kPageBytes, " - ", arena), pages}},
                    plan.Bytes(Component::kAlignment));
}

std::string ExplainHeadroom(const Plan& plan) {
  std::string numbers = absl::StrCat(plan.device_bytes);
  for (const PlanLine& line : plan.lines) {
    if (line.component != Component::kHeadroom && line.bytes > 0) absl::StrAppend(&numbers, " - ", line.bytes);
  }
  return "  = device - every other line\n" + Result(numbers, plan.Bytes(Component::kHeadroom));
}

std::string ExplainOutside(const Plan& plan, const model::ModelSpec& spec, const PlanRequest& request,
                           Component component) {
  const DeviceSpec& device = request.device;
  const int64_t bytes = plan.Bytes(component);
  const bool ranks = plan.tensor_parallel_size > 1;
  if (component == Component::kLibraries) {
    // What the kernels keep depends on the sizes of the steps, and only the device can say it: it is the rest.
    const int64_t parallel = ranks ? device.parallel_library_bytes : 0;
    std::vector<Term> terms = {
        Given("of the kernels: compiled products of the steps", bytes - device.library_bytes - parallel),
        Given("of the device's libraries", device.library_bytes)};
    if (ranks) terms.push_back(Given("of tensor parallelism", parallel));
    return ExplainSum(terms, bytes);
  }
  if (component == Component::kCommunication) {
    std::vector<Term> terms = {Given("of the kernels", request.kernels.communication_bytes)};
    if (ranks) {
      const int64_t hidden = RankDecoder(spec, plan.tensor_parallel_size).hidden, rows = plan.llm_step.token_rows;
      terms.push_back({"sums across ranks, in and out", "2 × token rows × hidden × fp32",
                       absl::StrCat("2 × ", rows, " × ", hidden, " × 4"), 2 * rows * hidden * 4});
    }
    return ExplainSum(terms, bytes);
  }
  if (component == Component::kGraphs) {
    return ExplainSum({Given("of the device, for its decode steps", bytes)}, bytes);
  }
  const bool floor = component == Component::kContextFloor;
  return ExplainSum({Given(floor ? "driver, context, the process" : "what others use of the device", bytes)}, bytes);
}

}  // namespace

std::optional<Component> FindComponent(const std::string& name) {
  const auto plain = [](const std::string& text) {
    std::string result;
    for (const char c : text) {
      if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
        result += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      }
    }
    return result;
  };
  for (const Component component : AllComponents()) {
    if (plain(ComponentLabel(component)) == plain(name)) return component;
  }
  return std::nullopt;
}

std::string ExplainLine(const Plan& plan, const model::ModelSpec& spec, const PlanRequest& request,
                        Component component) {
  const std::string title = Title(plan, component);
  const bool outside = component == Component::kLibraries || component == Component::kGraphs ||
                       component == Component::kCommunication || component == Component::kContextFloor ||
                       component == Component::kOtherProcesses;
  if (outside) return title + ExplainOutside(plan, spec, request, component);
  if (component == Component::kHeadroom) return title + ExplainHeadroom(plan);
  if (component == Component::kAlignment) return title + ExplainAlignment(plan);
  if (plan.Bytes(component) == 0) return title + "  this device does nothing that needs it\n" + Result("0", 0);
  for (int i = 0; i < model::kWeightParts; ++i) {
    const auto part = static_cast<model::WeightPart>(i);
    if (WeightComponent(part) == component) return title + ExplainWeights(plan, spec, request, part);
  }
  if (component == Component::kKvPool) return title + ExplainKvPool(plan, request);
  if (component == Component::kEmbeddingStore) return title + ExplainStore(plan, *spec.encoder);
  if (component == Component::kVisionWorkspace) return title + ExplainStep(plan.vision_step.buffers);
  return title + ExplainStep(plan.llm_step.buffers);
}

}  // namespace headroom::memory
