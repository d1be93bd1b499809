#include "tools/golden_check/golden_check.h"

#include <algorithm>

#include "model/spec.h"
#include "tools/golden_check/case_check.h"
#include "tools/golden_check/checked_model.h"
#include "tools/golden_check/golden_case.h"
#include "tools/golden_check/picture.h"
#include "tools/golden_check/prompt_ids.h"
#include "tools/golden_check/report.h"

namespace headroom::tools {
namespace {

using Print = std::function<void(const std::string&)>;

struct NamedCase {
  std::string name;
  absl::StatusOr<GoldenCase> golden;
};

// The cases in the order asked for; all when none was named. A case that cannot be read does not stop the others.
absl::StatusOr<std::vector<NamedCase>> LoadCases(const CheckOptions& options) {
  HEADROOM_ASSIGN_OR_RETURN(std::vector<std::string> names, ListCases(options.directory));
  for (const std::string& name : options.cases) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      return absl::InvalidArgumentError(absl::StrCat("no case '", name, "' in ", options.directory, "/expected"));
    }
  }
  if (!options.cases.empty()) names = options.cases;
  std::vector<NamedCase> cases;
  for (const std::string& name : names) cases.push_back({name, LoadCase(options.directory, name)});
  return cases;
}

// Patches of the largest piece of the case; 0 when a picture cannot be read, which the case itself will say.
int64_t LargestPiece(const CheckOptions& options, const model::ModelSpec& config, const GoldenCase& golden) {
  int64_t patches = 0;
  for (const GoldenMessage& message : golden.messages) {
    for (const MessagePart& part : message.parts) {
      if (!part.is_image || !config.encoder.has_value()) continue;
      const auto geometry = ProbePicture(options.directory, part.value, config, golden.max_slice_nums);
      if (geometry.ok()) patches = std::max(patches, geometry->largest_piece_patches());
    }
  }
  return patches;
}

// Sizes that hold every case.
ModelOptions SizeModel(const CheckOptions& options, const model::ModelSpec& config,
                       const std::vector<NamedCase>& cases) {
  ModelOptions sized = {.directory = options.directory,
                        .compute = options.compute,
                        .device = options.device,
                        .create_device = options.create_device,
                        .max_model_len = 1,
                        .max_num_batched_tokens = options.max_num_batched_tokens,
                        .max_patches_per_step = options.max_patches_per_step,
                        .block_size = options.block_size};
  for (const NamedCase& named : cases) {
    if (!named.golden.ok()) continue;
    const int64_t tokens = static_cast<int64_t>(named.golden->prompt_ids.size() + named.golden->greedy_ids.size());
    sized.max_model_len = std::max(sized.max_model_len, tokens);
    sized.max_patches_per_step = std::max(sized.max_patches_per_step, LargestPiece(options, config, *named.golden));
  }
  return sized;
}

// Prints one line when the directory has tokenizer strings; false when some differ.
absl::StatusOr<bool> CheckTokenizer(const std::string& directory, const model::Tokenizer& tokenizer,
                                    const Print& print) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<TokenizerString> strings, LoadTokenizerStrings(directory));
  if (strings.empty()) return true;
  size_t equal = 0;
  for (const TokenizerString& string : strings) {
    const absl::StatusOr<std::vector<int32_t>> ids = tokenizer.Encode(string.text, model::AddedTokens::kAll);
    equal += ids.ok() && *ids == string.ids && tokenizer.Decode(string.ids, false) == string.decoded ? 1 : 0;
  }
  print(absl::StrCat("tokenizer: ", equal, " of ", strings.size(), " strings equal, ids and decoded text",
                     equal == strings.size() ? "" : " !", "\n"));
  return equal == strings.size();
}

std::string Title(const CheckOptions& options, const ModelOptions& sized, const CheckedModel& model) {
  std::string title = absl::StrCat(options.directory, ": ", model.config.family, ", ", DTypeName(options.compute), ", ",
                                   model.device->Describe(), ", ", sized.max_num_batched_tokens, " tokens");
  if (model.encoder != nullptr) absl::StrAppend(&title, " or ", sized.max_patches_per_step, " patches");
  return title + " a step\n";
}

}  // namespace

absl::StatusOr<CheckSummary> RunGoldenCheck(const CheckOptions& options, const Print& print) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<NamedCase> cases, LoadCases(options));
  HEADROOM_ASSIGN_OR_RETURN(const model::ModelSpec config, model::LoadServedModel(options.directory));
  HEADROOM_ASSIGN_OR_RETURN(const PromptIds prompt_ids, PromptIds::Load(options.directory, config));
  const ModelOptions sized = SizeModel(options, config, cases);
  HEADROOM_ASSIGN_OR_RETURN(CheckedModel model, LoadCheckedModel(config, sized));

  size_t width = 4;
  for (const NamedCase& named : cases) width = std::max(width, named.name.size());
  print(Title(options, sized, model) + ReportHeader(options.compute, width));
  CheckSummary summary;
  for (const NamedCase& named : cases) {
    const absl::StatusOr<CaseResult> result =
        named.golden.ok() ? CheckCase(options.directory, *named.golden, model, prompt_ids) : named.golden.status();
    if (!result.ok()) {
      ++summary.broken;
      print(absl::StrCat(named.name, "  cannot be run: ", std::string(result.status().message()), "\n"));
      continue;
    }
    ++(result->passed() ? summary.within : summary.past);
    print(ReportLine(*result, options.compute, width));
  }
  HEADROOM_ASSIGN_OR_RETURN(summary.tokenizer_equal, CheckTokenizer(options.directory, prompt_ids.tokenizer(), print));
  print(absl::StrCat(cases.size(), " cases: ", summary.within, " within tolerance, ", summary.past, " past it, ",
                     summary.broken, " could not be run\n"));
  return summary;
}

}  // namespace headroom::tools
