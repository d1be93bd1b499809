#include "model/checkpoint.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>

#include "model/testing/checkpoint_writer.h"

namespace headroom::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::SafetensorsFile;
using testing::StoredTensor;
using testing::TemporaryDirectory;

constexpr char kIndex[] = "model.safetensors.index.json";

template <typename T>
std::string Bytes(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

std::string OpenMessage(const TemporaryDirectory& directory, const CheckpointLimits& limits = {}) {
  const auto checkpoint = Checkpoint::Open(directory.path(), limits);
  return checkpoint.ok() ? "opened" : std::string(checkpoint.status().message());
}

TEST(Checkpoint, ReadsBytesAndRows) {
  TemporaryDirectory directory;
  directory.Write("model.safetensors",
                  SafetensorsFile({{"b", StoredType::kF32, {2, 3}, Bytes<float>({1, 2, 3, 4, 5, 6})},
                                   {"a", StoredType::kBF16, {2}, Bytes<uint16_t>({0x3f80, 0xc000})},
                                   {"scalar", StoredType::kI64, {}, Bytes<int64_t>({7})}}));
  const auto checkpoint = Checkpoint::Open(directory.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->tensors().size(), 3u);
  EXPECT_EQ(checkpoint->total_bytes(), 24 + 4 + 8);
  ASSERT_NE(checkpoint->Find("b"), nullptr);
  EXPECT_THAT(checkpoint->Find("b")->shape, ElementsAre(2, 3));
  EXPECT_EQ(checkpoint->Find("c"), nullptr);

  std::vector<float> row(3);
  ASSERT_TRUE(checkpoint->ReadRowsAs("b", 1, 1, DType::kF32, std::as_writable_bytes(std::span(row))).ok());
  EXPECT_THAT(row, ElementsAre(4, 5, 6));
  std::vector<float> widened(2);
  ASSERT_TRUE(testing::ReadTensor(*checkpoint, "a", DType::kF32, std::as_writable_bytes(std::span(widened))).ok());
  EXPECT_THAT(widened, ElementsAre(1, -2));
  int64_t number = 0;
  ASSERT_TRUE(checkpoint->Read("scalar", 0, std::as_writable_bytes(std::span(&number, 1))).ok());
  EXPECT_EQ(number, 7);
  float second = 0;
  ASSERT_TRUE(checkpoint->Read("b", 4, std::as_writable_bytes(std::span(&second, 1))).ok());
  EXPECT_EQ(second, 2);
}

// Pages of the file that lie in the page cache; nothing where the kernel does not say, or the file system is the cache.
std::optional<int64_t> CachedPages(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR);
  struct statfs system;
  struct stat info;
  if (fd < 0 || fstatfs(fd, &system) != 0 || fstat(fd, &info) != 0 || system.f_type == TMPFS_MAGIC) return std::nullopt;
  fsync(fd);  // only clean pages can be dropped
  const auto bytes = static_cast<size_t>(info.st_size);
  void* const mapped = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  std::vector<unsigned char> pages((bytes + 4095) / 4096);
  const bool known = mapped != MAP_FAILED && mincore(mapped, bytes, pages.data()) == 0;
  if (mapped != MAP_FAILED) munmap(mapped, bytes);
  close(fd);
  if (!known) return std::nullopt;
  return std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return (page & 1) != 0; });
}

TEST(Checkpoint, WhatIsReadIsNotKeptInThePageCache) {
  constexpr int64_t kElements = 12 << 20;
  TemporaryDirectory directory;
  const std::string file = directory.path() + "/model.safetensors";
  directory.Write("model.safetensors",
                  SafetensorsFile({{"large", StoredType::kBF16, {kElements}, std::string(2 * kElements, 1)},
                                   {"small", StoredType::kF32, {2}, Bytes<float>({1, 2})}}));
  const auto before = CachedPages(file);
  if (!before) GTEST_SKIP() << "the page cache cannot be seen here";
  ASSERT_GT(*before, 0) << "just written";
  const auto checkpoint = Checkpoint::Open(directory.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  std::vector<std::byte> data(2 * kElements);
  ASSERT_TRUE(testing::ReadTensor(*checkpoint, "large", DType::kBF16, data).ok());
  EXPECT_EQ(data.back(), std::byte{1});
  // What the last piece shares with the rest of the file (a block of up to 2 MiB), and what was read ahead.
  EXPECT_LT(*CachedPages(file), *before / 4) << "of " << *before;
  std::vector<float> small(2);
  ASSERT_TRUE(testing::ReadTensor(*checkpoint, "small", DType::kF32, std::as_writable_bytes(std::span(small))).ok());
  checkpoint->DropCached();
  EXPECT_EQ(*CachedPages(file), 0);
}

TEST(Checkpoint, RefusesReadsThatDoNotFit) {
  TemporaryDirectory directory;
  directory.Write("model.safetensors", SafetensorsFile({{"a", StoredType::kF32, {2, 2}, Bytes<float>({1, 2, 3, 4})},
                                                        {"i", StoredType::kI32, {1}, Bytes<int32_t>({1})}}));
  const auto checkpoint = Checkpoint::Open(directory.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  std::vector<std::byte> memory(64);
  const std::span<std::byte> all(memory);
  EXPECT_EQ(checkpoint->Read("x", 0, all).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(checkpoint->Read("a", -1, all.first(1)).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(checkpoint->Read("a", 16, all.first(1)).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(checkpoint->Read("a", INT64_MAX, all.first(1)).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(testing::ReadTensor(*checkpoint, "a", DType::kF32, all.first(15)).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(testing::ReadTensor(*checkpoint, "a", DType::kF32, all.first(20)).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(testing::ReadTensor(*checkpoint, "a", DType::kI32, all.first(16)).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(testing::ReadTensor(*checkpoint, "i", DType::kF32, all.first(4)).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(checkpoint->ReadRowsAs("a", 1, 2, DType::kF32, all.first(16)).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(checkpoint->ReadRowsAs("a", -1, 1, DType::kF32, all.first(8)).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(checkpoint->ReadRowsAs("a", 0, INT64_MAX, DType::kF32, all).code(), absl::StatusCode::kOutOfRange);
}

// The conversion against a slow one of its own, over every 16-bit pattern, longer than the staging buffer.
TEST(Checkpoint, ConvertsEveryHalfAndBf16Value) {
  std::vector<uint16_t> patterns(5 * 65536);
  for (size_t i = 0; i < patterns.size(); ++i) patterns[i] = static_cast<uint16_t>(i);
  const int64_t count = static_cast<int64_t>(patterns.size());
  TemporaryDirectory directory;
  directory.Write("model.safetensors", SafetensorsFile({{"half", StoredType::kF16, {5, 65536}, Bytes(patterns)},
                                                        {"bf16", StoredType::kBF16, {5, 65536}, Bytes(patterns)}}));
  const auto checkpoint = Checkpoint::Open(directory.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  std::vector<float> values(count);
  std::vector<uint16_t> rounded(count);
  ASSERT_TRUE(testing::ReadTensor(*checkpoint, "half", DType::kF32, std::as_writable_bytes(std::span(values))).ok());
  for (int64_t i = 0; i < count; ++i) {
    const int exponent = (patterns[i] >> 10) & 31, mantissa = patterns[i] & 1023;
    const double magnitude = exponent == 31  ? (mantissa ? NAN : INFINITY)
                             : exponent == 0 ? mantissa * std::pow(2.0, -24)
                                             : (1024 + mantissa) * std::pow(2.0, exponent - 25);
    const double expected = patterns[i] & 0x8000 ? -magnitude : magnitude;
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(values[i])) << i;
    } else {
      ASSERT_EQ(values[i], expected) << i;
      ASSERT_EQ(std::signbit(values[i]), std::signbit(expected)) << i;
    }
  }
  ASSERT_TRUE(testing::ReadTensor(*checkpoint, "bf16", DType::kBF16, std::as_writable_bytes(std::span(rounded))).ok());
  EXPECT_EQ(rounded, patterns);
  ASSERT_TRUE(testing::ReadTensor(*checkpoint, "half", DType::kBF16, std::as_writable_bytes(std::span(rounded))).ok());
  for (int64_t i = 0; i < 65536; ++i) {
    const float back = std::bit_cast<float>(static_cast<uint32_t>(rounded[i]) << 16);
    if (std::isnan(values[i])) {
      EXPECT_TRUE(std::isnan(back));
    } else if (!std::isinf(values[i])) {
      ASSERT_LE(std::abs(back - values[i]), std::abs(values[i]) / 256) << i;
    }
  }
}

TEST(Checkpoint, RoundsFloatsToNearestEvenBf16) {
  const auto f = [](uint32_t bits) { return std::bit_cast<float>(bits); };
  const std::vector<float> values = {f(0x3f808000), f(0x3f818000), f(0x3f808001), f(0x3f807fff),
                                     f(0x7f7fffff), f(0x7f800001), f(0xff800000), f(0x80000001)};
  TemporaryDirectory directory;
  directory.Write("model.safetensors", SafetensorsFile({{"a", StoredType::kF32, {8}, Bytes(values)}}));
  const auto checkpoint = Checkpoint::Open(directory.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  std::vector<uint16_t> rounded(8);
  ASSERT_TRUE(testing::ReadTensor(*checkpoint, "a", DType::kBF16, std::as_writable_bytes(std::span(rounded))).ok());
  EXPECT_THAT(rounded, ElementsAre(0x3f80, 0x3f82, 0x3f81, 0x3f80, 0x7f80, 0x7fc0, 0xff80, 0x8000));
}

TEST(Checkpoint, ShardsReadLikeOneFile) {
  for (const char* architecture : {"MiniCPMV", "LlamaForCausalLM"}) {
    TemporaryDirectory one, many;
    testing::WriteRandomModel(one, testing::SmallConfig(architecture),
                              {.seed = 5, .shards = 1, .type = StoredType::kBF16});
    testing::WriteRandomModel(many, testing::SmallConfig(architecture),
                              {.seed = 5, .shards = 3, .type = StoredType::kBF16});
    const auto whole = Checkpoint::Open(one.path());
    const auto parts = Checkpoint::Open(many.path());
    ASSERT_TRUE(whole.ok()) << whole.status();
    ASSERT_TRUE(parts.ok()) << parts.status();
    ASSERT_EQ(whole->tensors().size(), parts->tensors().size());
    EXPECT_EQ(whole->total_bytes(), parts->total_bytes());
    EXPECT_NE(whole->header_digest(), parts->header_digest());
    for (const auto& [name, info] : whole->tensors()) {
      std::vector<std::byte> a(info.bytes), b(info.bytes);
      ASSERT_TRUE(whole->Read(name, 0, a).ok());
      ASSERT_TRUE(parts->Read(name, 0, b).ok()) << name;
      EXPECT_EQ(a, b) << name;
    }
  }
}

// Merged and edited checkpoints leave old copies behind: the index says which one counts.
TEST(Checkpoint, TheIndexDecidesAmongCopies) {
  const std::string one = SafetensorsFile({{"a", StoredType::kU8, {1}, "a"}, {"left", StoredType::kU8, {1}, "l"}});
  const std::string two = SafetensorsFile({{"a", StoredType::kU8, {1}, "A"}, {"b", StoredType::kU8, {1}, "b"}});
  std::vector<std::string> digests;
  for (const char expected : {'a', 'A'}) {
    TemporaryDirectory directory;
    directory.Write("1.safetensors", one);
    directory.Write("2.safetensors", two);
    directory.Write(kIndex, std::string(R"({"weight_map":{"a":")") + (expected == 'a' ? "1" : "2") +
                                R"(.safetensors","b":"2.safetensors"}})");
    const auto checkpoint = Checkpoint::Open(directory.path());
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    EXPECT_EQ(checkpoint->tensors().size(), 2u);
    EXPECT_EQ(checkpoint->total_bytes(), 2);
    std::byte value;
    ASSERT_TRUE(checkpoint->Read("a", 0, std::span(&value, 1)).ok());
    EXPECT_EQ(static_cast<char>(value), expected);
    EXPECT_EQ(checkpoint->Find("left"), nullptr);
    digests.push_back(checkpoint->header_digest());
  }
  EXPECT_NE(digests[0], digests[1]) << "another choice is another model";
}

TEST(Checkpoint, ShardsWithoutAnIndex) {
  const auto shard = [](const char* name) { return SafetensorsFile({{name, StoredType::kU8, {1}, name}}); };
  TemporaryDirectory directory;
  directory.Write("model-00002-of-00003.safetensors", shard("b"));
  directory.Write("model-00001-of-00003.safetensors", shard("a"));
  for (const char* other : {"model-1-of-3.safetensors", "model-00003-of-00003.safetensors.part",
                            "optimizer.safetensors", "model-00001-of-00004.bin"}) {
    directory.Write(other, "not looked at");
  }
  EXPECT_THAT(OpenMessage(directory), HasSubstr("2 of 3 shards: model-00003-of-00003.safetensors is missing"));
  directory.Write("model-00003-of-00003.safetensors", shard("a"));
  EXPECT_THAT(OpenMessage(directory),
              HasSubstr("tensor a is in another file too, and no model.safetensors.index.json"));
  directory.Write("model-00003-of-00003.safetensors", shard("c"));
  const auto checkpoint = Checkpoint::Open(directory.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->tensors().size(), 3u);
  EXPECT_THAT(OpenMessage(directory, {.shards_max = 2}), HasSubstr("shards, the limit is 2"));
  directory.Write("model-00001-of-00004.safetensors", shard("a"));
  EXPECT_THAT(OpenMessage(directory), HasSubstr("shards of 3 and of 4"));
}

TEST(Checkpoint, FilesThatChangeAfterwards) {
  for (const char* change : {"shorter", "longer"}) {
    TemporaryDirectory directory;
    const std::string file = SafetensorsFile({{"a", StoredType::kF32, {64}, std::string(256, 'x')}});
    directory.Write("model.safetensors", file);
    const auto checkpoint = Checkpoint::Open(directory.path());
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    std::filesystem::resize_file(directory.path() + "/model.safetensors",
                                 std::string(change) == "shorter" ? file.size() - 8 : file.size() + 8);
    std::vector<std::byte> memory(256);
    const absl::Status status = checkpoint->Read("a", 0, memory);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << change;
    EXPECT_THAT(std::string(status.message()), HasSubstr("changed while in use"));
  }
}

TEST(Checkpoint, NoFilesAtAll) {
  TemporaryDirectory directory;
  EXPECT_THAT(OpenMessage(directory),
              HasSubstr("has no model.safetensors, no model.safetensors.index.json and no model-00001"));
  EXPECT_EQ(Checkpoint::Open(directory.path() + "/x").status().code(), absl::StatusCode::kInvalidArgument);
  std::filesystem::create_directory(directory.path() + "/model.safetensors");
  EXPECT_THAT(OpenMessage(directory), HasSubstr("model.safetensors: not a regular file"));
  std::filesystem::remove(directory.path() + "/model.safetensors");
  ASSERT_EQ(mkfifo((directory.path() + "/model.safetensors").c_str(), 0600), 0);
  EXPECT_THAT(OpenMessage(directory), HasSubstr("model.safetensors: not a regular file"));
}

struct BadFile {
  const char* what;
  std::string content;
  const char* message;
};

std::string OneTensor(const std::string& fields, size_t data_bytes = 8) {
  return SafetensorsFile("{\"a\":{" + fields + "}}", std::string(data_bytes, '\0'));
}

std::string TwoTensors(const std::string& a, const std::string& b, size_t data_bytes) {
  const std::string head = R"("dtype":"F32","shape":[2],"data_offsets":)";
  return SafetensorsFile("{\"a\":{" + head + a + "},\"b\":{" + head + b + "}}", std::string(data_bytes, '\0'));
}

TEST(Checkpoint, MalformedFilesAreRefused) {
  const std::string good = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";
  ASSERT_EQ(
      [&] {
        TemporaryDirectory directory;
        directory.Write("model.safetensors", OneTensor(good));
        return OpenMessage(directory);
      }(),
      "opened");
  const std::string ones(8, '\xff');
  const BadFile bad[] = {
      {"empty", "", "0 bytes is too short"},
      {"seven bytes", std::string(7, '\0'), "7 bytes is too short"},
      {"header of zero bytes", std::string(8, '\0'), "header does not start with {"},
      {"header longer than the file", SafetensorsFile("{}", "").substr(0, 9), "header of 2 bytes in a file of 9"},
      {"header of 2^64-1", ones + "{}", "header of 18446744073709551615 bytes, the limit is 100000000"},
      {"header above 100 MB", std::string("\x01\xe1\xf5\x05\0\0\0\0", 8) + "{}",
       "header of 100000001 bytes, the limit"},
      {"truncated data", OneTensor(good, 7), "8 bytes of tensors, but the file ends after 7"},
      {"no data", OneTensor(good, 0), "8 bytes of tensors, but the file ends after 0"},
      {"trailing byte", OneTensor(good, 9), "8 bytes of tensors, but the file has 9"},
      {"not JSON", SafetensorsFile("{\"a\":", ""), "is not valid JSON"},
      {"text behind the JSON", SafetensorsFile("{} {}", ""), "is not valid JSON"},
      {"leading space", SafetensorsFile(" {}", ""), "header does not start with {"},
      {"a list", SafetensorsFile("[]", ""), "header does not start with {"},
      {"invalid UTF-8", SafetensorsFile("{\"\xff\":{}}", ""), "is not valid JSON"},
      {"tensor is a number", SafetensorsFile("{\"a\":3}", ""), "does not expect the number 3"},
      {"tensor is null", SafetensorsFile("{\"a\":null}", ""), "does not expect null"},
      {"tensor is a list", SafetensorsFile("{\"a\":[]}", ""), "does not expect a list"},
      {"no dtype", OneTensor(R"("shape":[2],"data_offsets":[0,8])"), "needs dtype, shape and data_offsets"},
      {"no shape", OneTensor(R"("dtype":"F32","data_offsets":[0,8])"), "needs dtype, shape and data_offsets"},
      {"no offsets", OneTensor(R"("dtype":"F32","shape":[2])"), "needs dtype, shape and data_offsets"},
      {"empty object", OneTensor(""), "needs dtype, shape and data_offsets"},
      {"unknown field", OneTensor(good + R"(,"x":1)"), "unknown field \"x\""},
      {"unknown dtype", OneTensor(R"("dtype":"F4","shape":[2],"data_offsets":[0,8])"), "dtype: unknown type \"F4\""},
      {"lower-case dtype", OneTensor(R"("dtype":"f32","shape":[2],"data_offsets":[0,8])"), "unknown type"},
      {"dtype is a number", OneTensor(R"("dtype":32,"shape":[2],"data_offsets":[0,8])"),
       "does not expect the number 32"},
      {"dtype is a list", OneTensor(R"("dtype":[2],"shape":[2],"data_offsets":[0,8])"), "does not expect a list"},
      {"shape is a string", OneTensor(R"("dtype":"F32","shape":"2","data_offsets":[0,8])"), "does not expect a string"},
      {"shape is nested", OneTensor(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])"), "does not expect a list"},
      {"shape holds an object", OneTensor(R"("dtype":"F32","shape":[{}],"data_offsets":[0,8])"),
       "does not expect an object"},
      {"negative dimension", OneTensor(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"),
       "does not expect the number -2"},
      {"fractional dimension", OneTensor(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])"),
       "does not expect the number 2.0"},
      {"dimension of 2^64-1", OneTensor(R"("dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8])"),
       "too large"},
      {"dimension of 10^30",
       OneTensor(R"("dtype":"F32","shape":[1000000000000000000000000000000],"data_offsets":[0,8])"),
       "does not expect the number 1000000000000000000000000000000"},
      {"elements overflow", OneTensor(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8])"),
       "is too large"},
      {"elements wrap to 2", OneTensor(R"("dtype":"F32","shape":[9223372036854775807,2,2],"data_offsets":[0,8])"),
       "is too large"},
      {"bytes overflow", OneTensor(R"("dtype":"F64","shape":[4611686018427387904],"data_offsets":[0,8])"),
       "is too large"},
      {"zero-size tensor", OneTensor(R"("dtype":"F32","shape":[0],"data_offsets":[0,0])", 0), "shape [0] is empty"},
      {"zero beside a huge dimension",
       OneTensor(R"("dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0])", 0), "is too large"},
      {"nine dimensions", OneTensor(R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8])"),
       "more than 8 entries"},
      {"one offset", OneTensor(R"("dtype":"F32","shape":[2],"data_offsets":[8])"), "has 1 entries, must have 2"},
      {"three offsets", OneTensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,8])"), "has 3 entries, must have 2"},
      {"offsets backwards", OneTensor(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), "run backwards"},
      {"offsets hold less", OneTensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"),
       "hold 4 bytes, F32 [2] has 8"},
      {"offsets hold more", OneTensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,16])", 16),
       "hold 16 bytes, F32 [2] has 8"},
      {"offsets beyond the file",
       OneTensor(R"("dtype":"F32","shape":[2],"data_offsets":[9223372036854775799,9223372036854775807])"),
       "after a hole"},
      {"dtype twice", OneTensor(R"("dtype":"F32",)" + good), "\"dtype\" appears twice"},
      {"tensor twice", SafetensorsFile("{\"a\":{" + good + "},\"a\":{" + good + "}}", std::string(8, '\0')),
       "\"a\" appears twice"},
      {"overlap", TwoTensors("[0,8]", "[4,12]", 12), "starts at 4, inside the tensor before it (ends at 8)"},
      {"same place", TwoTensors("[0,8]", "[0,8]", 8), "inside the tensor before it"},
      {"hole between", TwoTensors("[0,8]", "[12,20]", 20), "starts at 12, after a hole"},
      {"hole in front", OneTensor(R"("dtype":"F32","shape":[2],"data_offsets":[4,12])", 12),
       "starts at 4, after a hole"},
      {"metadata is a number", SafetensorsFile("{\"__metadata__\":1}", ""), "does not expect the number 1"},
      {"metadata holds a number", SafetensorsFile("{\"__metadata__\":{\"a\":1}}", ""), "does not expect the number 1"},
      {"metadata is nested", SafetensorsFile("{\"__metadata__\":{\"a\":{}}}", ""), "does not expect an object"},
      {"nameless tensor", SafetensorsFile("{\"\":{" + good + "}}", std::string(8, '\0')), "is not printable"},
      {"name with a newline", SafetensorsFile("{\"a\\nb\":{" + good + "}}", std::string(8, '\0')),
       "\"a?b\" is not printable"},
      {"name of 513 bytes", SafetensorsFile("{\"" + std::string(513, 'n') + "\":{" + good + "}}", std::string(8, '\0')),
       "a tensor name has 513 bytes, the limit is 512"},
      {"a million open objects",
       SafetensorsFile(
           [] {
             std::string text;
             for (int i = 0; i < 1000000; ++i) text += "{\"dtype\":";
             return text;
           }(),
           ""),
       "does not expect an object"}};
  EXPECT_GE(std::size(bad), 40u);
  for (const BadFile& file : bad) {
    TemporaryDirectory directory;
    directory.Write("model.safetensors", file.content);
    const auto checkpoint = Checkpoint::Open(directory.path());
    ASSERT_FALSE(checkpoint.ok()) << file.what;
    EXPECT_EQ(checkpoint.status().code(), absl::StatusCode::kInvalidArgument) << file.what;
    EXPECT_THAT(std::string(checkpoint.status().message()), HasSubstr(file.message)) << file.what;
    EXPECT_THAT(std::string(checkpoint.status().message()), HasSubstr("model.safetensors: ")) << file.what;
  }
}

TEST(Checkpoint, CountsAreBounded) {
  std::vector<StoredTensor> tensors;
  for (int i = 0; i < 10; ++i) tensors.push_back({std::to_string(i), StoredType::kU8, {1}, "x"});
  TemporaryDirectory directory;
  directory.Write("model.safetensors", SafetensorsFile(tensors));
  EXPECT_EQ(OpenMessage(directory, {.tensors_max = 11}), "opened");  // __metadata__ counts
  EXPECT_THAT(OpenMessage(directory, {.tensors_max = 9}), HasSubstr("more than 9 tensors"));
  EXPECT_THAT(OpenMessage(directory, {.header_bytes_max = 10}), HasSubstr("the limit is 10"));
}

TEST(Checkpoint, MalformedIndexesAreRefused) {
  const std::string shard_a = SafetensorsFile({{"a", StoredType::kU8, {1}, "a"}});
  const std::string shard_b = SafetensorsFile({{"b", StoredType::kU8, {1}, "b"}});
  const std::string shard_ab = SafetensorsFile({{"a", StoredType::kU8, {1}, "a"}, {"b", StoredType::kU8, {1}, "b"}});
  const auto message = [&](const std::string& index, const std::string& first, const std::string& second) {
    TemporaryDirectory directory;
    if (!first.empty()) directory.Write("1.safetensors", first);
    if (!second.empty()) directory.Write("2.safetensors", second);
    directory.Write(kIndex, index);
    return OpenMessage(directory);
  };
  const std::string good = R"({"metadata":{"total_size":2},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})";
  EXPECT_EQ(message(good, shard_a, shard_b), "opened");
  EXPECT_THAT(message(good, shard_a, ""), HasSubstr("2.safetensors: does not exist"));
  EXPECT_THAT(message(good, shard_b, shard_a), HasSubstr("tensor a is not in 1.safetensors"));
  EXPECT_THAT(message(good, shard_a, shard_a), HasSubstr("tensor b is not in 2.safetensors"));
  EXPECT_THAT(message(R"({"weight_map":{"a":"1.safetensors","c":"1.safetensors"}})", shard_a, ""),
              HasSubstr("tensor c is not in"));
  for (const char* name : {"../1.safetensors", "/etc/1.safetensors", "x/1.safetensors", "..safetensors", ".safetensors",
                           "1.bin", "", "1.safetensors\\u0000", "a\\n.safetensors"}) {
    EXPECT_THAT(message("{\"weight_map\":{\"a\":\"" + std::string(name) + "\"}}", shard_a, ""),
                HasSubstr("is not a plain .safetensors file name"))
        << name;
  }
  for (const char* index : {"{}", R"({"weight_map":{}})"})
    EXPECT_THAT(message(index, shard_a, ""), HasSubstr("missing or empty"));
  for (const char* index : {R"({"weight_map":3})", R"({"weight_map":["a"]})", R"({"weight_map":{"a":1}})",
                            R"({"weight_map":{"a":{"b":"c"}}})"}) {
    EXPECT_THAT(message(index, shard_a, ""), HasSubstr("weight_map must map")) << index;
  }
  for (const char* index : {"", "{", "{\"weight_map\":{\"a\":\"1.safetensors\"}}x"}) {
    EXPECT_THAT(message(index, shard_a, ""), HasSubstr("is not valid JSON")) << index;
  }
  EXPECT_THAT(message("[]", shard_a, ""), HasSubstr("is not a JSON object"));
  EXPECT_THAT(message("3", shard_a, ""), HasSubstr("is not a JSON object"));
  EXPECT_THAT(message(R"({"weight_map":{"a":"1.safetensors","a":"1.safetensors"}})", shard_a, ""),
              HasSubstr("appears twice"));
  EXPECT_THAT(message("{\"x\":" + std::string(100000, '['), shard_a, ""), HasSubstr("nested deeper"));
}

// Random damage to a good file: an error or a checkpoint that reads, never more.
TEST(Checkpoint, RandomDamageNeverEscapes) {
  const uint64_t seed = std::random_device()();
  std::mt19937_64 random(seed);
  SCOPED_TRACE(seed);
  TemporaryDirectory directory;
  testing::WriteRandomModel(directory, testing::SmallConfig("Qwen2ForCausalLM"));
  const std::string good = directory.Read("model.safetensors");
  uint64_t header = 0;
  std::memcpy(&header, good.data(), 8);
  int refused = 0;
  for (int round = 0; round < 400; ++round) {
    std::string damaged = good;
    for (uint64_t edits = 1 + random() % 3; edits > 0; --edits)
      damaged[random() % (8 + header)] = static_cast<char>(random());
    if (random() % 8 == 0) damaged.resize(random() % damaged.size());
    directory.Write("model.safetensors", damaged);
    const auto checkpoint = Checkpoint::Open(directory.path());
    if (!checkpoint.ok()) {
      ++refused;
      continue;
    }
    for (const auto& [name, info] : checkpoint->tensors()) {
      ASSERT_LE(info.file_offset + info.bytes, static_cast<int64_t>(damaged.size())) << name;
      std::byte last;
      ASSERT_TRUE(checkpoint->Read(name, info.bytes - 1, std::span(&last, 1)).ok()) << name;
    }
  }
  EXPECT_GT(refused, 300);
}

}  // namespace
}  // namespace headroom::model
