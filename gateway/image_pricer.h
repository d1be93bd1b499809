// What admission must know of the images of a request, from their headers alone: pixels are not decoded here.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "admission/price.h"
#include "common/config.h"
#include "common/status.h"
#include "gateway/cluster_view.h"
#include "gateway/served_model.h"
#include "headroom/v1/gateway.pb.h"
#include "headroom/v1/vision.pb.h"
#include "model/image/header.h"
#include "model/image/picture_rule.h"
#include "model/text/chat_template.h"

namespace headroom::gateway {

// How pictures may be given.
enum class Pictures {
  kInBytes,
  kInBytesOrSizes,  // for a price alone
};

// One per request; everything given must outlive it.
class ImagePricer {
 public:
  // `max_slice_nums`: the request's, absent: the model's.
  ImagePricer(std::optional<int32_t> max_slice_nums, const ServedModel& model, const GatewaySection& config,
              const ClusterLimits& limits, Pictures pictures = Pictures::kInBytes);

  // The next image in prompt order: its place in the prompt. `image` must outlive image_bytes(). INVALID_ARGUMENT names
  // the image by its number from 1.
  absl::StatusOr<model::ImagePart> Add(const v1::Image& image);

  const std::vector<v1::PricedImage>& images() const { return images_; }
  const std::vector<const std::string*>& image_bytes() const { return image_bytes_; }
  // PieceShape::columns of all pieces, in prompt order.
  const std::vector<int64_t>& columns() const { return columns_; }
  // The sums over all images; the rest is empty.
  const admission::PriceInput& input() const { return input_; }

 private:
  struct PricedGeometry {
    model::ImageHeader header;
    model::PieceGeometry geometry;
  };

  absl::StatusOr<model::ImageHeader> Header(const v1::Image& image) const;
  absl::StatusOr<PricedGeometry> Price(const v1::Image& image, const model::PictureRule& rule) const;

  const ServedModel& model_;
  const GatewaySection& config_;
  const ClusterLimits& limits_;
  const Pictures pictures_;
  const std::optional<int32_t> max_slice_nums_;  // of images that bring no limit of their own
  model::ImageLimits limits_probe_;
  admission::PriceInput input_;
  std::vector<v1::PricedImage> images_;
  std::vector<const std::string*> image_bytes_;
  std::vector<int64_t> columns_;
};

}  // namespace headroom::gateway
