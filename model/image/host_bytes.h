// How large a picture is decoded, and what it takes of a vision-worker's host memory while it is decoded and cut.
#pragma once

#include <cstdint>

#include "model/image/header.h"
#include "model/image/pieces.h"

namespace headroom::model {

// Up to here every picture is decoded whole.
inline constexpr int64_t kWholeDecodePixelsMax = 40'000'000;

// 1, 2, 4 or 8: a JPEG of more than kWholeDecodePixelsMax pixels is decoded at 1/shrink of its sides (rounded up), by a
// smaller inverse transform, where that leaves at least twice the pixels a side that the largest resize wants. Other
// formats cannot: 1.
int DecodeShrink(ImageFormat format, const PieceGeometry& geometry);

// Pixels of a side at 1/shrink.
inline int ShrunkSide(int side, int shrink) { return (side + shrink - 1) / shrink; }

// Bytes, at most, beside the compressed file: the decoded picture as 8-bit RGB; the pixels of all pieces, which wait
// for the vision tower; and the sheet that slices are cut from, which is no larger than the pieces. What a resize takes
// by itself is bounded for each decoder and not for each picture. The sides are at most kImageSideLimit, so nothing
// overflows.
int64_t DecodedHostBytes(ImageFormat format, const PieceGeometry& geometry);

}  // namespace headroom::model
