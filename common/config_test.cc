#include "common/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/testing/paths.h"
#include "common/units.h"

namespace headroom {
namespace {

using ::testing::HasSubstr;

std::string Message(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

TEST(ConfigTest, ReadsEverySectionAndKeepsDefaults) {
  auto config = ParseConfig(
      "cluster: {id: blue}\n"
      "device:\n  memory: 3GiB\n"
      "knobs:\n  max_num_seqs: 8\n  gpu_memory_utilization: 0.5\n"
      "gateway:\n  reflection: true\n",
      "a.yaml", {"knobs.max_model_len=4096", "gateway.listen=127.0.0.1:0"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->cluster.id, "blue");
  EXPECT_EQ(config->device.memory, int64_t{3} << 30);
  EXPECT_EQ(config->knobs.max_num_seqs, 8);
  EXPECT_EQ(config->knobs.max_model_len, 4096);
  EXPECT_DOUBLE_EQ(config->knobs.gpu_memory_utilization.value(), 0.5);
  EXPECT_FALSE(config->knobs.block_size.has_value());
  EXPECT_TRUE(config->gateway.reflection);
  EXPECT_EQ(config->gateway.listen, "127.0.0.1:0");
  EXPECT_EQ(config->scheduler.queue_entries_max, 1024);
}

constexpr char kTwoModels[] =
    "models:\n"
    "  - {name: big, aliases: [large, gpt], path: /models/Big-7B, share: 0.75, knobs: {max_num_seqs: 2}}\n"
    "  - path: /models/Small.v1/\n    dtype: fp32\n    share: 0.25\n";

TEST(ConfigModelsTest, AListNamesSeveral) {
  const auto config = ParseConfig(kTwoModels, "a.yaml",
                                  {"knobs.max_num_seqs=9", "knobs.max_model_len=100", "device.memory=1GiB",
                                   "models.Small.v1.dtype=bf16", "models.big.knobs.block_size=32"});
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->Models().size(), 2U);
  EXPECT_EQ(config->Models()[1].Name(), "Small.v1");
  EXPECT_TRUE(CheckShares(*config).ok());

  const auto big = ConfigOfModel(*config, "gpt", "llm_worker.model");
  ASSERT_TRUE(big.ok()) << big.status();
  EXPECT_EQ(big->model.path, "/models/Big-7B");
  EXPECT_EQ(big->knobs.max_num_seqs, 2);
  EXPECT_EQ(big->knobs.max_model_len, 100);
  EXPECT_EQ(big->knobs.block_size, 32);
  EXPECT_EQ(big->device.memory, 3 * (int64_t{1} << 28));
  const auto small = ConfigOfModel(*config, "Small.v1", "llm_worker.model");
  ASSERT_TRUE(small.ok()) << small.status();
  EXPECT_EQ(small->model.dtype, "bf16");
  EXPECT_EQ(small->knobs.max_num_seqs, 9);
  EXPECT_EQ(small->Models().size(), 1U);

  EXPECT_THAT(Message(ConfigOfModel(*config, "", "llm_worker.model").status()),
              HasSubstr("llm_worker.model is '': it must name one of the models 'big', 'Small.v1'"));
  EXPECT_THAT(Message(ConfigOfModel(*config, "huge", "llm_worker.model").status()), HasSubstr("is 'huge'"));
}

TEST(ConfigModelsTest, TheShortFormIsAListOfOne) {
  const auto config = ParseConfig("model: {path: /models/x, aliases: 'a, b'}\ndevice: {memory: 1GiB}\n", "a.yaml", {});
  ASSERT_TRUE(config.ok()) << config.status();
  for (const char* name : {"", "x", "a", "b"}) {
    const auto own = ConfigOfModel(*config, name, "llm_worker.model");
    ASSERT_TRUE(own.ok()) << own.status();
    EXPECT_EQ(own->model.path, "/models/x");
    EXPECT_EQ(own->device.memory, int64_t{1} << 30);
  }
}

TEST(ConfigModelsTest, SharesAboveTheDeviceNameTheirKeys) {
  const auto check = [](const std::vector<std::string>& overrides) {
    const auto config = ParseConfig(kTwoModels, "a.yaml", overrides);
    return config.ok() ? CheckShares(*config) : config.status();
  };
  EXPECT_TRUE(check({"models.big.share=0.7"}).ok());
  EXPECT_THAT(Message(check({"models.big.share=0.8"})), HasSubstr("models.big.share 0.8, models.Small.v1.share 0.25"));
  EXPECT_THAT(Message(check({"models.third.path=/x"})), HasSubstr("models.third.share 1 (not set)"));
  const auto config = ParseConfig(kTwoModels, "a.yaml", {"models.big.share=0.001"});
  EXPECT_THAT(Message(ConfigOfModel(*config, "big", "x").status()), HasSubstr("at least 16777216 are needed"));
}

TEST(ConfigModelsTest, BadListsAreNamed) {
  const auto message = [](const std::string& yaml, const std::vector<std::string>& overrides = {}) {
    return Message(ParseConfig(yaml, "a.yaml", overrides).status());
  };
  EXPECT_THAT(message("models: {a: b}\n"), HasSubstr("'models' must be a list of 1 to 64 mappings"));
  EXPECT_THAT(message("models: []\n"), HasSubstr("a list of 1 to 64"));
  EXPECT_THAT(message("models: [{path: /x, shar: 1}]\n"), HasSubstr("a.yaml:1: unknown key 'models[0].shar'"));
  EXPECT_THAT(message("models: [{path: /x, knobs: 3}]\n"), HasSubstr("'models[0].knobs' must be a mapping"));
  EXPECT_THAT(message("models: [{path: /x, knobs: {seqs: 3}}]\n"), HasSubstr("unknown key 'models[0].knobs.seqs'"));
  EXPECT_THAT(message("models: [{name: a}]\n"), HasSubstr("models[0].path is not set ('a')"));
  EXPECT_THAT(message("models: [{path: /x}, {path: /y/x}]\n"), HasSubstr("models[1]: the name 'x' stands twice"));
  EXPECT_THAT(message("models: [{path: /x, aliases: [b]}, {path: /b}]\n"), HasSubstr("the name 'b' stands twice"));
  EXPECT_THAT(message("models: [{path: /x, name: 'a b'}]\n"), HasSubstr("models[0].name: wanted 1 to 128 letters"));
  EXPECT_THAT(message("models: [{path: /x, aliases: ['a b']}]\n"), HasSubstr("a list of words"));
  EXPECT_THAT(message("models: [{path: /x, share: 1.5}]\n"), HasSubstr("share: wanted a number in (0, 1]"));
  EXPECT_THAT(message("model: {path: /x}\nmodels: [{path: /y}]\n"), HasSubstr("both given"));
  EXPECT_THAT(message(kTwoModels, {"models.big=1"}), HasSubstr("wanted models.NAME.key=value"));
  EXPECT_THAT(message(kTwoModels, {"models.big.knobs=1"}), HasSubstr("unknown key 'models.big.knobs'"));
  EXPECT_THAT(message(kTwoModels, {"models.bgi.share=0.1"}), HasSubstr("models[2].path is not set ('bgi')"));
  std::string many = "models:\n";
  for (int i = 0; i < 65; ++i) absl::StrAppend(&many, "  - {path: /m", i, "}\n");
  EXPECT_THAT(message(many), HasSubstr("a list of 1 to 64"));
}

TEST(ConfigTest, EmptyFileIsTheDefaults) { EXPECT_TRUE(ParseConfig("", "a.yaml", {}).ok()); }

struct BadCase {
  const char* yaml;
  const char* expected;
};

class BadConfigTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadConfigTest, NamesPlaceAndProblem) {
  auto config = ParseConfig(GetParam().yaml, "a.yaml", {});
  ASSERT_FALSE(config.ok()) << GetParam().yaml;
  EXPECT_THAT(Message(config.status()), HasSubstr(GetParam().expected));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadConfigTest,
    ::testing::Values(
        BadCase{"gatway: {}\n", "a.yaml:1: unknown section 'gatway'"},
        BadCase{"log:\n  level: info\n  levle: info\n", "a.yaml:3: unknown key 'log.levle'"},
        BadCase{"log:\n  level: loud\n", "a.yaml:2: level: wanted one of debug, info, warning, error, got 'loud'"},
        BadCase{"knobs:\n  max_num_seqs: many\n",
                "a.yaml:2: max_num_seqs: wanted an integer in [1, 65536], got 'many'"},
        BadCase{"knobs:\n  max_num_seqs: 0\n", "got '0'"}, BadCase{"knobs:\n  max_num_seqs: -1\n", "got '-1'"},
        BadCase{"knobs:\n  max_num_seqs: 99999999999999999999\n", "wanted an integer"},
        BadCase{"knobs:\n  max_num_seqs: \"8\"\n", "wanted an integer"},
        BadCase{"knobs:\n  max_num_seqs: 8.5\n", "wanted an integer"},
        BadCase{"knobs:\n  gpu_memory_utilization: 0\n", "a number in (0, 1]"},
        BadCase{"knobs:\n  gpu_memory_utilization: nan\n", "a number in (0, 1]"},
        BadCase{"knobs:\n  gpu_memory_utilization: 1.5\n", "a number in (0, 1]"},
        BadCase{"knobs:\n  block_size: 4\n", "an integer in [8, 256], got '4'"},
        BadCase{"device:\n  memory: 4 gigs\n", "a byte count"},
        BadCase{"device:\n  memory: 99999999999TiB\n", "a byte count"},
        BadCase{"device:\n  memory: -4GiB\n", "a byte count"},
        BadCase{"gateway:\n  reflection: yes\n", "wanted true or false"},
        BadCase{"gateway: 5\n", "section 'gateway' must be a mapping"},
        BadCase{"gateway:\n  listen: [a, b]\n", "not a list or mapping"},
        BadCase{"log: {level: info}\nlog: {level: info}\n", "a.yaml:2: section 'log' stands twice"},
        BadCase{"log:\n  level: info\n  level: info\n", "a.yaml:3: key 'log.level' stands twice"},
        BadCase{"- a\n- b\n", "must be a mapping of sections"}, BadCase{"log: {level: \"info\n", "not YAML"},
        BadCase{"log: {level: info}\n---\nlog: {level: debug}\n", "a.yaml:2: a second document"},
        BadCase{"log: {level: info}\n}\n", "a.yaml:2: "}, BadCase{"log: {level: info}}", "a.yaml:1: "},
        BadCase{"gateway:\n  listen: 127.0.0.1:99999\n", "a.yaml:2: listen: wanted HOST:PORT"},
        BadCase{"gateway:\n  listen: \"\"\n", "listen: wanted HOST:PORT"},
        BadCase{"gateway:\n  scheduler: somewhere\n", "scheduler: wanted HOST:PORT"},
        BadCase{"gateway:\n  metrics_listen: 7710\n",
                "metrics_listen: wanted HOST:PORT with a port up to 65535, or empty"}));

// A chart writes [$(POD_IP)]:7702 and does not know of which family a pod's address will be.
TEST(ConfigTest, BracketsOfAddresses) {
  const auto config = ParseConfig("", "a.yaml", {"gateway.listen=[10.0.0.7]:7700", "gateway.metrics_listen=[::]:7710"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->gateway.listen, "10.0.0.7:7700");
  EXPECT_EQ(config->gateway.metrics_listen, "[::]:7710");
  EXPECT_THAT(ParseConfig("", "a.yaml", {"gateway.listen=::1:7702"}).status().message(),
              HasSubstr("an IPv6 address in brackets as in [::1]:7700, got '::1:7702'"));
}

TEST(ConfigTest, Addresses) {
  for (const char* good : {"127.0.0.1:0", "[::1]:65535", "scheduler:7701", "dns:///scheduler:7701", "unix:/run/x"}) {
    EXPECT_TRUE(ParseConfig("", "a.yaml", {absl::StrCat("gateway.listen=", good)}).ok()) << good;
  }
  for (const char* bad :
       {"", ":1", "host", "host:", "host:65536", "host:-1", "host:1x", "unix:", "dns:///host", "[]:1"}) {
    EXPECT_FALSE(ParseConfig("", "a.yaml", {absl::StrCat("gateway.listen=", bad)}).ok()) << bad;
  }
  EXPECT_TRUE(ParseConfig("", "a.yaml", {"gateway.metrics_listen="}).ok());
}

TEST(ConfigTest, BadOverrides) {
  for (const char* text : {"", "log", "log.level", "=", "log=level.info", "log.levle=info", "nolog.level=info"}) {
    EXPECT_FALSE(ParseConfig("", "a.yaml", {text}).ok()) << text;
  }
}

TEST(ConfigTest, FileThatIsNotThere) {
  EXPECT_EQ(LoadConfig("/no/such/file", {}).status().code(), absl::StatusCode::kNotFound);
}

TEST(ConfigTest, DirectoryIsNotAFile) { EXPECT_FALSE(LoadConfig(SourceDir(), {}).ok()); }

TEST(ConfigTest, DefaultsPassTheirOwnBounds) {
  ClusterConfig defaults;
  for (const auto& section : defaults.Sections()) {
    for (const auto& field : section.fields.fields()) {
      if (field.default_value.empty() || field.type == "bytes") continue;
      EXPECT_TRUE(field.parse({field.default_value, "default", false}).ok()) << section.name << "." << field.name;
    }
  }
}

}  // namespace
}  // namespace headroom
