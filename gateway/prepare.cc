#include "gateway/prepare.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/ascii.h"
#include "admission/price.h"
#include "common/cut_text.h"
#include "common/random.h"
#include "gateway/own_refusals.h"
#include "model/checkpoint.h"
#include "model/fingerprint.h"
#include "model/image/header.h"
#include "model/image/host_bytes.h"
#include "model/image/pieces.h"

namespace headroom::gateway {
namespace {

constexpr int kStopStringsMax = 8;
constexpr size_t kStopStringBytesMax = 128;
constexpr int kPriorityMax = 100;
constexpr float kTemperatureMax = 2;
constexpr float kRepetitionPenaltyMax = 2;
constexpr int kTopKMax = 1 << 20;

template <typename T>
absl::Status OutOfRange(const char* field, T value, const std::string& limit) {
  return absl::InvalidArgumentError(absl::StrCat(field, " is ", value, "; it must be ", limit));
}

// Limits of messages that the operator reads, not clients: they may name the file.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  constexpr size_t kBytesMax = size_t{16} << 20;
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(path + ": cannot be opened");
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (text.size() > kBytesMax)
    return absl::InvalidArgumentError(absl::StrCat(path, ": larger than ", kBytesMax, " bytes"));
  return text;
}

model::ImageMarkers Markers(const model::ModelConfig& config) {
  model::ImageMarkers markers;
  markers.image_start = config.markers.image_start;
  markers.image_end = config.markers.image_end;
  markers.slice_start = config.markers.slice_start;
  markers.slice_end = config.markers.slice_end;
  markers.placeholder = config.markers.placeholder;
  markers.id_start = config.markers.image_id_start;
  markers.id_end = config.markers.image_id_end;
  markers.tokens_per_piece = static_cast<int32_t>(config.resampler.query_num);
  markers.use_image_id = config.use_image_id;
  return markers;
}

// What ends an answer: the model's own stops, the template's end of turn, and the end of text that Qwen-like
// vocabularies have.
std::vector<int32_t> StopIds(const model::ModelConfig& config, const model::Tokenizer& tokenizer,
                             const model::ChatTemplate& chat) {
  std::vector<int32_t> ids;
  for (int64_t id : config.llm.eos_token_ids) ids.push_back(static_cast<int32_t>(id));
  for (const std::string& content : {chat.end_of_turn(), std::string("<|endoftext|>")}) {
    const auto id = tokenizer.TokenId(content);
    if (id && tokenizer.IsAdded(*id)) ids.push_back(*id);
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

absl::Status CheckScalars(const v1::GenerateRequest& request, const ServedModel& model) {
  if (!request.model().empty() && request.model() != model.name) {
    return absl::InvalidArgumentError("unknown model '" + CutText(request.model(), 64) + "'; served is '" + model.name +
                                      "'");
  }
  if (request.n() < 0 || request.n() > 1)
    return OutOfRange("n", request.n(), "1: several choices are not supported yet");
  if (std::abs(static_cast<int64_t>(request.priority())) > kPriorityMax) {
    return OutOfRange("priority", request.priority(), absl::StrCat("in [", -kPriorityMax, ", ", kPriorityMax, "]"));
  }
  if (request.has_max_tokens() && request.max_tokens() < 1)
    return OutOfRange("max_tokens", request.max_tokens(), "at least 1");
  if (request.stop_size() > kStopStringsMax) {
    return OutOfRange("the number of stop strings", request.stop_size(), absl::StrCat("at most ", kStopStringsMax));
  }
  for (const std::string& stop : request.stop()) {
    if (stop.empty()) return absl::InvalidArgumentError("a stop string is empty");
    if (stop.size() > kStopStringBytesMax) {
      return OutOfRange("the length of a stop string", stop.size(),
                        absl::StrCat("at most ", kStopStringBytesMax, " bytes"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::TokenSampling> ResolveSampling(const v1::Sampling& asked,
                                                  const model::GenerationDefaults& defaults) {
  v1::TokenSampling sampling;
  sampling.set_temperature(asked.has_temperature()
                               ? asked.temperature()
                               : std::min(static_cast<float>(defaults.temperature.value_or(1)), kTemperatureMax));
  sampling.set_top_p(asked.has_top_p() ? asked.top_p() : static_cast<float>(defaults.top_p.value_or(1)));
  sampling.set_top_k(asked.has_top_k() ? asked.top_k() : static_cast<int32_t>(defaults.top_k.value_or(0)));
  sampling.set_repetition_penalty(
      asked.has_repetition_penalty()
          ? asked.repetition_penalty()
          : std::min(static_cast<float>(defaults.repetition_penalty.value_or(1)), kRepetitionPenaltyMax));
  sampling.set_seed(asked.has_seed() ? asked.seed() : SystemRandom().Next() >> 1);  // fits a signed integer, too
  // Written so that NaN fails.
  if (!(sampling.temperature() >= 0 && sampling.temperature() <= kTemperatureMax)) {
    return OutOfRange("temperature", sampling.temperature(), "in [0, 2]");
  }
  if (!(sampling.top_p() > 0 && sampling.top_p() <= 1)) return OutOfRange("top_p", sampling.top_p(), "in (0, 1]");
  if (sampling.top_k() < 0 || sampling.top_k() > kTopKMax) {
    return OutOfRange("top_k", sampling.top_k(), absl::StrCat("in [0, ", kTopKMax, "]"));
  }
  if (!(sampling.repetition_penalty() > 0 && sampling.repetition_penalty() <= kRepetitionPenaltyMax)) {
    return OutOfRange("repetition_penalty", sampling.repetition_penalty(), "in (0, 2]");
  }
  return sampling;
}

// HMAC-SHA256 over hash of the bytes, slice limit and model. The key is this process's own, so keys of different
// gateways never meet and a client that knows a picture cannot tell whether somebody else sent it.
std::string CacheKey(const std::string& bytes, int32_t max_slice_nums, const std::string& fingerprint) {
  static const std::string salt = [] {
    std::string random;
    for (int i = 0; i < 4; ++i) {
      const uint64_t word = SystemRandom().Next();
      random.append(reinterpret_cast<const char*>(&word), sizeof word);
    }
    return random;
  }();
  std::string message(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
         reinterpret_cast<unsigned char*>(message.data()));
  message += absl::StrCat(max_slice_nums, " ", fingerprint);
  std::string key(SHA256_DIGEST_LENGTH, '\0');
  unsigned int length = 0;
  HMAC(EVP_sha256(), salt.data(), static_cast<int>(salt.size()), reinterpret_cast<const unsigned char*>(message.data()),
       message.size(), reinterpret_cast<unsigned char*>(key.data()), &length);
  return key;
}

// Collects what admission must know of the images, in prompt order.
class ImagePricer {
 public:
  ImagePricer(const v1::GenerateRequest& request, const ServedModel& model, const GatewaySection& config,
              const ClusterLimits& limits)
      : model_(model), config_(config), limits_(limits), slice_(model.config.slice) {
    if (request.has_max_slice_nums()) slice_.max_slice_nums = request.max_slice_nums();
    limits_probe_.bytes_max = config.receive_bytes_max;
    limits_probe_.side_max = config.image_side_max;
    limits_probe_.pixels_max = config.image_pixels_max;
  }

  absl::StatusOr<model::ImagePart> Add(const std::string& bytes, PreparedRequest* prepared) {
    if (!model_.config.vision) return absl::InvalidArgumentError("the model '" + model_.name + "' reads no images");
    const auto index = static_cast<int64_t>(prepared->images.size());
    if (index >= config_.images_max) {
      return absl::InvalidArgumentError(
          absl::StrCat("more than ", config_.images_max, " images, the limit of a request (images_max)"));
    }
    absl::StatusOr<PricedGeometry> priced = Price(bytes);
    if (!priced.ok()) return rpc::WithPrefix(absl::StrCat("image ", index + 1, ": "), priced.status());
    const model::PieceGeometry& geometry = priced->geometry;
    const auto pieces = static_cast<int64_t>(geometry.pieces.size());
    v1::PricedImage image;
    image.set_format(absl::AsciiStrToLower(model::ImageFormatName(priced->header.format)));
    image.set_width(priced->header.width);
    image.set_height(priced->header.height);
    image.set_size_bytes(static_cast<int64_t>(bytes.size()));
    image.set_max_slice_nums(slice_.max_slice_nums);
    image.set_pieces(pieces);
    image.set_patches(geometry.total_patches());
    image.set_cache_key(CacheKey(bytes, slice_.max_slice_nums, model_.fingerprint));
    input.images += 1;
    input.pieces += pieces;
    input.patches += geometry.total_patches();
    input.largest_piece_patches = std::max(input.largest_piece_patches, geometry.largest_piece_patches());
    input.compressed_bytes += static_cast<int64_t>(bytes.size());
    input.decoded_bytes += model::DecodedHostBytes(priced->header.width, priced->header.height,
                                                   geometry.total_patches(), geometry.patch_size);
    prepared->image_bytes.push_back(&bytes);
    prepared->images.push_back(std::move(image));
    return model::ImagePart{.cols = geometry.grid_cols, .rows = geometry.grid_rows};
  }

  admission::PriceInput input;

 private:
  struct PricedGeometry {
    model::ImageHeader header;
    model::PieceGeometry geometry;
  };

  absl::StatusOr<PricedGeometry> Price(const std::string& bytes) const {
    PricedGeometry priced;
    HEADROOM_ASSIGN_OR_RETURN(priced.header, model::ProbeImage(bytes, limits_probe_));
    HEADROOM_ASSIGN_OR_RETURN(priced.geometry, model::ComputePieces(priced.header.width, priced.header.height, slice_));
    if (absl::Status status = model::CheckPiecePatches(priced.geometry, limits_.max_patches_per_step); !status.ok()) {
      const int64_t limit = limits_.max_patches_per_step;
      return OwnRefusal(std::move(status), "MODEL_LIMIT",
                        {"max_patches_per_step", "", priced.geometry.largest_piece_patches(), limit, limit});
    }
    return priced;
  }

  const ServedModel& model_;
  const GatewaySection& config_;
  const ClusterLimits& limits_;
  model::SliceConfig slice_;
  model::ImageLimits limits_probe_;
};

absl::StatusOr<std::vector<model::ChatMessage>> Conversation(const v1::GenerateRequest& request, ImagePricer& pricer,
                                                             PreparedRequest* prepared) {
  std::vector<model::ChatMessage> messages;
  for (const v1::Message& message : request.messages()) {
    const auto role = model::ParseChatRole(message.role());
    if (!role) {
      return absl::InvalidArgumentError("unknown role '" + CutText(message.role(), 64) +
                                        "'; it must be system, user or assistant");
    }
    model::ChatMessage& converted = messages.emplace_back();
    converted.role = *role;
    for (const v1::ContentPart& part : message.content()) {
      switch (part.part_case()) {
        case v1::ContentPart::kText:
          converted.parts.emplace_back(part.text());
          break;
        case v1::ContentPart::kImage: {
          HEADROOM_ASSIGN_OR_RETURN(model::ImagePart image, pricer.Add(part.image().data(), prepared));
          converted.parts.emplace_back(image);
          break;
        }
        default:
          return absl::InvalidArgumentError("a content part is neither text nor image");
      }
    }
  }
  return messages;
}

// One span per piece: embeddings of image i are reference i, its pieces counted from 0.
void FillSpans(const model::Prompt& prompt, PreparedRequest* prepared) {
  size_t next = 0;
  for (size_t image = 0; image < prepared->images.size(); ++image) {
    for (int64_t piece = 0; piece < prepared->images[image].pieces(); ++piece, ++next) {
      v1::EmbeddingSpan& span = prepared->spans.emplace_back();
      span.set_begin(prompt.pieces[next].begin);
      span.set_rows(prompt.pieces[next].end - prompt.pieces[next].begin);
      span.set_ref(static_cast<int32_t>(image));
      span.set_piece(piece);
      prepared->usage.set_image_tokens(prepared->usage.image_tokens() + span.rows());
    }
  }
}

absl::StatusOr<int64_t> ResolveMaxTokens(const v1::GenerateRequest& request, int64_t prompt_tokens,
                                         const GatewaySection& config, const ClusterLimits& limits) {
  const int64_t left = limits.max_model_len - prompt_tokens;
  if (!request.has_max_tokens()) return std::min(config.max_tokens_default, left);
  if (request.max_tokens() > left) {
    return OwnRefusal(
        absl::InvalidArgumentError(absl::StrCat("the prompt of ", prompt_tokens, " tokens and max_tokens ",
                                                request.max_tokens(), " are more than max_model_len, ",
                                                limits.max_model_len, " tokens")),
        "MODEL_LIMIT",
        {"model_len", "", prompt_tokens + request.max_tokens(), limits.max_model_len, limits.max_model_len}, {},
        prompt_tokens);
  }
  return request.max_tokens();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServedModel>> ServedModel::Load(const std::string& directory,
                                                               int64_t embedding_element_bytes) {
  auto model = std::make_unique<ServedModel>();
  HEADROOM_ASSIGN_OR_RETURN(model->config, model::LoadModelConfig(directory));
  HEADROOM_ASSIGN_OR_RETURN(const model::Checkpoint checkpoint, model::Checkpoint::Open(directory));
  HEADROOM_ASSIGN_OR_RETURN(model->fingerprint, model::ModelFingerprint(directory, checkpoint));
  HEADROOM_ASSIGN_OR_RETURN(model->tokenizer, model::Tokenizer::FromFile(directory + "/tokenizer.json"));
  if (model->tokenizer->vocab_size() > model->config.llm.vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat(directory, ": the tokenizer has ids up to ",
                                                   model->tokenizer->vocab_size() - 1, ", the model a vocabulary of ",
                                                   model->config.llm.vocab_size));
  }
  HEADROOM_ASSIGN_OR_RETURN(const std::string tokenizer_config, ReadSmallFile(directory + "/tokenizer_config.json"));
  HEADROOM_ASSIGN_OR_RETURN(model::ChatTemplate chat, model::ChatTemplate::FromTokenizerConfig(tokenizer_config));
  model->stop_ids = StopIds(model->config, *model->tokenizer, chat);
  std::optional<model::ImageMarkers> markers;
  if (model->config.vision) markers = Markers(model->config);
  HEADROOM_ASSIGN_OR_RETURN(model::PromptBuilder prompts,
                            model::PromptBuilder::Create(model->tokenizer.get(), std::move(chat), std::move(markers)));
  model->prompts = std::make_unique<model::PromptBuilder>(std::move(prompts));
  model->embedding_bytes_per_piece =
      model->config.resampler.query_num * model->config.llm.hidden_size * embedding_element_bytes;
  const std::filesystem::path path = std::filesystem::path(directory).lexically_normal();
  model->name = path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
  return model;
}

absl::StatusOr<PreparedRequest> Prepare(const v1::GenerateRequest& request, const ServedModel& model,
                                        const GatewaySection& config, const ClusterLimits& limits) {
  PreparedRequest prepared;
  HEADROOM_RETURN_IF_ERROR(CheckScalars(request, model));
  HEADROOM_ASSIGN_OR_RETURN(prepared.sampling, ResolveSampling(request.sampling(), model.config.generation));
  prepared.stop_strings.assign(request.stop().begin(), request.stop().end());

  ImagePricer pricer(request, model, config, limits);
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<model::ChatMessage> messages, Conversation(request, pricer, &prepared));
  // One token of room at least: a prompt that leaves none can have no answer.
  HEADROOM_ASSIGN_OR_RETURN(model::Prompt prompt, model.prompts->Build(messages, limits.max_model_len - 1));
  FillSpans(prompt, &prepared);
  const auto prompt_tokens = static_cast<int64_t>(prompt.ids.size());
  HEADROOM_ASSIGN_OR_RETURN(prepared.max_tokens, ResolveMaxTokens(request, prompt_tokens, config, limits));
  prepared.prompt_ids = std::move(prompt.ids);

  pricer.input.prompt_tokens = prompt_tokens;
  pricer.input.image_tokens = prepared.usage.image_tokens();
  pricer.input.max_tokens = prepared.max_tokens;
  pricer.input.block_size = limits.block_size;
  if (pricer.input.images > 0) {
    pricer.input.embedding_bytes_per_piece =
        limits.embedding_piece_bytes > 0 ? limits.embedding_piece_bytes : model.embedding_bytes_per_piece;
  }
  HEADROOM_ASSIGN_OR_RETURN(prepared.price, admission::ComputePrice(pricer.input));

  prepared.usage.set_prompt_tokens(prompt_tokens);
  prepared.usage.set_images(pricer.input.images);
  prepared.usage.set_pieces(pricer.input.pieces);
  return prepared;
}

int64_t PrepareBytes(const v1::GenerateRequest& request, const ServedModel& model, const ClusterLimits& limits) {
  int64_t text_bytes = 0;
  for (const v1::Message& message : request.messages()) {
    for (const v1::ContentPart& part : message.content()) text_bytes += static_cast<int64_t>(part.text().size());
  }
  return model::Tokenizer::kWorkBytesPerTextByte *
         std::min(text_bytes, model.prompts->TextBytesMax(limits.max_model_len));
}

}  // namespace headroom::gateway
