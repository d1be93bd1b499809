#include "vision-worker/merger.h"

#include "runtime/ops/gather.h"
#include "vision-worker/product.h"
#include "worker/views.h"

namespace headroom::vision_worker {
namespace {

using runtime::LinearSpec;
using runtime::Matrix;
using FloatArray = runtime::DeviceArray<const float>;
using Kind = model::MergingTower::Merger;

int64_t PatchesOfToken(const model::ModelSpec& config) { return int64_t{config.resize.merge} * config.resize.merge; }

// What both have: the workspace and its layout.
class WorkspaceMerger : public Merger {
 protected:
  WorkspaceMerger(const model::ModelSpec& config, const memory::Plan& plan, runtime::DeviceSpan workspace)
      : config_(*config.merging),
        patches_of_token_(PatchesOfToken(config)),
        layout_(plan.vision_step),
        workspace_(workspace) {}

  Matrix View(const memory::StepBuffer& buffer, int64_t rows) const { return worker::ViewOf(workspace_, buffer, rows); }
  void Multiply(runtime::Step& step, const Matrix& x, const Product& product, const Matrix& y) const {
    vision_worker::Multiply(step, x, product, y, worker::BytesOf(workspace_, layout_.linear_scratch));
  }
  void Normalize(runtime::Step& step, const FloatArray& gain, const Matrix& x) const {
    step.RmsNorm({.x = x, .gain = gain, .eps = static_cast<float>(config_.norm_eps), .y = x});
  }

  const model::MergingTower config_;
  const int64_t patches_of_token_;
  const memory::VisionStepLayout layout_;
  const runtime::DeviceSpan workspace_;
};

class GatedMerger : public WorkspaceMerger {
 public:
  GatedMerger(const model::ModelSpec& config, const memory::Plan& plan, runtime::DeviceSpan weights,
              runtime::DeviceSpan workspace)
      : WorkspaceMerger(config, plan, workspace) {
    const worker::WeightViews w(plan.weights, weights);
    downsample_ = ProductOf(w, "merger.downsample");
    proj_ = ProductOf(w, "merger.proj");
    norm_ = w.Vector("merger.norm.weight");
    norm_bias_ = w.Vector("merger.norm.bias");
    gate_up_ = ProductOf(w, "merger.gate_up");
    down_ = ProductOf(w, "merger.down");
  }

  static std::vector<LinearSpec> Products(const model::ModelSpec& config, DType compute, int64_t tokens) {
    const model::MergingTower& t = *config.merging;
    const auto product = [&](int64_t n, int64_t k, bool bias) {
      return LinearSpec{.n = n, .k = k, .dtype = compute, .rows_max = tokens, .bias = bias};
    };
    return {product(t.out, PatchesOfToken(config) * t.hidden_size, true), product(t.out, t.out, false),
            product(2 * t.merger_mlp, t.out, false), product(t.out, t.merger_mlp, false)};
  }

  // `embeddings` is the place of what comes before them, too.
  Matrix Run(runtime::Step& step, const Matrix& x, int64_t rows) override {
    const Matrix merged = View(layout_.merged, rows), input = View(layout_.merger_input, rows);
    const Matrix hidden = View(layout_.merger_hidden, rows), activated = View(layout_.merger_activated, rows);
    const Matrix y = View(layout_.embeddings, rows);
    step.JoinRows({.x = x, .y = merged});
    Multiply(step, merged, downsample_, y);
    step.Convert({.x = y, .y = input});
    Multiply(step, input, proj_, y);
    step.LayerNorm(
        {.x = y, .gain = norm_, .bias = norm_bias_, .eps = static_cast<float>(config_.merger_norm_eps), .y = y});
    step.GeluErf({.x = y, .y = input});
    Multiply(step, input, gate_up_, hidden);
    step.SiluMul({.gate_up = hidden, .y = activated});
    Multiply(step, activated, down_, y);
    return y;
  }

  void MultiplyTokens(runtime::Step& step, int64_t tokens) override {
    const Matrix input = View(layout_.merger_input, tokens), out = View(layout_.embeddings, tokens);
    Multiply(step, View(layout_.merged, tokens), downsample_, out);
    Multiply(step, input, proj_, out);
    Multiply(step, input, gate_up_, View(layout_.merger_hidden, tokens));
    Multiply(step, View(layout_.merger_activated, tokens), down_, out);
  }

 private:
  Product downsample_{}, proj_{};
  FloatArray norm_, norm_bias_;
  Product gate_up_{}, down_{};
};

// The rows that it adds, of `merger.added` and behind the step's tokens.
constexpr int64_t kNewline = 0, kBegin = 1, kEnd = 2, kAddedRows = memory::VisionStepLayout::kAddedRows;

class LineMerger : public WorkspaceMerger {
 public:
  LineMerger(const model::ModelSpec& config, const memory::Plan& plan, runtime::DeviceSpan weights,
             runtime::DeviceSpan workspace)
      : WorkspaceMerger(config, plan, workspace), resize_(config.resize) {
    const worker::WeightViews w(plan.weights, weights);
    norm_in_ = w.Vector("merger.norm_in.weight");
    conv_ = ProductOf(w, "merger.conv");
    expand_ = ProductOf(w, "merger.expand");
    proj_ = ProductOf(w, "merger.proj");
    newline_ = w["merger.newline"];
    ends_ = w["merger.ends"];
    norm_out_ = w.Vector("merger.norm_out.weight");
    added_ = w["merger.added"];
  }

  static std::vector<LinearSpec> Products(const model::ModelSpec& config, DType compute, int64_t tokens) {
    const model::MergingTower& t = *config.merging;
    const auto product = [&](int64_t n, int64_t k) {
      return LinearSpec{.n = n, .k = k, .dtype = compute, .rows_max = tokens, .bias = true};
    };
    return {product(2 * t.hidden_size, PatchesOfToken(config) * t.hidden_size),
            product(4 * t.hidden_size, 2 * t.hidden_size), product(t.out, 4 * t.hidden_size)};
  }

  // The added rows pass the last norm as tokens do, the newline the last product as well.
  void Prepare(runtime::Step& step) override {
    const Matrix input = View(layout_.merger_input, 1), out = View(layout_.merger_rows, 1);
    step.Convert({.x = newline_, .y = input});
    Multiply(step, input, proj_, out);
    step.Convert({.x = out, .y = added_.RowRange(kNewline, 1)});
    const Matrix ends{ends_.data, ends_.dtype, 2, config_.out, config_.out};
    step.Convert({.x = ends, .y = added_.RowRange(kBegin, 2)});
    Normalize(step, norm_out_, added_);
  }

  absl::Status BuildInputs(std::span<const PieceInput> pieces, std::span<std::byte> inputs) const override {
    int64_t rows = 0, tokens = 0;
    for (const PieceInput& piece : pieces) {
      rows += resize_.row_rule().Rows(piece.grid);
      tokens += piece.grid.patches() / patches_of_token_;
    }
    const auto index = worker::HostArrayOf<int32_t>(inputs, layout_.row_index, rows);
    const auto added = [tokens](int64_t row) { return static_cast<int32_t>(tokens + row); };
    size_t next = 0;
    int32_t token = 0;
    for (const PieceInput& piece : pieces) {
      index[next++] = added(kBegin);
      for (int line = 0; line < piece.grid.rows / resize_.merge; ++line) {
        for (int column = 0; column < piece.grid.cols / resize_.merge; ++column) index[next++] = token++;
        index[next++] = added(kNewline);
      }
      index[next++] = added(kEnd);
    }
    return runtime::CheckIndices(index, tokens + kAddedRows);
  }

  Matrix Run(runtime::Step& step, const Matrix& x, int64_t rows) override {
    const int64_t tokens = x.rows / patches_of_token_;
    const Matrix merged = View(layout_.merged, tokens), convolved = Convolved(tokens);
    const Matrix activated = View(layout_.merger_activated, tokens), hidden = View(layout_.merger_hidden, tokens);
    const Matrix expanded = View(layout_.merger_input, tokens);
    const Matrix table = View(layout_.merger_rows, tokens + kAddedRows), y = table.RowRange(0, tokens);
    const Matrix embeddings = View(layout_.embeddings, rows);
    Normalize(step, norm_in_, x);
    step.JoinRows({.x = x, .y = merged});
    Multiply(step, merged, conv_, convolved);
    step.GeluErf({.x = convolved, .y = activated});
    Multiply(step, activated, expand_, hidden);
    step.Convert({.x = hidden, .y = expanded});
    Multiply(step, expanded, proj_, y);
    Normalize(step, norm_out_, y);
    step.Convert({.x = added_, .y = table.RowRange(tokens, kAddedRows)});
    step.EmbeddingGather(
        {.ids = worker::ArrayOf<int32_t>(workspace_, layout_.row_index, rows), .table = table, .y = embeddings});
    return embeddings;
  }

  void MultiplyTokens(runtime::Step& step, int64_t tokens) override {
    Multiply(step, View(layout_.merged, tokens), conv_, Convolved(tokens));
    Multiply(step, View(layout_.merger_activated, tokens), expand_, View(layout_.merger_hidden, tokens));
    Multiply(step, View(layout_.merger_input, tokens), proj_, View(layout_.merger_rows, tokens));
  }

 private:
  // What the first convolution gives, 2D wide, lies where the second one's 4D will: it is read before.
  Matrix Convolved(int64_t tokens) const {
    Matrix narrow = View(layout_.merger_hidden, tokens);
    narrow.cols = narrow.row_stride = 2 * config_.hidden_size;
    return narrow;
  }

  const model::GridResize resize_;
  FloatArray norm_in_, norm_out_;
  Product conv_{}, expand_{}, proj_{};
  Matrix newline_{}, ends_{};
  Matrix added_{};  // f32 [kAddedRows, E]
};

}  // namespace

std::unique_ptr<Merger> CreateMerger(const model::ModelSpec& config, const memory::Plan& plan,
                                     runtime::DeviceSpan weights, runtime::DeviceSpan workspace) {
  if (config.merging->merger == Kind::kLines) {
    return std::make_unique<LineMerger>(config, plan, weights, workspace);
  }
  return std::make_unique<GatedMerger>(config, plan, weights, workspace);
}

std::vector<LinearSpec> MergerLinearSpecs(const model::ModelSpec& config, DType compute, int64_t tokens) {
  return config.merging->merger == Kind::kLines ? LineMerger::Products(config, compute, tokens)
                                                : GatedMerger::Products(config, compute, tokens);
}

}  // namespace headroom::vision_worker
