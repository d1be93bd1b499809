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

const std::string kGolden = SourceDir() + "/tests/golden/glm4v";

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

class PrepareGridTest : public ::testing::Test {
 protected:
  PrepareGridTest() {
    auto loaded = ServedModel::Load(kGolden);
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    model_ = *std::move(loaded);
  }

  v1::GenerateRequest Ask(const std::string& name) const {
    v1::GenerateRequest request;
    v1::Message* message = request.add_messages();
    message->set_role("user");
    message->add_content()->mutable_image()->set_data(ReadFile(kGolden + "/images/" + name + ".png"));
    message->add_content()->set_text("What is it?");
    return request;
  }

  absl::StatusOr<PreparedRequest> Run(const v1::GenerateRequest& request) const {
    return Prepare(request, *model_, config_, limits_);
  }

  std::unique_ptr<ServedModel> model_;
  GatewaySection config_;
  ClusterLimits limits_{
      .block_size = 16, .max_model_len = 1000, .max_patches_per_step = 2048, .embedding_row_bytes = 144 * 2};
};

TEST_F(PrepareGridTest, RowsAndGridFollowFromTheHeader) {
  for (const char* name : {"dot", "one", "small", "tall", "wide"}) {
    const nlohmann::json expected = nlohmann::json::parse(ReadFile(kGolden + "/expected/" + name + ".json"));
    const int64_t lines = expected["grid_thw"][0][1].get<int64_t>() / 2;
    const int64_t columns = expected["grid_thw"][0][2].get<int64_t>() / 2;
    const auto prepared = Run(Ask(name));
    ASSERT_TRUE(prepared.ok()) << name << ": " << prepared.status();
    ASSERT_EQ(prepared->spans.size(), 1u);
    const v1::EmbeddingSpan& span = prepared->spans[0];
    EXPECT_EQ(span.rows(), lines * columns) << name;
    EXPECT_EQ(span.columns(), columns) << name;
    EXPECT_EQ(span.begin(), expected["image_bounds"][0][0].get<int64_t>() - (name == std::string("one") ? 6 : 0))
        << name << ": a text stands before the picture in the golden case";
    EXPECT_EQ(prepared->usage.image_tokens(), lines * columns);
    EXPECT_EQ(prepared->price.vision->patches, 4 * lines * columns);
    EXPECT_EQ(prepared->price.vision->embedding_bytes,
              EmbeddingPages(lines * columns) * kEmbeddingPageRows * limits_.embedding_row_bytes);
  }
}

// A limit of slices says nothing about a picture that is never cut: it is the same picture, and the cache knows it.
TEST_F(PrepareGridTest, SliceLimitsChangeNothing) {
  v1::GenerateRequest limited = Ask("wide");
  limited.set_max_slice_nums(1);
  const auto plain = Run(Ask("wide")), with_limit = Run(limited);
  ASSERT_TRUE(plain.ok() && with_limit.ok()) << plain.status() << with_limit.status();
  EXPECT_EQ(plain->prompt_ids, with_limit->prompt_ids);
  EXPECT_EQ(plain->images[0].cache_key(), with_limit->images[0].cache_key());
  EXPECT_EQ(with_limit->images[0].max_slice_nums(), 0);
}

}  // namespace
}  // namespace headroom::gateway
