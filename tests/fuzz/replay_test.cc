// What an ordinary test run repeats of the fuzzing: every target on its seeds, on the inputs that once broke it
// (regressions/TARGET/), and on seeded random changes of both. HEADROOM_TEST_SEED repeats a run.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <random>

#include "common/testing/paths.h"
#include "tests/fuzz/fuzz_target.h"

namespace headroom::fuzz {

void PrintTo(const Target& target, std::ostream* out) { *out << target.name; }

namespace {

constexpr int kMutations = 300;
constexpr size_t kInputBytesMax = 1 << 16;

// One to four small changes, of the kinds that libFuzzer makes.
std::string Mutate(std::string input, const std::string& other, std::mt19937_64* generator) {
  const auto below = [&](size_t n) { return static_cast<size_t>((*generator)() % std::max<size_t>(n, 1)); };
  for (size_t changes = 1 + below(4); changes > 0; --changes) {
    const size_t at = below(input.size());
    switch (below(6)) {
      case 0:
        if (!input.empty()) input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
        break;
      case 1:
        input.insert(at, 1 + below(4), static_cast<char>(below(256)));
        break;
      case 2:
        input.erase(at, 1 + below(16));
        break;
      case 3:
        input.resize(at);
        break;
      case 4: {
        const std::string part = input.substr(at, 1 + below(64));
        input.insert(below(input.size()), part);
        break;
      }
      default:
        input.replace(at, 1 + below(16), other.substr(below(other.size()), 1 + below(64)));
        break;
    }
  }
  return input;
}

class ReplayTest : public ::testing::TestWithParam<Target> {};

TEST_P(ReplayTest, KeepsItsPromises) {
  const Target& target = GetParam();
  const char* given = std::getenv("HEADROOM_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::cout << "HEADROOM_TEST_SEED=" << seed << std::endl;
  std::vector<std::string> inputs = target.seeds();
  ASSERT_FALSE(inputs.empty());
  const std::string regressions = "tests/fuzz/regressions/" + target.name;
  if (std::filesystem::exists(SourceDir() + "/" + regressions)) {
    for (std::string& input : TreeFiles(regressions, {""})) inputs.push_back(std::move(input));
  }
  for (const std::string& input : inputs) target.run(input);
  std::erase_if(inputs, [](const std::string& input) { return input.size() > kInputBytesMax; });
  std::mt19937_64 generator(seed);
  const auto any = [&]() -> const std::string& { return inputs[generator() % inputs.size()]; };
  for (int i = 0; i < kMutations; ++i) target.run(Mutate(any(), any(), &generator));
}

INSTANTIATE_TEST_SUITE_P(Targets, ReplayTest, ::testing::ValuesIn(Targets()),
                         [](const ::testing::TestParamInfo<Target>& target) { return target.param.name; });

}  // namespace
}  // namespace headroom::fuzz
