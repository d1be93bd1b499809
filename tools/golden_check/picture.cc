#include "tools/golden_check/picture.h"

#include <memory>

#include "model/files.h"
#include "model/image/header.h"
#include "vision-worker/image/codec.h"

namespace headroom::tools {
namespace {

struct File {
  std::string bytes;
  model::ImageHeader header;
  model::PieceGeometry geometry;
};

absl::Status InPicture(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", std::string(status.message())));
}

absl::StatusOr<File> ReadPicture(const std::string& directory, const std::string& path, const model::ModelSpec& config,
                                 std::optional<int> max_slice_nums) {
  const model::ImageLimits limits;
  File file;
  HEADROOM_ASSIGN_OR_RETURN(std::optional<std::string> bytes,
                            model::ReadFileIfPresent(directory, path, limits.bytes_max));
  if (!bytes.has_value()) return absl::NotFoundError(absl::StrCat("picture ", path, " is not in the directory"));
  file.bytes = std::move(*bytes);
  const absl::StatusOr<model::ImageHeader> header = model::ProbeImage(file.bytes, limits);
  if (!header.ok()) return InPicture(path, header.status());
  file.header = *header;
  model::PictureRule rule = config.Pictures();
  if (max_slice_nums.has_value()) model::LimitSlices(*max_slice_nums, rule);
  absl::StatusOr<model::PieceGeometry> geometry = model::PiecesOf(header->width, header->height, rule);
  if (!geometry.ok()) return InPicture(path, geometry.status());
  file.geometry = *std::move(geometry);
  return file;
}

}  // namespace

absl::StatusOr<model::PieceGeometry> ProbePicture(const std::string& directory, const std::string& path,
                                                  const model::ModelSpec& config, std::optional<int> max_slice_nums) {
  HEADROOM_ASSIGN_OR_RETURN(File file, ReadPicture(directory, path, config, max_slice_nums));
  return std::move(file.geometry);
}

absl::StatusOr<Picture> LoadPicture(const std::string& directory, const std::string& path,
                                    const model::ModelSpec& config, std::optional<int> max_slice_nums) {
  HEADROOM_ASSIGN_OR_RETURN(File file, ReadPicture(directory, path, config, max_slice_nums));
  // As the published preprocessor has it, which made the golden data.
  const vision_worker::DecodeSpec spec{.header = file.header,
                                       .transparency = vision_worker::Transparency::kDropped,
                                       .shrink = model::DecodeShrink(file.header.format, file.geometry)};
  vision_worker::RgbImage image{
      .width = spec.width(), .height = spec.height(), .pixels = nullptr, .shrink = spec.shrink};
  const std::shared_ptr<uint8_t> pixels(new uint8_t[static_cast<size_t>(image.bytes())],
                                        std::default_delete<uint8_t[]>());
  // The services decode in a sandboxed process; a directory that somebody checks by hand needs none.
  const vision_worker::DecodeOutcome outcome = vision_worker::DecodeImage(
      spec, reinterpret_cast<const uint8_t*>(file.bytes.data()), file.bytes.size(), pixels.get());
  if (outcome != vision_worker::DecodeOutcome::kOk) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": the ", model::ImageFormatName(file.header.format),
                                                   " decoder refused it (outcome ", static_cast<int>(outcome), ")"));
  }
  image.pixels = pixels;
  Picture picture{.geometry = std::move(file.geometry), .pieces = {}};
  HEADROOM_ASSIGN_OR_RETURN(picture.pieces, vision_worker::CutPieces(image, picture.geometry));
  return picture;
}

}  // namespace headroom::tools
