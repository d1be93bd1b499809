#include "vision-worker/image_intake.h"

#include "model/image/host_bytes.h"

namespace headroom::vision_worker {
namespace {

absl::Status Differs(const char* what, const std::string& found, const std::string& priced) {
  return absl::InvalidArgumentError(absl::StrCat("the image has ", what, " ", found, ", it was priced with ", priced));
}

}  // namespace

int64_t PricedHostBytes(const v1::PricedImage& priced, const model::PieceGeometry& geometry) {
  // A format that is not known is refused with its bytes.
  const auto format = model::ImageFormatFromKey(priced.format()).value_or(model::ImageFormat::kPng);
  return priced.size_bytes() + model::DecodedHostBytes(format, geometry);
}

absl::StatusOr<model::PieceGeometry> ImageIntake::CheckPriced(const v1::PricedImage& priced) const {
  const model::ImageLimits& limits = options_.limits;
  if (priced.width() < 1 || priced.height() < 1 || priced.width() > limits.side_max ||
      priced.height() > limits.side_max) {
    return absl::InvalidArgumentError(absl::StrCat("image of ", priced.width(), " × ", priced.height(),
                                                   " pixels: a side has 1 to ", limits.side_max,
                                                   " (gateway.image_side_max)"));
  }
  if (priced.size_bytes() < 1 || priced.size_bytes() > limits.bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat("image of ", priced.size_bytes(), " bytes: 1 to ", limits.bytes_max,
                                                   " (gateway.receive_bytes_max)"));
  }
  model::PictureRule rule = options_.rule;
  model::LimitSlices(priced.max_slice_nums(), rule);
  HEADROOM_ASSIGN_OR_RETURN(model::PieceGeometry geometry,
                            model::PiecesOf(static_cast<int>(priced.width()), static_cast<int>(priced.height()), rule));
  if (const int pieces = static_cast<int>(geometry.pieces.size()); pieces != priced.piece_rows_size()) {
    return Differs("pieces", absl::StrCat(pieces), absl::StrCat(priced.piece_rows_size()));
  }
  for (int i = 0; i < priced.piece_rows_size(); ++i) {
    const int64_t rows = geometry.pieces[static_cast<size_t>(i)].rows;
    if (rows == priced.piece_rows(i)) continue;
    return Differs("rows", absl::StrCat(rows, " of piece ", i + 1), absl::StrCat(priced.piece_rows(i)));
  }
  if (geometry.total_patches() != priced.patches()) {
    return Differs("patches", absl::StrCat(geometry.total_patches()), absl::StrCat(priced.patches()));
  }
  HEADROOM_RETURN_IF_ERROR(model::CheckPiecePatches(geometry, options_.max_patches_per_step));
  return geometry;
}

absl::StatusOr<model::ImageHeader> ImageIntake::CheckBytes(const v1::PricedImage& priced,
                                                           const std::string& bytes) const {
  if (static_cast<int64_t>(bytes.size()) != priced.size_bytes()) {
    return Differs("bytes", absl::StrCat(bytes.size()), absl::StrCat(priced.size_bytes()));
  }
  HEADROOM_ASSIGN_OR_RETURN(const model::ImageHeader header, model::ProbeImage(bytes, options_.limits));
  const std::string format = model::ImageFormatKey(header.format);
  if (format != priced.format()) return Differs("format", format, priced.format());
  if (header.width != priced.width() || header.height != priced.height()) {
    return Differs("size", absl::StrCat(header.width, " × ", header.height),
                   absl::StrCat(priced.width(), " × ", priced.height()));
  }
  return header;
}

absl::StatusOr<std::vector<PiecePixels>> ImageIntake::MakePieces(const v1::PricedImage& priced,
                                                                 const std::string& bytes,
                                                                 const model::ImageHeader& header,
                                                                 const model::PieceGeometry& geometry) const {
  const DecodeSpec spec{.header = header,
                        .transparency = priced.drop_alpha() ? Transparency::kDropped : Transparency::kWhite,
                        .shrink = model::DecodeShrink(header.format, geometry)};
  HEADROOM_ASSIGN_OR_RETURN(const RgbImage image, decode_(bytes, spec));
  return CutPieces(image, geometry);
}

}  // namespace headroom::vision_worker
