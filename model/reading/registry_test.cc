#include "model/reading/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "common/testing/paths.h"

namespace headroom::model::reading {
namespace {

TEST(Registry, EveryFileOfTheFolderIsAFamily) {
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(SourceDir() + "/model/families")) {
    const std::string name = entry.path().filename().string();
    files += name.ends_with(".cc") && !name.ends_with("_test.cc");
  }
  EXPECT_EQ(Families().size(), files);
  EXPECT_GT(files, 0u);
}

TEST(Registry, NoTwoFamiliesHaveOneArchitecture) {
  std::map<std::string_view, const Family*> owners;
  for (const Family* family : Families()) {
    for (const std::string_view name : family->architectures()) {
      EXPECT_FALSE(name.empty());
      const auto [owner, fresh] = owners.emplace(name, family);
      EXPECT_TRUE(fresh) << name << " is named twice: the first family would hide the second";
    }
  }
}

TEST(Registry, FindsEachByItsArchitectures) {
  size_t count = 0;
  for (const Family* family : Families()) {
    EXPECT_NE(family->read(), nullptr);
    for (const std::string_view name : family->architectures()) EXPECT_EQ(FamilyOf(name), family->read()) << name;
    count += family->architectures().size();
  }
  const std::vector<std::string> known = KnownArchitectures();
  EXPECT_EQ(known.size(), count);
  EXPECT_TRUE(std::is_sorted(known.begin(), known.end()));
  for (const std::string& name : known) EXPECT_NE(FamilyOf(name), nullptr) << name;
  for (const std::string name : {"", "Llama", "llamaforcausallm", "LlamaForCausalLM "}) {
    EXPECT_EQ(FamilyOf(name), nullptr) << name;
    EXPECT_THAT(known, ::testing::Not(::testing::Contains(name)));
  }
}

}  // namespace
}  // namespace headroom::model::reading
