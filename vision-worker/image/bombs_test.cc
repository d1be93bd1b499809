// Small files that ask for much: each must end as INVALID_ARGUMENT, in the header probe or in the decoder, and the next
// picture works.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <zlib.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "common/testing/paths.h"
#include "vision-worker/image/sandbox.h"

namespace headroom::vision_worker {
namespace {

using File = std::pair<std::string, std::string>;  // name, bytes

std::string Be(uint32_t value, int count) {
  std::string out;
  for (int shift = 8 * (count - 1); shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
  return out;
}
std::string Le(uint32_t value, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += static_cast<char>(value >> 8 * i);
  return out;
}

std::string PngChunk(const std::string& name, const std::string& body) {
  std::string named = name + body;
  auto crc = crc32(0, reinterpret_cast<const Bytef*>(named.data()), uInt(named.size()));
  return Be(uint32_t(body.size()), 4) + named + Be(uint32_t(crc), 4);
}

std::string Deflate(const std::string& data) {
  uLongf size = compressBound(data.size());
  std::string out(size, '\0');
  EXPECT_EQ(compress2(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(data.data()),
                      data.size(), 1),
            Z_OK);
  out.resize(size);
  return out;
}

std::string Png(uint32_t width, uint32_t height, const std::string& data, int depth = 8, int colour = 2,
                int interlace = 0) {
  return "\x89PNG\r\n\x1a\n" +
         PngChunk("IHDR", Be(width, 4) + Be(height, 4) + Be(depth, 1) + Be(colour, 1) + Be(0, 2) + Be(interlace, 1)) +
         PngChunk("IDAT", data) + PngChunk("IEND", "");
}

std::string JpegFrame(int marker, uint32_t width, uint32_t height, int components, int sampling = 0x11) {
  std::string out =
      "\xFF" + Be(marker, 1) + Be(8 + 3 * components, 2) + Be(8, 1) + Be(height, 2) + Be(width, 2) + Be(components, 1);
  for (int i = 0; i < components; ++i) out += Be(i + 1, 1) + Be(i == 0 ? sampling : 0x11, 1) + Be(0, 1);
  return out;
}

// Flat quantisation and the shortest possible Huffman tables, so that scans of zeros are legal.
std::string JpegTables() {
  std::string quant = "\xFF\xDB" + Be(67, 2) + std::string(1, '\0') + std::string(64, '\1');
  std::string huffman;
  for (int table : {0x00, 0x10})
    huffman += "\xFF\xC4" + Be(20, 2) + Be(table, 1) + "\1" + std::string(15, '\0') + std::string(1, '\0');
  return quant + huffman;
}

std::string JpegScan(int components, int from, int to) {
  std::string out = "\xFF\xDA" + Be(6 + 2 * components, 2) + Be(components, 1);
  for (int i = 0; i < components; ++i) out += Be(i + 1, 1) + Be(0, 1);
  return out + Be(from, 1) + Be(to, 1) + Be(0, 1);
}

std::string Riff(const std::string& chunks) { return "RIFF" + Le(uint32_t(chunks.size() + 4), 4) + "WEBP" + chunks; }
std::string WebpChunk(const std::string& name, const std::string& body) {
  return name + Le(uint32_t(body.size()), 4) + body + std::string(body.size() % 2, '\0');
}
std::string Vp8(uint32_t width, uint32_t height) {
  return WebpChunk("VP8 ", Le(0x10, 3) + "\x9d\x01\x2a" + Le(width, 2) + Le(height, 2) + std::string(40, '\0'));
}
std::string Vp8l(uint32_t width, uint32_t height, char fill) {
  return WebpChunk("VP8L", "\x2f" + Le((width - 1) | (height - 1) << 14, 4) + std::string(40, fill));
}
std::string Vp8x(int flags, uint32_t width, uint32_t height) {
  return WebpChunk("VP8X", Le(uint32_t(flags), 4) + Le(width - 1, 3) + Le(height - 1, 3));
}
std::string Anmf(uint32_t x, uint32_t y, uint32_t width, uint32_t height, const std::string& frame) {
  return WebpChunk("ANMF",
                   Le(x / 2, 3) + Le(y / 2, 3) + Le(width - 1, 3) + Le(height - 1, 3) + Le(100, 3) + Le(0, 1) + frame);
}

const std::pair<uint32_t, uint32_t> kTooLarge[] = {{60000, 60000}, {65535, 65535}, {32768, 32768}, {20000, 20000},
                                                   {32769, 100},   {100, 32769},   {8001, 8000},   {32768, 1},
                                                   {1, 32768},     {16384, 16384}};
const std::pair<uint32_t, uint32_t> kJustAllowed[] = {{8000, 8000}, {32768, 1953}, {1953, 32768}, {16383, 3906}};

void AddPng(std::vector<File>& files) {
  const std::string little = Deflate(std::string(1000, '\0'));
  const std::string zeros = Deflate(std::string(4 << 20, '\0'));
  for (auto [width, height] : kTooLarge) files.push_back({"png header", Png(width, height, little)});
  files.push_back({"png 2^31", Png(0x80000000u, 0x80000000u, little)});
  files.push_back({"png 0xFFFFFFFF", Png(0xFFFFFFFFu, 1, little)});
  for (auto [width, height] : kJustAllowed) {
    files.push_back({"png few rows", Png(width, height, little)});
    files.push_back({"png few rows interlaced", Png(width, height, little, 16, 0, 1)});
    files.push_back({"png some rows", Png(width, height, zeros, 16, 6)});
    files.push_back({"png raw garbage", Png(width, height, std::string(500, 'x'))});
  }
  files.push_back({"png wrong row filter", Png(16, 16, Deflate(std::string(16 * 49, '\x09')))});
}

void AddJpeg(std::vector<File>& files) {
  for (auto [width, height] : kTooLarge)
    files.push_back({"jpeg header", "\xFF\xD8" + JpegFrame(0xC0, width & 0xFFFF, height & 0xFFFF, 3)});
  for (auto [width, height] : kJustAllowed) {
    std::string progressive = "\xFF\xD8" + JpegTables() + JpegFrame(0xC2, width, height, 4, 0x44) + JpegScan(4, 0, 0);
    files.push_back({"jpeg without data", progressive});
    files.push_back({"jpeg with an early end", progressive + "\xFF\xD9"});
    files.push_back({"jpeg baseline without data",
                     "\xFF\xD8" + JpegTables() + JpegFrame(0xC0, width, height, 3) + JpegScan(3, 0, 63)});
  }
  std::string scans = "\xFF\xD8" + JpegTables() + JpegFrame(0xC2, 2048, 2048, 1) + JpegScan(1, 0, 0);
  for (int i = 0; i < 2000; ++i) scans += JpegScan(1, 1, 63);
  files.push_back({"jpeg with 2000 empty scans", scans + "\xFF\xD9"});
}

void AddWebp(std::vector<File>& files) {
  for (auto [width, height] : kTooLarge) files.push_back({"webp canvas", Riff(Vp8x(0, width, height) + Vp8(16, 16))});
  files.push_back({"webp canvas 2^24", Riff(Vp8x(0, 1 << 24, 1 << 24) + Vp8(16, 16))});
  files.push_back({"webp lossless header", Riff(Vp8l(16384, 16384, '\0'))});
  files.push_back({"webp lossy header", Riff(Vp8(16383, 16383))});
  for (auto [width, height] : kJustAllowed)
    files.push_back({"webp small frame", Riff(Vp8x(0, width, height) + Vp8(16, 16))});
  files.push_back({"webp lossy no data", Riff(Vp8(16383, 2441))});
  for (char fill : {'\0', '\x55', '\xFF'}) files.push_back({"webp lossless no data", Riff(Vp8l(16383, 2441, fill))});
  std::string animation = Vp8x(2, 64, 64) + WebpChunk("ANIM", std::string(6, '\0'));
  files.push_back({"webp frame beside the canvas", Riff(animation + Anmf(60, 60, 16, 16, Vp8(16, 16)))});
  files.push_back({"webp frame larger than the canvas", Riff(animation + Anmf(0, 0, 16383, 2441, Vp8(16383, 2441)))});
  files.push_back({"webp frame of another size", Riff(animation + Anmf(0, 0, 16, 16, Vp8(32, 32)))});
  files.push_back({"webp animation without frames", Riff(animation)});
}

std::string Gif(uint32_t width, uint32_t height, const std::string& data) {
  const std::string size = Le(width, 2) + Le(height, 2);
  return "GIF89a" + size + std::string(3, '\0') + "," + std::string(4, '\0') + size + std::string(1, '\0') + data;
}
// LZW codes behind the length of a code, in data blocks.
std::string GifCodes(int code_bits, const std::string& codes) {
  std::string out = Be(code_bits, 1);
  for (size_t at = 0; at < codes.size(); at += 255) {
    const std::string block = codes.substr(at, 255);
    out += Be(uint32_t(block.size()), 1) + block;
  }
  return out + std::string(1, '\0');
}

void AddGif(std::vector<File>& files) {
  for (auto [width, height] : kTooLarge)
    files.push_back({"gif header", Gif(width & 0xFFFF, height & 0xFFFF, GifCodes(8, ""))});
  for (auto [width, height] : kJustAllowed) {
    files.push_back({"gif without data", Gif(width, height, "")});
    files.push_back({"gif without codes", Gif(width, height, GifCodes(8, ""))});
    files.push_back({"gif of garbage", Gif(width, height, GifCodes(8, std::string(1 << 20, '\xA5')))});
    // Codes of 3 bits, each of which clears the table and is no pixel: 100 100 100 …
    files.push_back({"gif of clear codes", Gif(width, height, GifCodes(2, std::string(3 << 20, '\x24')))});
    files.push_back({"gif of long codes", Gif(width, height, GifCodes(12, std::string(1000, '\x55')))});
  }
  std::string comments = "GIF89a" + Le(8, 2) + Le(8, 2) + std::string(3, '\0') + "!\xFE";
  for (int i = 0; i < 1 << 20; ++i) comments += "\1x";
  files.push_back({"gif of comments", comments + std::string(1, '\0')});
}

std::string Bmp(uint32_t width, uint32_t height, int bits, uint32_t compression, const std::string& data,
                uint32_t offset = 54) {
  return "BM" + Le(0, 8) + Le(offset, 4) + Le(40, 4) + Le(width, 4) + Le(height, 4) + Le(1, 2) + Le(bits, 2) +
         Le(compression, 4) + Le(0, 12) + Le(bits <= 8 ? 1 : 0, 4) + Le(0, 4) + std::string(bits <= 8 ? 4 : 0, '\0') +
         data;
}

void AddBmp(std::vector<File>& files) {
  for (auto [width, height] : kTooLarge) files.push_back({"bmp header", Bmp(width, height, 24, 0, "")});
  files.push_back({"bmp 2^31", Bmp(0x80000000u, 0x80000000u, 32, 0, "")});
  for (auto [width, height] : kJustAllowed) {
    files.push_back({"bmp few rows", Bmp(width, height, 24, 0, std::string(1000, 'x'))});
    files.push_back({"bmp pixels beyond the end", Bmp(width, height, 1, 0, "", 0xFFFFFFFF)});
    files.push_back({"bmp runs without end", Bmp(width, height, 8, 1, std::string("\xFF\1\0\0", 4))});
    std::string still;
    for (int i = 0; i < 1 << 20; ++i) still.append("\0\2\0\0", 4);
    files.push_back({"bmp that moves nowhere", Bmp(width, height, 8, 1, still)});
    files.push_back({"bmp runs beyond a row", Bmp(width, height, 4, 2, std::string(8 << 20, '\xFF'))});
  }
}

// Metadata that is walked before anything is decoded; the picture behind it is cut.
void AddMetadata(std::vector<File>& files) {
  const std::string head =
      "\x89PNG\r\n\x1a\n" + PngChunk("IHDR", Be(16, 4) + Be(16, 4) + Be(8, 1) + Be(2, 1) + Be(0, 3));
  std::string chunks;
  for (int i = 0; i < 200'000; ++i) chunks += PngChunk("eXIf", "II");
  files.push_back({"png of small chunks", head + chunks + PngChunk("IDAT", "x")});
  const std::string directory = "II*" + std::string(1, '\0') + Le(8, 4) + Le(0xFFFF, 2);
  std::string entries;
  for (int i = 0; i < 0xFFFF; ++i) entries += Le(0x010F, 2) + Le(2, 2) + Le(0xFFFFFFFF, 4) + Le(0xFFFFFFFF, 4);
  files.push_back({"png with a large directory", head + PngChunk("eXIf", directory + entries) + PngChunk("IDAT", "x")});
  std::string xmp = "<x tiff:Orientation";
  for (int i = 0; i < 100'000; ++i) xmp += "tiff:Orientation";
  files.push_back({"webp with a large packet", Riff(Vp8x(4, 16, 16) + WebpChunk("XMP ", xmp) + Vp8l(16, 16, '\x55'))});
}

int64_t MaxRssKib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

TEST(BombsTest, EachIsRefusedAndTheNextPictureWorks) {
  std::vector<File> files;
  AddPng(files);
  AddJpeg(files);
  AddWebp(files);
  AddGif(files);
  AddBmp(files);
  AddMetadata(files);
  ASSERT_GE(files.size(), 100u);

  SandboxConfig config;
  config.decoder_path = BinaryDir() + "/bin/headroom-image-decoder";
  config.decoders_max = 1;
  config.decode_ms_max = 120'000;
  absl::StatusOr<std::unique_ptr<ImageSandbox>> sandbox = ImageSandbox::Start(config);
  ASSERT_TRUE(sandbox.ok()) << sandbox.status();
  std::ifstream in(SourceDir() + "/tests/golden/minicpmv/images/small.png", std::ios::binary);
  const std::string good(std::istreambuf_iterator<char>(in), {});
  const int64_t rss_before = MaxRssKib();
  auto decode = [&](const std::string& bytes) {
    absl::StatusOr<model::ImageHeader> header = model::ProbeImage(bytes, {});
    return header.ok() ? (*sandbox)->Decode(bytes, {.header = *header}, std::chrono::seconds(60)).status()
                       : header.status();
  };
  for (const auto& [name, bytes] : files) {
    absl::Status status = decode(bytes);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name << ": " << status;
    ASSERT_TRUE(decode(good).ok()) << "after " << name;
  }
  // Large, nearly empty and right: these cost what a picture of their size costs.
  const std::string dot = Le(1, 2) + Le(1, 2) + std::string(1, '\0') + GifCodes(2, std::string("\x44\x01", 2));
  for (const File& file : {File("gif of one dot", "GIF89a" + Le(8000, 2) + Le(8000, 2) + std::string(3, '\0') + "," +
                                                      std::string(4, '\0') + dot + ";"),
                           File("bmp of no runs", Bmp(8000, 8000, 8, 1, std::string("\0\1", 2)))}) {
    EXPECT_TRUE(decode(file.second).ok()) << file.first << ": " << decode(file.second);
  }
  EXPECT_EQ((*sandbox)->stats().crashed, 0u);
  EXPECT_EQ((*sandbox)->stats().timed_out, 0u);
  // Pixels of a refused picture are never mapped here.
  EXPECT_LT(MaxRssKib() - rss_before, 64 << 10);
}

}  // namespace
}  // namespace headroom::vision_worker
