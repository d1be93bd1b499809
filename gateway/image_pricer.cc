#include "gateway/image_pricer.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <algorithm>

#include "common/embedding_pages.h"
#include "common/error_details.h"
#include "common/random.h"
#include "common/utf8.h"
#include "gateway/out_of_range.h"
#include "gateway/own_refusals.h"
#include "model/image/host_bytes.h"

namespace headroom::gateway {
namespace {

// HMAC-SHA256 over hash of the bytes, slice limit, what shows through transparent pixels, and model. The key is this
// process's own, so keys of different gateways never meet and a client that knows a picture cannot tell whether
// somebody else sent it.
std::string CacheKey(const std::string& bytes, int32_t max_slice_nums, const std::string& transparency,
                     const std::string& fingerprint) {
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
  message += absl::StrCat(max_slice_nums, " ", transparency, " ", fingerprint);
  std::string key(SHA256_DIGEST_LENGTH, '\0');
  unsigned int length = 0;
  HMAC(EVP_sha256(), salt.data(), static_cast<int>(salt.size()), reinterpret_cast<const unsigned char*>(message.data()),
       message.size(), reinterpret_cast<unsigned char*>(key.data()), &length);
  return key;
}

}  // namespace

ImagePricer::ImagePricer(std::optional<int32_t> max_slice_nums, const ServedModel& model, const GatewaySection& config,
                         const ClusterLimits& limits, Pictures pictures)
    : model_(model), config_(config), limits_(limits), pictures_(pictures), max_slice_nums_(max_slice_nums) {
  limits_probe_.bytes_max = config.receive_bytes_max;
  limits_probe_.side_max = config.image_side_max;
  limits_probe_.pixels_max = config.image_pixels_max;
}

absl::StatusOr<model::ImagePart> ImagePricer::Add(const v1::Image& asked) {
  model::PictureRule rule = model_.config.Pictures();
  std::optional<int32_t> slices = max_slice_nums_;
  if (asked.has_max_slice_nums()) slices = asked.max_slice_nums();
  if (slices) model::LimitSlices(*slices, rule);
  const std::string& bytes = asked.data();
  const int64_t size_bytes = asked.has_size() ? asked.size().size_bytes() : static_cast<int64_t>(bytes.size());
  const absl::StatusOr<PricedGeometry> priced = Price(asked, rule);
  if (!priced.ok()) return WithPrefix(absl::StrCat("image ", images_.size() + 1, ": "), priced.status());
  const model::PieceGeometry& geometry = priced->geometry;
  v1::PricedImage image;
  image.set_format(model::ImageFormatKey(priced->header.format));
  image.set_width(priced->header.width);
  image.set_height(priced->header.height);
  image.set_size_bytes(size_bytes);
  image.set_max_slice_nums(model::SlicesMax(rule));
  for (const model::PieceShape& piece : geometry.pieces) {
    image.add_piece_rows(piece.rows);
    columns_.push_back(piece.columns);
    input_.image_tokens += piece.rows;
    input_.embedding_pages += EmbeddingPages(piece.rows);
  }
  image.set_patches(geometry.total_patches());
  image.set_drop_alpha(config_.image_transparency == "dropped");
  image.set_cache_key(CacheKey(bytes, image.max_slice_nums(), config_.image_transparency, model_.fingerprint));
  input_.images += 1;
  input_.pieces += image.piece_rows_size();
  input_.patches += geometry.total_patches();
  input_.largest_piece_patches = std::max(input_.largest_piece_patches, geometry.largest_piece_patches());
  input_.compressed_bytes += size_bytes;
  input_.decoded_bytes += model::DecodedHostBytes(priced->header.format, geometry);
  image_bytes_.push_back(&bytes);
  images_.push_back(std::move(image));
  return model::ImagePart{.cols = geometry.grid_cols, .rows = geometry.grid_rows, .piece_rows = geometry.piece_rows()};
}

absl::StatusOr<model::ImageHeader> ImagePricer::Header(const v1::Image& image) const {
  if (!image.has_size()) return model::ProbeImage(image.data(), limits_probe_);
  if (pictures_ == Pictures::kInBytes) {
    return absl::InvalidArgumentError("a size alone is enough for a price and for nothing else: data is wanted");
  }
  if (!image.data().empty()) return absl::InvalidArgumentError("size excludes data");
  const v1::ImageSize& size = image.size();
  HEADROOM_RETURN_IF_ERROR(model::CheckImageSize(size.width(), size.height(), limits_probe_));
  if (size.size_bytes() < 0 || size.size_bytes() > limits_probe_.bytes_max) {
    return OutOfRange("size.size_bytes", size.size_bytes(),
                      absl::StrCat("in [0, ", limits_probe_.bytes_max, "] (receive_bytes_max)"));
  }
  // Decoded whole, as any format but JPEG always is.
  const std::string format = size.format().empty() ? model::ImageFormatKey(model::ImageFormat::kPng) : size.format();
  const std::optional<model::ImageFormat> known = model::ImageFormatFromKey(format);
  if (!known) {
    return absl::InvalidArgumentError(
        absl::StrCat("size.format is '", CutText(format, 16), "'; it must be png, jpeg, webp, gif or bmp, or empty"));
  }
  return model::ImageHeader{*known, static_cast<int>(size.width()), static_cast<int>(size.height())};
}

absl::StatusOr<ImagePricer::PricedGeometry> ImagePricer::Price(const v1::Image& image,
                                                               const model::PictureRule& rule) const {
  if (!model_.config.Sees()) return absl::InvalidArgumentError("the model '" + model_.name + "' reads no images");
  if (static_cast<int64_t>(images_.size()) >= config_.images_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("more than ", config_.images_max, " images, the limit of a request (images_max)"));
  }
  if (const auto* slices = std::get_if<model::SliceConfig>(&rule);
      slices != nullptr && (slices->max_slice_nums < 1 || slices->max_slice_nums > model::kMaxSliceNumsLimit)) {
    return OutOfRange("max_slice_nums", slices->max_slice_nums,
                      absl::StrCat("in [1, ", model::kMaxSliceNumsLimit, "]"));
  }
  PricedGeometry priced;
  HEADROOM_ASSIGN_OR_RETURN(priced.header, Header(image));
  HEADROOM_ASSIGN_OR_RETURN(priced.geometry, model::PiecesOf(priced.header.width, priced.header.height, rule));
  const int64_t limit = limits_.max_patches_per_step;
  if (absl::Status status = model::CheckPiecePatches(priced.geometry, limit); !status.ok()) {
    return OwnRefusal(
        RefusalReason::kModelLimit, std::string(status.message()),
        admission::Shortfall{"max_patches_per_step", "", priced.geometry.largest_piece_patches(), limit, limit});
  }
  return priced;
}

}  // namespace headroom::gateway
