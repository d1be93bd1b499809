// Pictures of a model that resizes them whole: as many rows as their size says, on a grid that the llm-worker is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "common/embedding_pages.h"
#include "common/testing/paths.h"
#include "gateway/prepare.h"

namespace headroom::gateway {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

class PrepareGridTest : public ::testing::TestWithParam<const char*> {
 protected:
  PrepareGridTest() {
    auto loaded = ServedModel::Load(golden_);
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    model_ = *std::move(loaded);
  }

  v1::GenerateRequest Ask(const std::string& name) const {
    v1::GenerateRequest request;
    v1::Message* message = request.add_messages();
    message->set_role("user");
    message->add_content()->mutable_image()->set_data(ReadFile(golden_ + "/images/" + name + ".png"));
    message->add_content()->set_text("What is it?");
    return request;
  }

  absl::StatusOr<PreparedRequest> Run(const v1::GenerateRequest& request) const {
    return Prepare(request, *model_, config_, limits_);
  }

  const std::string golden_ = SourceDir() + "/tests/golden/" + GetParam();
  std::unique_ptr<ServedModel> model_;
  GatewaySection config_;
  ClusterLimits limits_{
      .block_size = 16, .max_model_len = 1000, .max_patches_per_step = 2048, .embedding_row_bytes = 144 * 2};
};

TEST_P(PrepareGridTest, RowsAndGridFollowFromTheHeader) {
  const model::GridResize& resize = model_->config.resize;
  for (const char* name : {"dot", "small", "tall", "wide"}) {
    SCOPED_TRACE(name);
    const nlohmann::json expected = nlohmann::json::parse(ReadFile(golden_ + "/expected/" + name + ".json"));
    const int64_t lines = expected["grid_thw"][0][1].get<int64_t>() / 2;
    const int64_t columns = expected["grid_thw"][0][2].get<int64_t>() / 2;
    const int64_t begin = expected["image_bounds"][0][0].get<int64_t>();
    const int64_t rows = expected["image_bounds"][0][1].get<int64_t>() - begin;
    const auto prepared = Run(Ask(name));
    ASSERT_TRUE(prepared.ok()) << prepared.status();
    ASSERT_EQ(prepared->spans.size(), 1u);
    const v1::EmbeddingSpan& span = prepared->spans[0];
    EXPECT_EQ(span.rows(), rows);
    EXPECT_EQ(span.columns(), columns + resize.line_rows);
    EXPECT_EQ(span.rows(), lines * span.columns() + resize.end_rows);
    const bool system = expected["messages"][0]["role"] == "system";
    EXPECT_EQ(span.begin(), begin - (system ? 1 : 0)) << "a system message stands before it in the golden case";
    EXPECT_EQ(prepared->usage.image_tokens(), rows);
    EXPECT_EQ(prepared->price.vision->patches, 4 * lines * columns);
    EXPECT_EQ(prepared->price.vision->embedding_bytes,
              EmbeddingPages(rows) * kEmbeddingPageRows * limits_.embedding_row_bytes);
  }
}

// A limit of slices says nothing about a picture that is never cut: it is the same picture, and the cache knows it.
TEST_P(PrepareGridTest, SliceLimitsChangeNothing) {
  v1::GenerateRequest limited = Ask("wide");
  limited.set_max_slice_nums(1);
  const auto plain = Run(Ask("wide")), with_limit = Run(limited);
  ASSERT_TRUE(plain.ok() && with_limit.ok()) << plain.status() << with_limit.status();
  EXPECT_EQ(plain->prompt_ids, with_limit->prompt_ids);
  EXPECT_EQ(plain->images[0].cache_key(), with_limit->images[0].cache_key());
  EXPECT_EQ(with_limit->images[0].max_slice_nums(), 0);
}

INSTANTIATE_TEST_SUITE_P(Families, PrepareGridTest, ::testing::Values("glm4v", "hunyuan_vl"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace headroom::gateway
