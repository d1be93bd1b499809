#include "tools/golden_check/case_check.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <span>
#include <utility>

#include "model/sha256.h"
#include "tools/golden_check/picture.h"
#include "tools/golden_check/sequence_run.h"
#include "vision-worker/image/cut.h"

namespace headroom::tools {
namespace {

constexpr double kFp32Limit = 1e-4;
constexpr double kBf16Factor = 1.5;
constexpr double kBf16LimitDefault = 0.02;
constexpr double kGapMin = 0.01;

// ‖got − wanted‖ / ‖wanted‖, row by row.
class RelativeError {
 public:
  void Add(std::span<const float> got, std::span<const float> wanted) {
    for (size_t i = 0; i < wanted.size(); ++i) {
      const double difference = double{got[i]} - wanted[i];
      difference2_ += difference * difference;
      wanted2_ += double{wanted[i]} * wanted[i];
    }
  }
  double value() const { return difference2_ == 0 ? 0 : std::sqrt(difference2_ / wanted2_); }

 private:
  double difference2_ = 0, wanted2_ = 0;
};

std::span<const float> Row(const ExpectedTensor& tensor, size_t row) {
  const size_t width = static_cast<size_t>(tensor.row_values());
  return std::span<const float>(tensor.values).subspan(row * width, width);
}

std::string Hex(const std::string& bytes) {
  std::string text;
  for (const unsigned char byte : bytes) {
    char pair[3];
    std::snprintf(pair, sizeof pair, "%02x", byte);
    text += pair;
  }
  return text;
}

std::string Sha256Hex(const std::vector<uint8_t>& bytes) {
  model::Sha256 hash;
  hash.Update(bytes.data(), bytes.size());
  return Hex(hash.Finish());
}

// log-probability of token `id`.
float LogProbability(std::span<const float> logits, int32_t id) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return static_cast<float>(logits[id] - largest - std::log(sum));
}

class Checker {
 public:
  Checker(const std::string& directory, const GoldenCase& golden, CheckedModel& model)
      : directory_(directory), golden_(golden), model_(model) {
    result_.name = golden.name;
  }

  absl::StatusOr<CaseResult> Run(const PromptIds& prompt_ids) {
    HEADROOM_RETURN_IF_ERROR(CheckShapes());
    HEADROOM_RETURN_IF_ERROR(ReadPictures());
    HEADROOM_RETURN_IF_ERROR(ComparePrompt(prompt_ids));
    if (!pieces_fit_) return std::move(result_);
    ComparePixels();
    HEADROOM_RETURN_IF_ERROR(Encode());
    HEADROOM_RETURN_IF_ERROR(Decode());
    return std::move(result_);
  }

 private:
  absl::Status CheckShapes() const;
  int64_t RowsOf(size_t piece) const;  // tokens
  int64_t TowerPlace(int64_t piece, int64_t patch) const;
  absl::Status ReadPictures();
  absl::Status ComparePrompt(const PromptIds& prompt_ids);
  void ComparePixels();
  absl::Status Encode();
  absl::Status EncodeStep(size_t begin, size_t end);
  absl::Status Decode();
  absl::Status Prefill(SequenceRun& run, std::vector<float>& last_logits);
  absl::Status ForceGreedy(SequenceRun& run, const std::vector<float>& first_logits);
  absl::Status OwnGreedy(SequenceRun& run, std::vector<float> logits);
  void Record(const std::string& tensor, double error, std::optional<Measured>& place);
  void Complain(const std::string& what) { result_.complaints.push_back(what); }

  const std::string& directory_;
  const GoldenCase& golden_;
  CheckedModel& model_;
  CaseResult result_;

  std::vector<model::PieceGeometry> pictures_;
  std::vector<vision_worker::PiecePixels> pieces_;
  bool pieces_fit_ = true;  // as many pieces, of the same sizes, as the reference
  std::vector<float> tower_rows_;
  std::vector<float> embeddings_;  // [rows of all pieces, hidden]
};

// The golden data of HunyuanOCR count patches line by line, as its processor gives them; the tower takes blocks.
int64_t Checker::TowerPlace(int64_t piece, int64_t patch) const {
  const auto& merging = model_.config.merging;
  if (!merging || merging->merger != model::MergingTower::Merger::kLines) return patch;
  const int64_t cols = golden_.tgt_sizes[static_cast<size_t>(piece)][1];
  return vision_worker::PlaceInBlocks(patch / cols, patch % cols, cols, model_.config.resize.merge);
}

int64_t Checker::RowsOf(size_t piece) const {
  const auto& [rows, cols] = golden_.tgt_sizes[piece];
  return model_.encoder->RowsOf({static_cast<int>(rows), static_cast<int>(cols)});
}

absl::Status Checker::CheckShapes() const {
  const model::ModelSpec& config = model_.config;
  std::map<std::string, int64_t> widths = {
      {"logits_prompt", config.llm.vocab_size}, {"logits_steps", config.llm.vocab_size}, {"prompt_logprobs", 1}};
  if (config.merging.has_value()) {
    widths["vision"] = config.merging->hidden_size;
    widths["merger"] = config.merging->out;
  } else if (config.vision.has_value()) {
    widths["vision"] = config.vision->hidden_size;
    widths["resampler"] = config.resampler.query_num * config.llm.hidden_size;
  } else if (golden_.images() > 0 || !golden_.image_bounds.empty()) {
    return absl::InvalidArgumentError("the case has pictures, but the model has no vision tower");
  }
  for (const auto& [name, width] : widths) {
    const ExpectedTensor* tensor = golden_.Tensor(name);
    if (tensor != nullptr && tensor->rows() > 0 && tensor->row_values() != width) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", name, " has ", tensor->row_values(), " values a row, the model gives ", width));
    }
  }
  if (golden_.Tensor("logits_steps") == nullptr) return absl::InvalidArgumentError("tensor logits_steps is missing");
  for (const std::vector<int32_t>* ids : {&golden_.prompt_ids, &golden_.greedy_ids}) {
    for (const int32_t id : *ids) {
      if (id >= 0 && id < config.llm.vocab_size) continue;
      return absl::InvalidArgumentError(absl::StrCat("token id ", id, " outside ", config.llm.vocab_size));
    }
  }
  for (size_t i = 0; i < golden_.image_bounds.size(); ++i) {
    const auto& [begin, end] = golden_.image_bounds[i];
    if (end - begin == RowsOf(i)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("image_bounds of ", end - begin, " tokens, the piece has ", RowsOf(i)));
  }
  return absl::OkStatus();
}

absl::Status Checker::ReadPictures() {
  for (const GoldenMessage& message : golden_.messages) {
    for (const MessagePart& part : message.parts) {
      if (!part.is_image) continue;
      HEADROOM_ASSIGN_OR_RETURN(Picture picture,
                                LoadPicture(directory_, part.value, model_.config, golden_.max_slice_nums));
      pictures_.push_back(std::move(picture.geometry));
      for (vision_worker::PiecePixels& piece : picture.pieces) pieces_.push_back(std::move(piece));
    }
  }
  pieces_fit_ = pieces_.size() == golden_.tgt_sizes.size();
  for (size_t i = 0; pieces_fit_ && i < pieces_.size(); ++i) {
    pieces_fit_ = pieces_[i].grid.rows == golden_.tgt_sizes[i][0] && pieces_[i].grid.cols == golden_.tgt_sizes[i][1];
  }
  if (!pieces_fit_) {
    result_.pixels_equal = false;
    Complain("the pictures are cut into other pieces than tgt_sizes says: nothing else was compared");
  }
  return absl::OkStatus();
}

absl::Status Checker::ComparePrompt(const PromptIds& prompt_ids) {
  HEADROOM_ASSIGN_OR_RETURN(const BuiltPrompt built, prompt_ids.Build(golden_, pictures_));
  result_.prompt_equal = built.ids == golden_.prompt_ids && built.image_bounds == golden_.image_bounds;
  if (!*result_.prompt_equal) {
    const auto differ =
        std::mismatch(built.ids.begin(), built.ids.end(), golden_.prompt_ids.begin(), golden_.prompt_ids.end());
    Complain(absl::StrCat("prompt of ", built.ids.size(), " ids, expected ", golden_.prompt_ids.size(),
                          "; the first difference is at position ", differ.first - built.ids.begin()));
  }
  return absl::OkStatus();
}

void Checker::ComparePixels() {
  for (size_t i = 0; i < golden_.picture_sha256.size(); ++i) {
    const bool equal = i < pieces_.size() && Sha256Hex(pieces_[i].rgb) == golden_.picture_sha256[i];
    result_.pixels_equal = equal && result_.pixels_equal.value_or(true);
    if (!equal) Complain(absl::StrCat("the pixels of picture ", i, " differ"));
  }
  if (pieces_.empty() || (golden_.piece_sha256.empty() && golden_.pixels_sha256.empty())) return;
  bool equal = golden_.piece_sha256.empty() || golden_.piece_sha256.size() == pieces_.size();
  model::Sha256 all;
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const std::vector<uint8_t> strip = vision_worker::PieceStrip(pieces_[i]);
    all.Update(strip.data(), strip.size());
    if (i >= golden_.piece_sha256.size() || Sha256Hex(strip) == golden_.piece_sha256[i]) continue;
    Complain(absl::StrCat("the pixels of piece ", i, " differ"));
    equal = false;
  }
  const bool sum_equal = golden_.pixels_sha256.empty() || Hex(all.Finish()) == golden_.pixels_sha256;
  if (equal && !sum_equal) Complain("pixels_sha256 differs");
  result_.pixels_equal = equal && sum_equal;
}

void Checker::Record(const std::string& tensor, double error, std::optional<Measured>& place) {
  place = Measured{.error = error, .limit = ErrorLimit(golden_, tensor, model_.plan.compute)};
  if (place->ok()) return;
  char text[96];
  std::snprintf(text, sizeof text, "relative error %.2e is above %.2e", place->error, place->limit);
  Complain(tensor + ": " + text);
}

// All pieces of the case, as many in one step as the plan allows.
absl::Status Checker::Encode() {
  if (pieces_.empty()) return absl::OkStatus();
  tower_rows_.resize(golden_.vision_rows.size() * static_cast<size_t>(model_.encoder->tower_width()));
  for (size_t begin = 0, end = 0; begin < pieces_.size(); begin = end) {
    int64_t patches = 0;
    while (end < pieces_.size() && static_cast<int64_t>(end - begin) < model_.encoder->max_pieces() &&
           (end == begin || patches + pieces_[end].grid.patches() <= model_.encoder->max_patches())) {
      patches += pieces_[end++].grid.patches();
    }
    HEADROOM_RETURN_IF_ERROR(EncodeStep(begin, end));
  }
  if (const ExpectedTensor* vision = golden_.Tensor("vision")) {
    RelativeError error;
    error.Add(tower_rows_, vision->values);
    Record("vision", error.value(), result_.vision);
  }
  for (const char* name : {"resampler", "merger"}) {
    const ExpectedTensor* embeddings = golden_.Tensor(name);
    if (embeddings == nullptr) continue;
    RelativeError error;
    error.Add(embeddings_, embeddings->values);
    Record(name, error.value(), result_.resampler);
  }
  return absl::OkStatus();
}

absl::Status Checker::EncodeStep(size_t begin, size_t end) {
  const model::ModelSpec& config = model_.config;
  const int64_t values = config.encoder->patch_values, width = model_.encoder->tower_width();
  vision_worker::PixelNorm norm;
  for (size_t channel = 0; channel < 3; ++channel) {
    norm.mean[channel] = static_cast<float>(config.norm_mean[channel]);
    norm.std[channel] = static_cast<float>(config.norm_std[channel]);
  }
  int64_t patches = 0, tokens = 0;
  for (size_t i = begin; i < end; ++i) {
    patches += pieces_[i].grid.patches();
    tokens += RowsOf(i);
  }
  std::vector<float> matrix(static_cast<size_t>(patches * values)), tap(static_cast<size_t>(patches * width));
  std::vector<vision_worker::PieceInput> inputs;
  std::vector<int64_t> first_patch;
  int64_t next = 0;
  for (size_t i = begin; i < end; ++i) {
    float* const rows = matrix.data() + next * values;
    if (config.merging) {
      vision_worker::WriteGridMatrix(pieces_[i], norm, {.merge = config.resize.merge, .frames = config.resize.frames},
                                     rows);
    } else {
      vision_worker::WritePatchMatrix(pieces_[i], norm, rows);
    }
    inputs.push_back({pieces_[i].grid, runtime::HostMatrix::F32(rows, pieces_[i].grid.patches(), values)});
    first_patch.push_back(next);
    next += pieces_[i].grid.patches();
  }
  const size_t before = embeddings_.size();
  embeddings_.resize(before + static_cast<size_t>(tokens * model_.encoder->embedding_width()));
  HEADROOM_RETURN_IF_ERROR(
      model_.encoder->Encode(inputs, {.embeddings = std::span(embeddings_).subspan(before), .tower = tap}).status());
  for (size_t row = 0; row < golden_.vision_rows.size(); ++row) {
    const auto [piece, patch] = golden_.vision_rows[row];
    if (piece < static_cast<int64_t>(begin) || piece >= static_cast<int64_t>(end)) continue;
    const float* const from = tap.data() + (first_patch[piece - begin] + TowerPlace(piece, patch)) * width;
    std::copy_n(from, width, tower_rows_.begin() + static_cast<int64_t>(row) * width);
  }
  return absl::OkStatus();
}

// Everything below uses the expected prompt ids, so that one wrong id does not hide what else is right or wrong.
absl::Status Checker::Decode() {
  const int64_t tokens = static_cast<int64_t>(golden_.prompt_ids.size() + golden_.greedy_ids.size());
  std::vector<llm_worker::TokenGrid> grids;
  if (model_.config.merging) {
    const model::GridResize& resize = model_.config.resize;
    for (size_t i = 0; i < golden_.image_bounds.size(); ++i) {
      grids.push_back({golden_.image_bounds[i][0] + resize.end_rows / 2,
                       static_cast<int32_t>(golden_.tgt_sizes[i][0] / resize.merge),
                       static_cast<int32_t>(golden_.tgt_sizes[i][1] / resize.merge + resize.line_rows)});
    }
  }
  SequenceRun run(model_.decoder.get(), tokens, std::move(grids));
  std::vector<float> first_logits;
  HEADROOM_RETURN_IF_ERROR(Prefill(run, first_logits));
  HEADROOM_RETURN_IF_ERROR(ForceGreedy(run, first_logits));
  return OwnGreedy(run, std::move(first_logits));
}

absl::Status Checker::Prefill(SequenceRun& run, std::vector<float>& last_logits) {
  const int64_t width = model_.config.llm.hidden_size;
  const int64_t tokens = static_cast<int64_t>(golden_.prompt_ids.size());
  std::vector<EmbeddingSpan> spans;
  const float* next = embeddings_.data();
  for (size_t i = 0; i < golden_.image_bounds.size(); ++i) {
    spans.push_back({golden_.image_bounds[i][0], runtime::HostMatrix::F32(next, RowsOf(i), width)});
    next += RowsOf(i) * width;
  }
  const ExpectedTensor* prompt = golden_.Tensor("logits_prompt");
  const ExpectedTensor* logprobs = golden_.Tensor("prompt_logprobs");
  std::vector<int64_t> wanted = golden_.logits_prompt_positions;
  for (int64_t position = logprobs != nullptr ? 0 : tokens - 1; position < tokens; ++position) {
    wanted.push_back(position);
  }
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());

  RelativeError prompt_error, logprob_error;
  const auto sink = [&](int64_t position, std::span<const float> logits) {
    for (size_t row = 0; prompt != nullptr && row < golden_.logits_prompt_positions.size(); ++row) {
      if (golden_.logits_prompt_positions[row] == position) prompt_error.Add(logits, Row(*prompt, row));
    }
    if (logprobs != nullptr && position + 1 < tokens) {
      const float logprob = LogProbability(logits, golden_.prompt_ids[position + 1]);
      logprob_error.Add({&logprob, 1}, Row(*logprobs, static_cast<size_t>(position)));
    }
    if (position + 1 == tokens) last_logits.assign(logits.begin(), logits.end());
  };
  HEADROOM_RETURN_IF_ERROR(run.Feed(0, golden_.prompt_ids, spans, wanted, sink));
  if (prompt != nullptr) Record("logits_prompt", prompt_error.value(), result_.logits_prompt);
  if (logprobs != nullptr) Record("prompt_logprobs", logprob_error.value(), result_.prompt_logprobs);
  return absl::OkStatus();
}

// Logits of each step with the reference's ids before it.
absl::Status Checker::ForceGreedy(SequenceRun& run, const std::vector<float>& first_logits) {
  const ExpectedTensor& steps = *golden_.Tensor("logits_steps");
  const int64_t prompt = static_cast<int64_t>(golden_.prompt_ids.size());
  RelativeError error;
  error.Add(first_logits, Row(steps, 0));
  for (size_t step = 1; step < golden_.greedy_ids.size(); ++step) {
    const int64_t position = prompt + static_cast<int64_t>(step) - 1;
    const auto sink = [&](int64_t, std::span<const float> logits) { error.Add(logits, Row(steps, step)); };
    HEADROOM_RETURN_IF_ERROR(
        run.Feed(position, std::span(golden_.greedy_ids).subspan(step - 1, 1), {}, {&position, 1}, sink));
  }
  Record("logits_steps", error.value(), result_.logits_steps);
  return absl::OkStatus();
}

// The same number of tokens on our own path, over the cache entries of the forced one.
absl::Status Checker::OwnGreedy(SequenceRun& run, std::vector<float> logits) {
  const int64_t prompt = static_cast<int64_t>(golden_.prompt_ids.size());
  const size_t total = golden_.greedy_ids.size();
  for (size_t step = 0; step < total; ++step) {
    // The lowest id among the largest, as the device samples it.
    const auto id = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    result_.own_ids.push_back(id);
    if (step + 1 == total) break;
    const int64_t position = prompt + static_cast<int64_t>(step);
    const auto sink = [&](int64_t, std::span<const float> row) { logits.assign(row.begin(), row.end()); };
    HEADROOM_RETURN_IF_ERROR(run.Feed(position, {&id, 1}, {}, {&position, 1}, sink));
  }
  const auto small =
      std::find_if(golden_.step_gaps.begin(), golden_.step_gaps.end(), [](double gap) { return gap < kGapMin; });
  const auto differ = std::mismatch(result_.own_ids.begin(), result_.own_ids.end(), golden_.greedy_ids.begin());
  result_.ids_total = static_cast<int64_t>(total);
  result_.ids_agree = differ.first - result_.own_ids.begin();
  result_.ids_judged = small == golden_.step_gaps.end()
                           ? result_.ids_total
                           : std::min<int64_t>(result_.ids_total, small - golden_.step_gaps.begin());
  result_.judge_ids = model_.plan.compute == DType::kF32;
  if (result_.judge_ids && result_.ids_agree < result_.ids_judged) {
    Complain(absl::StrCat("own greedy ids leave the reference at step ", result_.ids_agree, " of ", result_.ids_judged,
                          " that are judged"));
  }
  return absl::OkStatus();
}

}  // namespace

double ErrorLimit(const GoldenCase& golden, const std::string& tensor, DType compute) {
  if (compute == DType::kF32) return kFp32Limit;
  const auto own = golden.bf16_errors.find(tensor);
  return own == golden.bf16_errors.end() ? kBf16LimitDefault : kBf16Factor * own->second;
}

absl::StatusOr<CaseResult> CheckCase(const std::string& directory, const GoldenCase& golden, CheckedModel& model,
                                     const PromptIds& prompt_ids) {
  return Checker(directory, golden, model).Run(prompt_ids);
}

}  // namespace headroom::tools
