#include "vision-worker/image/sandbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>

#include "common/testing/paths.h"
#include "vision-worker/image/codec.h"

namespace headroom::vision_worker {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr milliseconds kPatience(60'000);

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::string Picture(const std::string& name) { return ReadFile(SourceDir() + "/vision-worker/image/testdata/" + name); }

SandboxConfig Config(int decoders = 1) {
  SandboxConfig config;
  config.decoder_path = BinaryDir() + "/bin/headroom-image-decoder";
  config.decoders_max = decoders;
  config.decode_ms_max = 60'000;
  return config;
}

std::unique_ptr<ImageSandbox> Start(const SandboxConfig& config) {
  absl::StatusOr<std::unique_ptr<ImageSandbox>> sandbox = ImageSandbox::Start(config);
  EXPECT_TRUE(sandbox.ok()) << sandbox.status();
  return sandbox.ok() ? *std::move(sandbox) : nullptr;
}

// As a service does it: probe, then decode.
absl::StatusOr<RgbImage> Decode(ImageSandbox& sandbox, const std::string& bytes) {
  absl::StatusOr<model::ImageHeader> header = model::ProbeImage(bytes, {});
  if (!header.ok()) return header.status();
  return sandbox.Decode(bytes, {.header = *header}, kPatience);
}

void ExpectWorks(ImageSandbox& sandbox) {
  std::string bytes = Picture("png_c2_d8.png");
  absl::StatusOr<RgbImage> image = Decode(sandbox, bytes);
  ASSERT_TRUE(image.ok()) << image.status();
  std::string want = Picture("png_c2_d8.rgb").substr(8);
  ASSERT_EQ(image->bytes(), int64_t(want.size()));
  EXPECT_EQ(std::memcmp(image->pixels.get(), want.data(), want.size()), 0);
}

// Value of a line `key:` in /proc/PID/status, without blanks in front; empty when the process is gone.
std::string ProcStatus(int pid, const std::string& key) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(key + ":", 0) == 0) return line.substr(line.find_first_not_of(" \t", key.size() + 1));
  }
  return "";
}

// A process whose main thread is a zombie still holds its descriptors while another thread lives: sanitizers add one.
bool Alive(int pid) {
  const std::string state = ProcStatus(pid, "State");
  if (state.empty()) return false;
  const std::string threads = ProcStatus(pid, "Threads");
  return (state[0] != 'Z' && state[0] != 'X') || (!threads.empty() && threads != "1");
}

template <typename Condition>
bool Eventually(Condition condition) {
  for (int i = 0; i < 60'000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(milliseconds(1));
  }
  return false;
}

bool Stopped(int pid) { return ProcStatus(pid, "State").substr(0, 1) == "T"; }

// Freezes the only decoder, so that the next request hangs until something happens to it.
int Freeze(ImageSandbox& sandbox) {
  int pid = sandbox.decoder_pids()[0];
  EXPECT_EQ(kill(pid, SIGSTOP), 0);
  EXPECT_TRUE(Eventually([&] { return Stopped(pid); }));
  return pid;
}

TEST(SandboxTest, PixelsEqualADirectDecode) {
  std::unique_ptr<ImageSandbox> sandbox = Start(Config(2));
  ASSERT_NE(sandbox, nullptr);
  int count = 0;
  for (const auto& entry : fs::directory_iterator(SourceDir() + "/vision-worker/image/testdata")) {
    if (entry.path().extension() == ".rgb" || entry.path().extension() == ".py") continue;
    SCOPED_TRACE(entry.path().filename().string());
    std::string bytes = ReadFile(entry.path());
    absl::StatusOr<RgbImage> image = Decode(*sandbox, bytes);
    ASSERT_TRUE(image.ok()) << image.status();
    std::vector<uint8_t> want(image->bytes());
    absl::StatusOr<model::ImageHeader> header = model::ProbeImage(bytes, {});
    ASSERT_EQ(
        DecodeImage({.header = *header}, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), want.data()),
        DecodeOutcome::kOk);
    EXPECT_EQ(std::memcmp(image->pixels.get(), want.data(), want.size()), 0);
    ++count;
  }
  EXPECT_EQ(sandbox->stats().decoded, uint64_t(count));
}

TEST(SandboxTest, SpecsReachTheDecoder) {
  std::unique_ptr<ImageSandbox> sandbox = Start(Config());
  ASSERT_NE(sandbox, nullptr);
  const auto expect_equal = [&](const std::string& name, Transparency transparency, int shrink) {
    SCOPED_TRACE(name);
    const std::string bytes = Picture(name);
    const absl::StatusOr<model::ImageHeader> header = model::ProbeImage(bytes, {});
    ASSERT_TRUE(header.ok()) << header.status();
    const DecodeSpec spec{.header = *header, .transparency = transparency, .shrink = shrink};
    const absl::StatusOr<RgbImage> image = sandbox->Decode(bytes, spec, kPatience);
    ASSERT_TRUE(image.ok()) << image.status();
    EXPECT_EQ(image->width, spec.width());
    EXPECT_EQ(image->height, spec.height());
    EXPECT_EQ(image->shrink, shrink);
    std::vector<uint8_t> want(image->bytes());
    ASSERT_EQ(DecodeImage(spec, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), want.data()),
              DecodeOutcome::kOk);
    EXPECT_EQ(std::memcmp(image->pixels.get(), want.data(), want.size()), 0);
  };
  expect_equal("png_orientation8_alpha.png", Transparency::kWhite, 1);
  expect_equal("png_orientation8_alpha.png", Transparency::kDropped, 1);
  expect_equal("jpeg_orientation6.jpg", Transparency::kWhite, 4);
}

TEST(SandboxTest, PixelsOutliveTheSandbox) {
  std::unique_ptr<ImageSandbox> sandbox = Start(Config());
  ASSERT_NE(sandbox, nullptr);
  absl::StatusOr<RgbImage> image = Decode(*sandbox, Picture("png_c2_d8.png"));
  ASSERT_TRUE(image.ok());
  sandbox.reset();
  std::string want = Picture("png_c2_d8.rgb").substr(8);
  EXPECT_EQ(std::memcmp(image->pixels.get(), want.data(), want.size()), 0);
}

TEST(SandboxTest, DecodersAreConfined) {
  // A descriptor of ours that is not close-on-exec must not arrive there either.
  int leaked = dup(STDERR_FILENO);
  std::unique_ptr<ImageSandbox> sandbox = Start(Config(2));
  close(leaked);
  ASSERT_NE(sandbox, nullptr);
  for (int pid : sandbox->decoder_pids()) {
    EXPECT_EQ(ProcStatus(pid, "Seccomp"), "2");
    EXPECT_EQ(ProcStatus(pid, "NoNewPrivs"), "1");
    EXPECT_EQ(ProcStatus(pid, "CapEff"), "0000000000000000");
    EXPECT_EQ(ProcStatus(pid, "CapPrm"), "0000000000000000");
    int descriptors = 0;
    for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd"))
      descriptors += entry.is_symlink();
    EXPECT_EQ(descriptors, 4);
    std::string limits = ReadFile("/proc/" + std::to_string(pid) + "/limits");
    EXPECT_THAT(limits, HasSubstr("Max core file size        0                    0"));
    std::string environment = ReadFile("/proc/" + std::to_string(pid) + "/environ");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    EXPECT_EQ(environment, "");
    EXPECT_THAT(limits, HasSubstr("Max open files            5                    5"));
#endif
  }
}

TEST(SandboxTest, EveryPictureGetsAFreshProcess) {
  std::unique_ptr<ImageSandbox> sandbox = Start(Config());
  ASSERT_NE(sandbox, nullptr);
  int before = sandbox->decoder_pids()[0];
  ExpectWorks(*sandbox);
  EXPECT_NE(sandbox->decoder_pids()[0], before);
  EXPECT_FALSE(Alive(before));
}

TEST(SandboxTest, UndecodableImagesGetAReason) {
  std::unique_ptr<ImageSandbox> sandbox = Start(Config());
  ASSERT_NE(sandbox, nullptr);
  std::string bytes = Picture("png_c2_d8.png");
  absl::Status truncated = Decode(*sandbox, bytes.substr(0, bytes.size() - 20)).status();
  EXPECT_EQ(truncated.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(truncated.message(), "image could not be decoded: the data is truncated");
  model::ImageHeader other{model::ImageFormat::kPng, 12, 9};
  EXPECT_EQ(sandbox->Decode(bytes, {.header = other}, kPatience).status().message(),
            "image could not be decoded: its size differs from its header");
  bytes[60] ^= 0x55;
  EXPECT_EQ(Decode(*sandbox, bytes).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(sandbox->Decode("", {.header = other}, kPatience).status().message(),
            "image could not be decoded: the data is truncated");
  other.width = 0;
  EXPECT_EQ(sandbox->Decode(bytes, {.header = other}, kPatience).status().message(),
            "image width: 0 is not between 1 and 65535");
  EXPECT_EQ(sandbox->stats().undecodable, 4u);
  EXPECT_EQ(sandbox->stats().crashed, 0u);
  ExpectWorks(*sandbox);
}

TEST(SandboxTest, ACrashCostsOneRequest) {
  std::unique_ptr<ImageSandbox> sandbox = Start(Config());
  ASSERT_NE(sandbox, nullptr);
  for (uint64_t round = 1; round <= 3; ++round) {
    int pid = Freeze(*sandbox);
    absl::StatusOr<RgbImage> image = absl::UnknownError("");
    std::thread caller([&] { image = Decode(*sandbox, Picture("png_c2_d8.png")); });
    EXPECT_TRUE(Eventually([&] { return sandbox->stats().busy == 1; }));
    std::this_thread::sleep_for(milliseconds(5));
    kill(pid, SIGKILL);
    caller.join();
    // Killed before the request was written, the process is replaced and nobody notices; usually it is killed in the
    // middle of it.
    if (!image.ok()) {
      EXPECT_EQ(image.status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_EQ(image.status().message(), "image could not be decoded");
    }
    EXPECT_EQ(sandbox->stats().crashed + sandbox->stats().decoded, 2 * round - 1);
    ExpectWorks(*sandbox);
  }
}

TEST(SandboxTest, AHangEndsAtTheLimit) {
  SandboxConfig config = Config();
  config.decode_ms_max = 100;
  std::unique_ptr<ImageSandbox> sandbox = Start(config);
  ASSERT_NE(sandbox, nullptr);
  int pid = Freeze(*sandbox);
  absl::Status status = Decode(*sandbox, Picture("jpeg_420.jpg")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "image could not be decoded: it takes longer than 100 ms");
  EXPECT_EQ(sandbox->stats().timed_out, 1u);
  EXPECT_FALSE(Alive(pid));
  EXPECT_NE(sandbox->decoder_pids()[0], pid);
}

TEST(SandboxTest, ADecoderThatDiesIdleIsReplacedUnnoticed) {
  std::unique_ptr<ImageSandbox> sandbox = Start(Config());
  ASSERT_NE(sandbox, nullptr);
  int pid = sandbox->decoder_pids()[0];
  kill(pid, SIGKILL);
  ASSERT_TRUE(Eventually([&] { return !Alive(pid); }));
  ExpectWorks(*sandbox);
  EXPECT_EQ(sandbox->stats().crashed, 0u);
}

TEST(SandboxTest, ADeadSpawnerIsStartedAgain) {
  std::unique_ptr<ImageSandbox> sandbox = Start(Config(2));
  ASSERT_NE(sandbox, nullptr);
  std::vector<int> pids = sandbox->decoder_pids();
  int spawner = std::stoi(ProcStatus(pids[0], "PPid"));
  ASSERT_NE(spawner, getpid());
  kill(spawner, SIGKILL);
  for (int pid : pids) EXPECT_TRUE(Eventually([&] { return !Alive(pid); })) << "decoders die with their spawner";
  for (int i = 0; i < 4; ++i) ExpectWorks(*sandbox);
  EXPECT_NE(std::stoi(ProcStatus(sandbox->decoder_pids()[0], "PPid")), spawner);
}

TEST(SandboxTest, NothingOutlivesTheWorker) {
  int results[2];
  ASSERT_EQ(pipe(results), 0);
  pid_t worker = fork();
  if (worker == 0) {
    absl::StatusOr<std::unique_ptr<ImageSandbox>> sandbox = ImageSandbox::Start(Config(2));
    int pids[2] = {};
    if (sandbox.ok()) std::copy_n((*sandbox)->decoder_pids().begin(), 2, pids);
    if (write(results[1], pids, sizeof(pids)) < 0) _exit(1);
    for (;;) pause();
  }
  int pids[2] = {};
  ASSERT_EQ(read(results[0], pids, sizeof(pids)), ssize_t(sizeof(pids)));
  close(results[0]);
  close(results[1]);
  ASSERT_NE(pids[0], 0);
  int spawner = std::stoi(ProcStatus(pids[0], "PPid"));
  EXPECT_TRUE(Alive(spawner));
  kill(worker, SIGKILL);
  waitpid(worker, nullptr, 0);
  for (int pid : {pids[0], pids[1], spawner}) EXPECT_TRUE(Eventually([&] { return !Alive(pid); }));
}

TEST(SandboxTest, StoppingEndsAllProcesses) {
  std::unique_ptr<ImageSandbox> sandbox = Start(Config(2));
  ASSERT_NE(sandbox, nullptr);
  std::vector<int> pids = sandbox->decoder_pids();
  Freeze(*sandbox);
  pids.push_back(std::stoi(ProcStatus(pids[0], "PPid")));
  sandbox.reset();
  for (int pid : pids) EXPECT_FALSE(Alive(pid));
}

TEST(SandboxTest, ManyCallersShareFewDecoders) {
  SandboxConfig config = Config(2);
  std::unique_ptr<ImageSandbox> sandbox = Start(config);
  ASSERT_NE(sandbox, nullptr);
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      for (int j = 0; j < 5; ++j) ExpectWorks(*sandbox);
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sandbox->stats().decoded, 40u);
}

TEST(SandboxTest, TheLineIsBounded) {
  SandboxConfig config = Config();
  config.waiting_max = 1;
  std::unique_ptr<ImageSandbox> sandbox = Start(config);
  ASSERT_NE(sandbox, nullptr);
  const std::string bytes = Picture("png_c2_d8.png");
  const model::ImageHeader header{model::ImageFormat::kPng, 11, 9};
  int pid = Freeze(*sandbox);
  std::thread busy([&] { EXPECT_TRUE(sandbox->Decode(bytes, {.header = header}, kPatience).ok()); });
  ASSERT_TRUE(Eventually([&] { return sandbox->stats().busy == 1; }));
  absl::Status late = sandbox->Decode(bytes, {.header = header}, milliseconds(3)).status();
  EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(late.message(), "no image decoder became free within 3 ms");
  std::thread waiting([&] { EXPECT_TRUE(sandbox->Decode(bytes, {.header = header}, kPatience).ok()); });
  ASSERT_TRUE(Eventually([&] { return sandbox->stats().waiting == 1; }));
  absl::Status refused = sandbox->Decode(bytes, {.header = header}, kPatience).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(refused.message(), "image decoders are busy and 1 images wait: limit 1");
  kill(pid, SIGCONT);
  busy.join();
  waiting.join();
  EXPECT_EQ(sandbox->stats().decoded, 2u);
  EXPECT_EQ(sandbox->stats().not_served, 2u);
  EXPECT_EQ(sandbox->stats().busy, 0);
}

TEST(SandboxTest, RandomMutationsFailAlone) {
  unsigned seed = std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  std::mt19937 random(seed);
  std::unique_ptr<ImageSandbox> sandbox = Start(Config(2));
  ASSERT_NE(sandbox, nullptr);
  const std::string pictures[] = {Picture("png_c3_d4_interlaced.png"),
                                  Picture("jpeg_444_progressive.jpg"),
                                  Picture("webp_alpha_lossy.webp"),
                                  Picture("webp_lossless.webp"),
                                  Picture("jpeg_cmyk.jpg"),
                                  Picture("gif_interlaced.gif"),
                                  Picture("bmp_rle8.bmp"),
                                  Picture("jpeg_420_arithmetic.jpg"),
                                  Picture("webp_orientation6_alpha.webp"),
                                  Picture("png_orientation8_alpha.png")};
  for (int i = 0; i < 300; ++i) {
    std::string bytes = pictures[random() % std::size(pictures)];
    for (unsigned flips = 1 + random() % 6; flips > 0; --flips) bytes[random() % bytes.size()] = char(random());
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    absl::Status status = Decode(*sandbox, bytes).status();
    ASSERT_TRUE(status.ok() || status.code() == absl::StatusCode::kInvalidArgument) << status << " seed " << seed;
  }
  EXPECT_EQ(sandbox->stats().crashed, 0u) << "seed " << seed;
  ExpectWorks(*sandbox);
}

TEST(SandboxTest, StartFailsClearly) {
  SandboxConfig config = Config();
  config.decoder_path = "/nonexistent/headroom-image-decoder";
  EXPECT_EQ(ImageSandbox::Start(config).status().code(), absl::StatusCode::kFailedPrecondition);
  config.decoder_path = "/bin/true";
  EXPECT_FALSE(ImageSandbox::Start(config).ok());
  config = Config(0);
  EXPECT_EQ(ImageSandbox::Start(config).status().message(), "decoders_max: 0 is not between 1 and 64");
  config = Config(65);
  EXPECT_EQ(ImageSandbox::Start(config).status().message(), "decoders_max: 65 is not between 1 and 64");
  config = Config();
  config.waiting_max = 4097;
  EXPECT_EQ(ImageSandbox::Start(config).status().message(), "waiting_max: 4097 is not between 0 and 4096");
  config = Config();
  config.decode_ms_max = 0;
  EXPECT_EQ(ImageSandbox::Start(config).status().message(), "decode_ms_max: 0 is not between 1 and 600000");
}

TEST(SandboxTest, HostBytesFollowFromLimits) {
  model::ImageLimits limits;
  int64_t one = ImageSandbox::HostBytesMax(Config(1), limits);
  // The picture, and 10 bytes of scratch for each of 40 million pixels.
  EXPECT_GT(one, limits.pixels_max * 3 + 400'000'000 + limits.bytes_max);
  EXPECT_LT(one, limits.pixels_max * 3 + 400'000'000 + limits.bytes_max + (64 << 20));
  limits.pixels_max = 40'000'000;
  EXPECT_GT(ImageSandbox::HostBytesMax(Config(1), limits), limits.pixels_max * 13 + limits.bytes_max);
  limits.pixels_max = 256'000'000;
  EXPECT_GT(ImageSandbox::HostBytesMax(Config(1), limits), limits.pixels_max * 9 + limits.bytes_max);
  limits = {};
  EXPECT_GT(ImageSandbox::HostBytesMax(Config(2), limits), one);
}

}  // namespace
}  // namespace headroom::vision_worker
