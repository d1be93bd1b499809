#include "gateway/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>

#include "common/field_error.h"
#include "common/testing/paths.h"
#include "common/utf8.h"
#include "model/testing/checkpoint_writer.h"

namespace headroom::gateway {
namespace {

using ::testing::HasSubstr;

const std::string kGolden = SourceDir() + "/tests/golden/minicpmv";

class PrepareTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto loaded = ServedModel::Load(kGolden);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    model_ = loaded->get();
    std::vector<std::unique_ptr<ServedModel>> models;
    models.push_back(*std::move(loaded));
    models_ = new ServedModels(std::move(models));
  }
  static void TearDownTestSuite() {
    delete models_;
    models_ = nullptr;
  }

  static std::string Picture(const std::string& name) {
    std::ifstream file(kGolden + "/images/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  static v1::GenerateRequest Ask(const std::string& text, const std::string& picture = "") {
    v1::GenerateRequest request;
    v1::Message* message = request.add_messages();
    message->set_role("user");
    if (!picture.empty()) message->add_content()->mutable_image()->set_data(Picture(picture));
    message->add_content()->set_text(text);
    return request;
  }

  absl::StatusOr<PreparedRequest> Run(const v1::GenerateRequest& request) {
    HEADROOM_ASSIGN_OR_RETURN(const ServedModel* model, models_->Find(request.model()));
    return Prepare(request, *model, config_, limits_);
  }

  void ExpectInvalid(const v1::GenerateRequest& request, const std::string& words) {
    const auto prepared = Run(request);
    ASSERT_EQ(prepared.status().code(), absl::StatusCode::kInvalidArgument) << prepared.status();
    EXPECT_THAT(std::string(prepared.status().message()), HasSubstr(words));
  }

  static const ServedModels* models_;
  static const ServedModel* model_;
  GatewaySection config_;
  // Pieces of 64 rows, 256 columns, bf16.
  ClusterLimits limits_{
      .block_size = 16, .max_model_len = 1000, .max_patches_per_step = 2048, .embedding_row_bytes = 256 * 2};
};

const ServedModels* PrepareTest::models_ = nullptr;
const ServedModel* PrepareTest::model_ = nullptr;

// 449×448-like pictures make three pieces (golden case "n25" and others check the ids themselves).
TEST_F(PrepareTest, PricesAPictureFromItsHeader) {
  const auto request = Ask("How many shapes?", "wide.png");
  const auto prepared = Run(request);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  // 2000×200: overview and 3×1 slices (MiniCPM-V 2.6 geometry).
  ASSERT_EQ(prepared->images.size(), 1);
  EXPECT_EQ(prepared->images[0].width(), 2000);
  EXPECT_EQ(prepared->images[0].height(), 200);
  EXPECT_EQ(prepared->images[0].piece_rows_size(), 4);
  EXPECT_EQ(prepared->images[0].patches(), 1010 + 3 * 1044);
  EXPECT_EQ(prepared->spans.size(), 4);
  EXPECT_EQ(prepared->usage.image_tokens(), 256);
  ASSERT_TRUE(prepared->price.vision.has_value());
  EXPECT_EQ(prepared->price.vision->patches, 1010 + 3 * 1044);
  EXPECT_EQ(prepared->price.vision->embedding_bytes, 4 * 64 * 256 * 2);
  limits_.embedding_row_bytes = 256 * 4;
  const auto in_workers_units = Run(request);
  ASSERT_TRUE(in_workers_units.ok()) << in_workers_units.status();
  EXPECT_EQ(in_workers_units->price.vision->embedding_bytes, 4 * 64 * 256 * 4);
  EXPECT_EQ(prepared->price.largest_piece_patches, 1044);
  const int64_t tokens = prepared->usage.prompt_tokens() + prepared->max_tokens;
  EXPECT_EQ(prepared->price.llm->kv_blocks, (tokens + 15) / 16);
}

// A made-up model that makes a row of each 2 × 2 patches, one behind each line of them and two around the piece.
TEST_F(PrepareTest, PiecesWithRowsOfTheirOwn) {
  auto merging = ServedModel::Load(kGolden);
  ASSERT_TRUE(merging.ok()) << merging.status();
  (*merging)->config.slice.rows = {.queries = 0, .merge_side = 2, .line_rows = 1, .end_rows = 2};
  limits_.max_model_len = 4000;
  const auto request = Ask("How many shapes?", "wide.png");
  const auto prepared = Prepare(request, **merging, config_, limits_);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  const v1::PricedImage& image = prepared->images[0];
  ASSERT_EQ(image.piece_rows_size(), 4);
  ASSERT_EQ(prepared->spans.size(), 4u);
  int64_t rows = 0, pages = 0, end = 0;
  for (int i = 0; i < 4; ++i) {
    const v1::EmbeddingSpan& span = prepared->spans[static_cast<size_t>(i)];
    EXPECT_EQ(span.rows(), image.piece_rows(i));
    EXPECT_GT(span.begin(), end) << "a marker stands before it";
    end = span.begin() + span.rows();
    rows += span.rows();
    pages += (span.rows() + 31) / 32;
  }
  EXPECT_NE(image.piece_rows(0), image.piece_rows(1)) << "the overview has another grid than the slices";
  EXPECT_EQ(prepared->usage.image_tokens(), rows);
  EXPECT_EQ(prepared->price.image_tokens, rows);
  EXPECT_EQ(prepared->price.vision->embedding_bytes, pages * 32 * 256 * 2);
  const int64_t text_bytes = (prepared->usage.prompt_tokens() + prepared->max_tokens) * int64_t{sizeof(int32_t)} +
                             prepared->max_tokens * admission::kTokenEventBytes;
  EXPECT_EQ(prepared->price.llm->host_bytes, rows * 256 * 2 + text_bytes) << "rows, not pages";
  // The same picture with fewer slices is another request to the store: its key says so.
  auto overview = request;
  overview.set_max_slice_nums(1);
  const auto alone = Prepare(overview, **merging, config_, limits_);
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_NE(alone->images[0].cache_key(), image.cache_key());
}

TEST_F(PrepareTest, TextOnlyHasNoVisionLeg) {
  const auto prepared = Run(Ask("Hello"));
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_FALSE(prepared->price.vision.has_value());
  EXPECT_EQ(prepared->max_tokens, 512);
}

TEST_F(PrepareTest, MaxTokensIsCappedByWhatIsLeftOnlyWhenAbsent) {
  limits_.max_model_len = 100;
  auto request = Ask("Hello");
  const auto capped = Run(request);
  ASSERT_TRUE(capped.ok());
  EXPECT_EQ(capped->max_tokens, 100 - capped->usage.prompt_tokens());
  request.set_max_tokens(static_cast<int32_t>(capped->max_tokens));
  EXPECT_TRUE(Run(request).ok());
  request.set_max_tokens(static_cast<int32_t>(capped->max_tokens) + 1);
  ExpectInvalid(request, "max_model_len, 100");
}

TEST_F(PrepareTest, APromptIsTheWholePrompt) {
  v1::GenerateRequest request;
  request.set_prompt("Once upon<|im_end|> a time");
  const auto prepared = Run(request);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(model_->tokenizer->Decode(prepared->prompt_ids, /*skip_special=*/false), request.prompt());
  for (const int32_t id : prepared->prompt_ids) EXPECT_FALSE(model_->tokenizer->IsControl(id)) << id;
  EXPECT_EQ(prepared->usage.prompt_tokens(), static_cast<int64_t>(prepared->prompt_ids.size()));
  EXPECT_GE(PrepareBytes(request, *model_, limits_),
            model_->tokenizer->work_bytes_per_text_byte() * static_cast<int64_t>(request.prompt().size()));

  v1::GenerateRequest both = Ask("Hello");
  both.set_prompt("Once");
  ExpectInvalid(both, "prompt excludes messages");
  request.set_template_arguments_json("{}");
  ExpectInvalid(request, "prompt excludes template_arguments_json");
  request.set_continue_final_message(true);
  ExpectInvalid(request, "prompt excludes continue_final_message");
}

// A template that begins thoughts unless it is told not to.
TEST(PrepareTemplateTest, ArgumentsReachTheTemplate) {
  model::testing::TemporaryDirectory directory;
  directory.Write("thinks.jinja",
                  "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
                  "{% if enable_thinking is defined and not enable_thinking %} <think></think>{% else %} <think>"
                  "{% endif %}{# reasoning_effort </think> #}");
  const auto model = ServedModel::Load(kGolden, directory.path() + "/thinks.jinja");
  ASSERT_TRUE(model.ok()) << model.status();
  v1::GenerateRequest request;
  request.add_messages()->set_role("user");
  request.mutable_messages(0)->add_content()->set_text("Hello");
  const auto run = [&](const std::string& arguments) {
    request.set_template_arguments_json(arguments);
    return Prepare(request, **model, {}, {.block_size = 16, .max_model_len = 1000});
  };
  for (const char* on : {"", "{}", R"({"enable_thinking": true})"}) {
    const auto prepared = run(on);
    ASSERT_TRUE(prepared.ok()) << prepared.status();
    EXPECT_TRUE(prepared->thinks) << on;
  }
  const auto off = run(R"({"enable_thinking": false})");
  ASSERT_TRUE(off.ok()) << off.status();
  EXPECT_FALSE(off->thinks);
  const auto text = (*model)->tokenizer->Decode(off->prompt_ids, /*skip_special=*/false);
  EXPECT_THAT(text, HasSubstr("assistant: <think></think>"));

  const auto unread = run(R"({"reasoning_effort": "low"})");
  EXPECT_EQ(unread.status().message(),
            "template_arguments_json.reasoning_effort: the model's chat template does not read it");
  EXPECT_EQ(FieldOf(unread.status()), "template_arguments_json.reasoning_effort");
  EXPECT_EQ(FieldOf(run("[]").status()), "template_arguments_json");
}

// The rest of what is constrained is in constraint_test.
TEST(PrepareTemplateTest, ConstraintsBeginBehindThoughts) {
  model::testing::TemporaryDirectory directory;
  directory.Write("thinks.jinja",
                  "{% for m in messages %}{{ m.content }}{% endfor %}{{ '<|im_start|>' if enable_thinking }}");
  const auto loaded = ServedModel::Load(kGolden, directory.path() + "/thinks.jinja");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ServedModel& model = **loaded;
  model.constrains = true;
  model.answer_syntax = {"<|im_start|>", "<|im_end|>", CallForm::kNone, "", ""};
  v1::GenerateRequest request;
  request.add_messages()->set_role("user");
  request.mutable_messages(0)->add_content()->set_text("Hello");
  request.mutable_response_format()->set_json_object(true);
  const auto run = [&] { return Prepare(request, model, {}, {.block_size = 16, .max_model_len = 1000}); };
  const auto at_once = run();
  ASSERT_TRUE(at_once.ok()) << at_once.status();
  EXPECT_TRUE(at_once->constraint->json_object());
  EXPECT_TRUE(at_once->constraint->after_ids().empty());
  EXPECT_FALSE(at_once->thinks);
  request.set_template_arguments_json(R"({"enable_thinking": true})");
  const auto behind = run();
  ASSERT_TRUE(behind.ok()) << behind.status();
  EXPECT_TRUE(behind->thinks);
  EXPECT_EQ(behind->constraint->after_ids(0), *model.tokenizer->TokenId("<|im_end|>"));
  // Where the end of the thoughts cannot be seen there are none.
  model.answer_syntax.reasoning_end = "</several tokens>";
  const auto unseen = run();
  ASSERT_TRUE(unseen.ok()) << unseen.status();
  EXPECT_FALSE(unseen->thinks);
  EXPECT_TRUE(unseen->constraint->after_ids().empty());
}

TEST_F(PrepareTest, PricesEveryChoiceAndWhatIsToldOfIt) {
  v1::GenerateRequest request = Ask("Hello");
  request.set_max_tokens(40);
  const auto one = Run(request);
  ASSERT_TRUE(one.ok()) << one.status();
  request.set_n(3);
  const auto three = Run(request);
  ASSERT_TRUE(three.ok()) << three.status();
  const int64_t prompt = one->usage.prompt_tokens(), common = prompt / limits_.block_size;
  EXPECT_EQ(three->choices, 3);
  EXPECT_EQ(three->price.llm->slots, 3);
  EXPECT_EQ(three->price.llm->kv_blocks, common + 3 * (one->price.llm->kv_blocks - common));
  EXPECT_EQ(three->price.llm->host_bytes, 3 * one->price.llm->host_bytes);
  request.set_logprobs(5);
  request.set_prompt_logprobs(2);
  const auto told = Run(request);
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_EQ(told->price.llm->host_bytes,
            three->price.llm->host_bytes + 3 * 40 * admission::LogprobBytes(6) + prompt * admission::LogprobBytes(3));
}

TEST_F(PrepareTest, StopIdsAreTheModelsAndTheRequests) {
  v1::GenerateRequest request = Ask("Hello");
  request.add_stop_token_ids(model_->stop_ids.front());
  request.add_stop_token_ids(11);
  std::vector<int32_t> both = model_->stop_ids;
  both.push_back(11);
  EXPECT_EQ(Run(request)->stop_ids, both);
  request.set_ignore_eos(true);
  EXPECT_EQ(Run(request)->stop_ids, (std::vector<int32_t>{model_->stop_ids.front(), 11}));
}

TEST_F(PrepareTest, AnImageMayBringItsOwnNumberOfSlices) {
  auto request = Ask("How many shapes?", "wide.png");
  v1::Image& image = *request.mutable_messages(0)->mutable_content(0)->mutable_image();
  image.set_max_slice_nums(1);
  const auto overview = Run(request);
  ASSERT_TRUE(overview.ok()) << overview.status();
  EXPECT_EQ(overview->images[0].piece_rows_size(), 1);
  EXPECT_EQ(overview->images[0].max_slice_nums(), 1);
  // Goes before the request's.
  request.set_max_slice_nums(9);
  EXPECT_EQ(Run(request)->images[0].piece_rows_size(), 1);
  image.set_max_slice_nums(257);
  ExpectInvalid(request, "image 1: max_slice_nums is 257; it must be in [1, 256]");
  image.set_max_slice_nums(0);
  ExpectInvalid(request, "image 1: max_slice_nums is 0");
}

TEST_F(PrepareTest, FieldsOutOfRange) {
  auto with = [](auto change) {
    v1::GenerateRequest request = Ask("Hello");
    change(request);
    return request;
  };
  ExpectInvalid(with([](auto& r) { r.set_max_tokens(0); }), "max_tokens is 0");
  ExpectInvalid(with([](auto& r) { r.set_max_tokens(-7); }), "max_tokens is -7");
  ExpectInvalid(with([](auto& r) { r.set_max_tokens(INT32_MAX); }), "max_model_len");
  ExpectInvalid(with([](auto& r) { r.set_n(17); }), "n is 17; it must be in [0, 16]");
  ExpectInvalid(with([](auto& r) { r.set_n(-1); }), "n is -1");
  ExpectInvalid(with([](auto& r) { r.set_logprobs(21); }), "logprobs is 21; it must be in [0, 20]");
  ExpectInvalid(with([](auto& r) { r.set_logprobs(-1); }), "logprobs is -1");
  ExpectInvalid(with([](auto& r) { r.set_prompt_logprobs(21); }), "prompt_logprobs is 21; it must be in [0, 20]");
  ExpectInvalid(with([](auto& r) { r.set_min_tokens(-1); }), "min_tokens is -1");
  ExpectInvalid(with([](auto& r) {
                  r.set_max_tokens(5);
                  r.set_min_tokens(6);
                }),
                "min_tokens is 6; it must be in [0, 5], max_tokens");
  ExpectInvalid(with([](auto& r) { r.add_stop_token_ids(-1); }), "stop_token_ids: id -1 is not in the vocabulary");
  ExpectInvalid(with([](auto& r) { r.add_stop_token_ids(1 << 30); }), "stop_token_ids: id 1073741824");
  ExpectInvalid(with([](auto& r) {
                  for (int i = 0; i < 65; ++i) r.add_stop_token_ids(i);
                }),
                "the number of stop_token_ids is 65; it must be at most 64");
  ExpectInvalid(with([](auto& r) { r.mutable_sampling()->set_min_p(1.5f); }), "min_p is 1.5; it must be in [0, 1]");
  ExpectInvalid(with([](auto& r) { r.mutable_sampling()->set_min_p(std::nanf("")); }), "min_p is nan");
  ExpectInvalid(with([](auto& r) { r.mutable_sampling()->set_presence_penalty(2.5f); }),
                "presence_penalty is 2.5; it must be in [-2, 2]");
  ExpectInvalid(with([](auto& r) { r.mutable_sampling()->set_frequency_penalty(-2.5f); }),
                "frequency_penalty is -2.5; it must be in [-2, 2]");
  ExpectInvalid(with([](auto& r) { (*r.mutable_sampling()->mutable_logit_bias())[3] = 101; }),
                "logit_bias is 101; it must be in [-100, 100]");
  ExpectInvalid(with([](auto& r) { (*r.mutable_sampling()->mutable_logit_bias())[-3] = 1; }), "logit_bias: id -3");
  ExpectInvalid(with([](auto& r) {
                  for (int i = 0; i < 1025; ++i) (*r.mutable_sampling()->mutable_logit_bias())[i] = 1;
                }),
                "the number of ids in logit_bias is 1025; it must be at most 1024");
  ExpectInvalid(with([](auto& r) { r.set_priority(9); }), "priority is 9; it must be in [-8, 8]");
  ExpectInvalid(with([](auto& r) { r.set_priority(-9); }), "priority is -9");
  ExpectInvalid(with([](auto& r) { r.set_priority(INT32_MIN); }), "priority");
  EXPECT_TRUE(Run(with([](auto& r) { r.set_priority(8); })).ok());
  EXPECT_TRUE(Run(with([](auto& r) { r.set_priority(-8); })).ok());
  ExpectInvalid(with([](auto& r) { r.add_stop(""); }), "stop string 1: has 0 bytes; it must be 1 to 128");
  ExpectInvalid(with([](auto& r) {
                  r.add_stop("fine");
                  r.add_stop(std::string(129, 'x'));
                }),
                "stop string 2: has 129 bytes");
  ExpectInvalid(with([](auto& r) {
                  for (int i = 0; i < 9; ++i) r.add_stop("x");
                }),
                "9; it must be at most 8");
  ExpectInvalid(with([](auto& r) { r.mutable_sampling()->set_temperature(-1); }), "temperature is -1");
  ExpectInvalid(with([](auto& r) { r.mutable_sampling()->set_temperature(std::nanf("")); }), "temperature");
  ExpectInvalid(with([](auto& r) { r.mutable_sampling()->set_temperature(std::numeric_limits<float>::infinity()); }),
                "temperature");
  ExpectInvalid(with([](auto& r) { r.mutable_sampling()->set_top_p(0); }), "top_p is 0");
  ExpectInvalid(with([](auto& r) { r.mutable_sampling()->set_top_k(-2); }), "top_k is -2");
  ExpectInvalid(with([](auto& r) { r.mutable_sampling()->set_repetition_penalty(0); }), "repetition_penalty is 0");
  ExpectInvalid(with([](auto& r) { r.mutable_messages(0)->set_role("wizard"); }), "message 1: unknown role 'wizard'");
  ExpectInvalid(with([](auto& r) { r.mutable_messages(0)->add_content(); }),
                "message 1: part 2: is neither text nor image");
  EXPECT_TRUE(Run(with([](auto& r) { r.add_messages()->set_role("system"); })).ok());
  ExpectInvalid(with([](auto& r) { r.add_tools(); }), "tool 1: has no name");
  ExpectInvalid(with([](auto& r) {
                  r.add_tools()->set_name("f");
                  r.mutable_tools(0)->set_parameters_json("[");
                }),
                "tool 1: parameters_json: not valid JSON, at byte 2");
  ExpectInvalid(with([](auto& r) { r.mutable_messages(0)->add_tool_calls(); }), "message 1: has tool_calls");
  ExpectInvalid(with([](auto& r) { r.mutable_messages(0)->set_tool_call_id("x"); }), "message 1: has a tool_call_id");
  ExpectInvalid(with([](auto& r) { r.set_continue_final_message(true); }), "message 1: continue_final_message needs");
  ExpectInvalid(with([](auto& r) { r.add_messages()->set_role("user"); }), "message 2: is empty");
  ExpectInvalid(with([](auto& r) { r.clear_messages(); }), "message");
}

// Protobuf, and so the details of an error, takes no broken characters.
TEST_F(PrepareTest, WhatIsShownOfARequestEndsBetweenCharacters) {
  v1::GenerateRequest request = Ask("Hello");
  for (const int shift : {0, 1, 2, 3}) {
    std::string name(static_cast<size_t>(shift), 'x');
    while (name.size() < 100) name += "\u6f22\u00fc";
    request.set_model(name);
    EXPECT_TRUE(IsValidUtf8(std::string(Run(request).status().message()))) << shift;
    request.clear_model();
    request.mutable_messages(0)->set_role(name);
    EXPECT_TRUE(IsValidUtf8(std::string(Run(request).status().message()))) << shift;
    request.mutable_messages(0)->set_role("user");
  }
}

TEST_F(PrepareTest, ImagesAreNamedAndBounded) {
  auto request = Ask("What?", "small.png");
  request.mutable_messages(0)->add_content()->mutable_image()->set_data("GIF89a");
  ExpectInvalid(request, "image 2: ");
  config_.images_max = 1;
  request = Ask("What?", "small.png");
  EXPECT_TRUE(Run(request).ok());
  request.mutable_messages(0)->add_content()->mutable_image()->set_data(Picture("dot.png"));
  ExpectInvalid(request, "image 2: more than 1 images");
}

TEST_F(PrepareTest, PieceAboveTheStepIsRefused) {
  limits_.max_patches_per_step = 1000;
  ExpectInvalid(Ask("What?", "wide.png"), "1000");
}

TEST_F(PrepareTest, SliceLimitOfTheRequest) {
  auto request = Ask("What?", "wide.png");
  request.set_max_slice_nums(1);
  const auto prepared = Run(request);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(prepared->images[0].piece_rows_size(), 1);
  for (v1::GenerateRequest any : {request, Ask("Hello")}) {
    any.set_max_slice_nums(0);
    ExpectInvalid(any, "max_slice_nums is 0; it must be in [1, 256]");
    any.set_max_slice_nums(257);
    ExpectInvalid(any, "max_slice_nums is 257; it must be in [1, 256]");
    any.set_max_slice_nums(256);
    EXPECT_TRUE(Run(any).ok());
  }
}

TEST_F(PrepareTest, CacheKeysTellPicturesAndLimitsApart) {
  auto key = [this](const std::string& picture, int slices) {
    auto request = Ask("What?", picture);
    request.set_max_slice_nums(slices);
    return Run(request)->images[0].cache_key();
  };
  EXPECT_EQ(key("small.png", 9), key("small.png", 9));
  EXPECT_NE(key("small.png", 9), key("small.png", 8));
  EXPECT_NE(key("small.png", 9), key("dot.png", 9));
  const std::string on_white = key("n25.png", 9);
  config_.image_transparency = "dropped";
  EXPECT_NE(key("n25.png", 9), on_white);
}

TEST_F(PrepareTest, TransparencyGoesToTheWorker) {
  const auto request = Ask("What?", "n25.png");
  EXPECT_FALSE(Run(request)->images[0].drop_alpha());
  config_.image_transparency = "dropped";
  EXPECT_TRUE(Run(request)->images[0].drop_alpha());
}

// A history as chat programs send it back (cases of the wild: the answer was cut before its first word).
TEST_F(PrepareTest, EmptyTurnOfTheAssistant) {
  auto request = Ask("Hi");
  request.add_messages()->set_role("assistant");
  request.mutable_messages(1)->add_content()->set_text("");
  v1::Message* last = request.add_messages();
  last->set_role("user");
  last->add_content()->set_text("Are you there?");
  const auto prepared = Run(request);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_THAT(model_->tokenizer->Decode(prepared->prompt_ids, false),
              HasSubstr("<|im_start|>assistant\n<|im_end|>\n<|im_start|>user\nAre you there?<|im_end|>"));
}

TEST_F(PrepareTest, GoesOnFromTheLastMessage) {
  auto request = Ask("Hi");
  request.add_messages()->set_role("assistant");
  request.mutable_messages(1)->add_content()->set_text("Well");
  const auto text = [&] {
    const auto prepared = Run(request);
    return prepared.ok() ? model_->tokenizer->Decode(prepared->prompt_ids, false) : prepared.status().ToString();
  };
  EXPECT_THAT(text(), ::testing::EndsWith("assistant\nWell<|im_end|>\n<|im_start|>assistant\n"));
  request.set_continue_final_message(true);
  EXPECT_THAT(text(), ::testing::EndsWith("<|im_start|>assistant\nWell"));
  request.set_add_generation_prompt(true);
  ExpectInvalid(request, "exclude each other");
  request.set_continue_final_message(false);
  request.set_add_generation_prompt(false);
  EXPECT_THAT(text(), ::testing::EndsWith("assistant\nWell<|im_end|>\n"));
}

TEST_F(PrepareTest, OverLongPrompt) {
  std::string words;
  for (int i = 0; i < 3000; ++i) words += "word ";
  ExpectInvalid(Ask(words), "999");
}

// Tokenizing is paid for by the byte, up to the text that no limit lets through.
TEST_F(PrepareTest, MemoryForText) {
  const int64_t small = PrepareBytes(Ask("four", "small.png"), *model_, limits_);
  EXPECT_EQ(small, model::ChatTemplate::WorkBytesMax(4, 3));
  const int64_t most = PrepareBytes(Ask(std::string(size_t{1} << 20, 'a')), *model_, limits_);
  EXPECT_EQ(most, PrepareBytes(Ask(std::string(size_t{2} << 20, 'a')), *model_, limits_));
  EXPECT_LT(most, int64_t{64} << 20);
}

}  // namespace
}  // namespace headroom::gateway
