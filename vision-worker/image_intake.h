// From a priced image to its pieces: everything that is refused is refused here, before or while pixels are made.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/status.h"
#include "headroom/v1/vision.pb.h"
#include "model/image/header.h"
#include "model/image/picture_rule.h"
#include "vision-worker/image/cut.h"
#include "vision-worker/image/decode_spec.h"
#include "vision-worker/image/rgb_image.h"

namespace headroom::vision_worker {

// Thread-safe.
class ImageIntake {
 public:
  // Pixels of an image whose header was probed: ImageSandbox::Decode.
  using Decode = std::function<absl::StatusOr<RgbImage>(const std::string& bytes, const DecodeSpec& spec)>;

  struct Options {
    model::PictureRule rule;  // of the model; the most slices come with each image
    model::ImageLimits limits;
    int64_t max_patches_per_step = 0;
  };
  ImageIntake(Options options, Decode decode) : options_(options), decode_(std::move(decode)) {}

  // The geometry that follows from the priced width and height, if pieces, the rows of each and patches were priced
  // with it and every piece fits a step. INVALID_ARGUMENT otherwise.
  absl::StatusOr<model::PieceGeometry> CheckPriced(const v1::PricedImage& priced) const;

  // The bytes say of themselves what was priced. INVALID_ARGUMENT otherwise. Reads the header only.
  absl::StatusOr<model::ImageHeader> CheckBytes(const v1::PricedImage& priced, const std::string& bytes) const;

  // Decodes, resizes and cuts what CheckPriced() and CheckBytes() let through. Blocks. Errors of ImageSandbox::Decode.
  absl::StatusOr<std::vector<PiecePixels>> MakePieces(const v1::PricedImage& priced, const std::string& bytes,
                                                      const model::ImageHeader& header,
                                                      const model::PieceGeometry& geometry) const;

 private:
  const Options options_;
  const Decode decode_;
};

// Host memory that an image in flight holds by its price: compressed bytes, decoded pixels, pieces.
int64_t PricedHostBytes(const v1::PricedImage& priced, const model::PieceGeometry& geometry);

}  // namespace headroom::vision_worker
