#include "model/text/tokenizer.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <thread>

#include "model/text/detokenizer.h"
#include "model/text/testing.h"
#include "model/text/unicode.h"

namespace headroom::model {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const char* const kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

TEST(TokenizerTest, GivesTheIdsOfTheReference) {
  const auto tokenizer = GoldenTokenizer();
  const json cases = json::parse(ReadFileOrDie(GoldenPath("expected/tokenizer.json")));
  ASSERT_EQ(cases.size(), 400u);
  for (const json& item : cases) {
    const auto ids = EncodeOrDie(*tokenizer, item["text"]);
    EXPECT_EQ(ids, item["ids"].get<std::vector<int32_t>>()) << item["text"];
    EXPECT_EQ(tokenizer->Decode(ids, false), item["decoded"].get<std::string>());
  }
}

TEST(TokenizerTest, KnowsItsIds) {
  const auto tokenizer = GoldenTokenizer();
  EXPECT_EQ(tokenizer->vocab_size(), 1224);
  EXPECT_EQ(tokenizer->TokenId("<image>"), 1204);
  EXPECT_EQ(tokenizer->TokenId("!"), 0);
  EXPECT_EQ(tokenizer->TokenId("\xC4\xA0t"), 256);
  EXPECT_EQ(tokenizer->TokenId(" t"), std::nullopt);
  EXPECT_EQ(tokenizer->TokenBytes(256), " t");
  EXPECT_TRUE(tokenizer->IsSpecial(1204));
  EXPECT_FALSE(tokenizer->IsSpecial(0));
  for (int32_t id : {-1, 1224, std::numeric_limits<int32_t>::max(), std::numeric_limits<int32_t>::min()}) {
    EXPECT_FALSE(tokenizer->IsSpecial(id));
    EXPECT_FALSE(tokenizer->IsAdded(id));
    EXPECT_EQ(tokenizer->TokenBytes(id), "");
  }
  const std::vector<int32_t> ids = {1202, 0, 5000, -7, 1203};
  EXPECT_EQ(tokenizer->Decode(ids, /*skip_special=*/false), "<|im_start|>!<|im_end|>");
  EXPECT_EQ(tokenizer->Decode(ids, /*skip_special=*/true), "!");
}

TEST(TokenizerTest, BothFormsOfMergesAreTheSame) {
  const json pairs = GoldenTokenizerJson();
  json strings = pairs;
  for (json& merge : strings["model"]["merges"])
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  strings["model"]["merges"].insert(strings["model"]["merges"].begin(), "#version: 0.2");
  const auto a = LoadOrDie(pairs);
  const auto b = LoadOrDie(strings);
  auto generator = SeededGenerator();
  for (int i = 0; i < 200; ++i) {
    const std::string text = RandomText(&generator, 80);
    EXPECT_EQ(EncodeOrDie(*a, text), EncodeOrDie(*b, text));
  }
}

TEST(TokenizerTest, UserTextNeverGivesControlIds) {
  const auto tokenizer = GoldenTokenizer();
  auto generator = SeededGenerator();
  std::vector<std::string> texts = {"<image>",   "<unk>",          "<|im_end|>", "a<|im_start|>system\nx",
                                    "<<image>>", "<image></image>"};
  const json file = GoldenTokenizerJson();
  for (const json& token : file["added_tokens"]) {
    texts.push_back(token["content"]);
    texts.push_back(RandomText(&generator, 10) + token["content"].get<std::string>() + RandomText(&generator, 10));
  }
  for (const std::string& text : texts) {
    for (int32_t id : EncodeOrDie(*tokenizer, text, AddedTokens::kNone)) EXPECT_FALSE(tokenizer->IsAdded(id)) << text;
    EXPECT_EQ(EncodeOrDie(*tokenizer, text, AddedTokens::kNone),
              EncodeOrDie(*tokenizer, text, AddedTokens::kNonSpecial));
  }
  EXPECT_THAT(EncodeOrDie(*tokenizer, "<unk>"), ElementsAre(1200));
}

// The base vocabulary spells "<unk>", and merges lead there when the whole text is one word.
TEST(TokenizerTest, ReservedEntriesAreOutOfReachOfMerges) {
  json file = SmallTokenizerJson({{"u", "n"}, {"un", "k"}, {"<", "unk"}, {"<unk", ">"}, {"<unk>", "s"}}, ".+");
  const int unk = file["model"]["vocab"]["<unk>"];
  const int longer = file["model"]["vocab"]["<unk>s"];
  file["added_tokens"].push_back(AddedTokenJson(unk, "<unk>"));
  const auto tokenizer = LoadOrDie(file);
  EXPECT_THAT(EncodeOrDie(*tokenizer, "<unk>"), ElementsAre(unk));
  EXPECT_THAT(EncodeOrDie(*tokenizer, "<unk>", AddedTokens::kNonSpecial), ElementsAre(unk));
  EXPECT_THAT(EncodeOrDie(*tokenizer, "<unk>", AddedTokens::kNone), ElementsAre(unk - 1, '>'));
  EXPECT_THAT(EncodeOrDie(*tokenizer, "a<unk>b", AddedTokens::kNone), ElementsAre('a', unk - 1, '>', 'b'));
  // The longer entry is no control token: it stays, as in the reference.
  EXPECT_THAT(EncodeOrDie(*tokenizer, "<unk>s", AddedTokens::kNone), ElementsAre(longer));
  const std::string many = std::string(100, '-') + "<unk>" + std::string(100, '-');  // the long way of merging
  for (int32_t id : EncodeOrDie(*tokenizer, many, AddedTokens::kNone)) EXPECT_NE(id, unk);

  file["model"]["ignore_merges"] = true;
  const auto ignoring = LoadOrDie(file);
  EXPECT_THAT(EncodeOrDie(*ignoring, "<unk>", AddedTokens::kNone), ElementsAre(unk - 1, '>'));
}

TEST(TokenizerTest, IgnoreMergesTakesWholeWords) {
  json file = SmallTokenizerJson({{"a", "b"}}, kQwen2Pattern);
  file["model"]["vocab"]["abc"] = 300;
  EXPECT_THAT(EncodeOrDie(*LoadOrDie(file), "abc"), ElementsAre(256, 'c'));
  file["model"]["ignore_merges"] = true;
  EXPECT_THAT(EncodeOrDie(*LoadOrDie(file), "abc abc"), ElementsAre(300, ' ', 256, 'c'));
}

TEST(TokenizerTest, AddedTokenFlags) {
  json file = SmallTokenizerJson({}, kQwen2Pattern);
  file["normalizer"] = {{"type", "NFC"}};
  json& added = file["added_tokens"];
  added.push_back(AddedTokenJson(300, "<l>"));
  added.back()["lstrip"] = true;
  added.push_back(AddedTokenJson(301, "<r>", /*special=*/false));
  added.back()["rstrip"] = true;
  added.push_back(AddedTokenJson(302, "word"));
  added.back()["single_word"] = true;
  added.push_back(AddedTokenJson(303, "caf\xC3\xA9"));
  added.back()["normalized"] = true;
  added.push_back(AddedTokenJson(304, "<long"));
  added.push_back(AddedTokenJson(305, "<longer>"));
  const auto tokenizer = LoadOrDie(file);
  EXPECT_THAT(EncodeOrDie(*tokenizer, "a \n\xE3\x80\x80<l> b"), ElementsAre('a', 300, ' ', 'b'));
  EXPECT_THAT(EncodeOrDie(*tokenizer, "a <r> \t b"), ElementsAre('a', ' ', 301, 'b'));
  EXPECT_THAT(EncodeOrDie(*tokenizer, "<r>  <l>"), ElementsAre(301, 300));
  EXPECT_THAT(EncodeOrDie(*tokenizer, "word word1"), ElementsAre(302, ' ', 'w', 'o', 'r', 'd', '1'));
  EXPECT_THAT(EncodeOrDie(*tokenizer, "cafe\xCC\x81!"), ElementsAre(303, '!'));
  EXPECT_THAT(EncodeOrDie(*tokenizer, "<longer><long>"), ElementsAre(305, 304, '>'));
  EXPECT_THAT(EncodeOrDie(*tokenizer, "<l><r>", AddedTokens::kNonSpecial), ElementsAre('<', 'l', '>', 301));
  EXPECT_THAT(EncodeOrDie(*tokenizer, "<r>", AddedTokens::kNone), ElementsAre('<', 'r', '>'));
}

TEST(TokenizerTest, ByteLevelAlone) {
  json file = SmallTokenizerJson({{"\xC4\xA0", "a"}}, ".");
  file["pre_tokenizer"] = {
      {"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  const auto tokenizer = LoadOrDie(file);
  EXPECT_THAT(EncodeOrDie(*tokenizer, "a"), ElementsAre(256));
  EXPECT_THAT(EncodeOrDie(*tokenizer, " a"), ElementsAre(256));
  EXPECT_THAT(EncodeOrDie(*tokenizer, "12  a"), ElementsAre(' ', '1', '2', ' ', 256));
  EXPECT_THAT(EncodeOrDie(*tokenizer, ""), ElementsAre());
}

TEST(TokenizerTest, RefusesWhatIsNotUtf8OrTooLong) {
  const auto tokenizer = GoldenTokenizer();
  for (const char* bad : {"\xFF", "a\xC3", "\xED\xA0\x80", "\xC0\x80", "\xF4\x90\x80\x80", "\xE2\x82"}) {
    EXPECT_EQ(tokenizer->Encode(bad, AddedTokens::kAll).status().code(), absl::StatusCode::kInvalidArgument);
  }
  const auto long_text = tokenizer->Encode(std::string(Tokenizer::kTextBytesMax + 1, 'a'), AddedTokens::kNone);
  EXPECT_THAT(std::string(long_text.status().message()), HasSubstr("16777217"));
  EXPECT_THAT(EncodeOrDie(*tokenizer, std::string("a\0b", 3)), ElementsAre(64, 188, 65));
}

// A straightforward merge loop, to compare with both of the fast ones.
std::vector<int32_t> SlowMerge(const std::string& word, const json& merges, const json& vocab) {
  std::vector<std::string> symbols;
  for (char c : word) symbols.push_back(CharacterOfByte(static_cast<uint8_t>(c)));
  for (bool merged = true; merged;) {
    merged = false;
    for (const json& merge : merges) {
      for (size_t i = 0; i + 1 < symbols.size() && !merged; ++i) {
        if (symbols[i] != merge[0] || symbols[i + 1] != merge[1]) continue;
        symbols[i] += symbols[i + 1];
        symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        merged = true;
      }
      if (merged) break;
    }
  }
  std::vector<int32_t> ids;
  for (const std::string& symbol : symbols) ids.push_back(vocab[symbol]);
  return ids;
}

TEST(TokenizerTest, MergesInOrderOfRankFromTheLeft) {
  std::vector<std::pair<std::string, std::string>> merges = {{"b", "a"},     {"a", "a"},   {"aa", "ba"}, {"a", "b"},
                                                             {"aa", "aa"},   {"ab", "ba"}, {"c", "c"},   {"ba", "ba"},
                                                             {"aaaa", "ba"}, {"cc", "a"}};
  const json file = SmallTokenizerJson(merges, ".+");
  const auto tokenizer = LoadOrDie(file);
  auto generator = SeededGenerator();
  for (int i = 0; i < 300; ++i) {
    std::string word(1 + generator() % 120, 'a');
    for (char& c : word) c = static_cast<char>('a' + generator() % 3);
    EXPECT_EQ(EncodeOrDie(*tokenizer, word), SlowMerge(word, file["model"]["merges"], file["model"]["vocab"])) << word;
  }
}

TEST(TokenizerTest, TextSurvivesAndModesAgree) {
  json file = GoldenTokenizerJson();
  file["normalizer"] = nullptr;
  const auto tokenizer = LoadOrDie(file);
  const auto normalizing = GoldenTokenizer();
  auto generator = SeededGenerator();
  for (int i = 0; i < 2000; ++i) {
    const std::string text = RandomText(&generator, 60);
    for (AddedTokens added : {AddedTokens::kAll, AddedTokens::kNonSpecial, AddedTokens::kNone}) {
      EXPECT_EQ(tokenizer->Decode(EncodeOrDie(*tokenizer, text, added), false), text);
    }
    EXPECT_EQ(normalizing->Decode(EncodeOrDie(*normalizing, text), false), ToForm(NormalForm::kNfc, text).value());
  }
}

TEST(TokenizerTest, RandomBytesAreRefusedOrSurvive) {
  json file = GoldenTokenizerJson();
  file["normalizer"] = nullptr;
  const auto tokenizer = LoadOrDie(file);
  auto generator = SeededGenerator();
  for (int i = 0; i < 5000; ++i) {
    std::string text = generator() % 2 == 0 ? RandomText(&generator, 8) : "<image>";
    for (uint64_t changes = generator() % 4; changes > 0; --changes) {
      text[generator() % text.size()] = static_cast<char>(generator() % 256);
    }
    const auto ids = tokenizer->Encode(text, AddedTokens::kNone);
    EXPECT_EQ(ids.ok(), IsValidUtf8(text));
    if (!ids.ok()) continue;
    EXPECT_EQ(tokenizer->Decode(*ids, false), text);
  }
}

// No assertion on time: quadratic work would run into the test's timeout.
TEST(TokenizerTest, LongRunsAreNotQuadratic) {
  const auto tokenizer = GoldenTokenizer();
  for (const char* piece :
       {"a", " ", "\n", " \n", "1", "!", "<", "\xE4\xB8\xAD", "\xCC\x81", "qwertyuiop", "'s", "<|im_end|>"}) {
    std::string text;
    while (text.size() < 1000000) text += piece;
    EXPECT_EQ(tokenizer->Decode(EncodeOrDie(*tokenizer, text), false), text) << piece;
    EXPECT_EQ(tokenizer->Decode(EncodeOrDie(*tokenizer, text, AddedTokens::kNone), false), text) << piece;
  }
}

TEST(TokenizerTest, ThreadsShareOneTokenizer) {
  const auto tokenizer = GoldenTokenizer();
  auto generator = SeededGenerator();
  std::vector<std::string> texts;
  std::vector<std::vector<int32_t>> expected;
  for (int i = 0; i < 50; ++i) {
    texts.push_back(RandomText(&generator, 200));
    expected.push_back(EncodeOrDie(*tokenizer, texts.back()));
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(EncodeOrDie(*tokenizer, texts[i]), expected[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

struct BadFile {
  const char* what;
  std::function<void(json*)> break_it;
  const char* message;
};

TEST(TokenizerLoadTest, RefusesWhatItDoesNotSupport) {
  const std::vector<BadFile> files = {
      {"no model", [](json* f) { f->erase("model"); }, "no \"model\""},
      {"another model", [](json* f) { (*f)["model"]["type"] = "Unigram"; }, "the model is Unigram"},
      {"a model without its name",
       [](json* f) {
         (*f)["model"] = {{"vocab", {{"a", 1}}}};
       },
       "WordPiece"},
      {"dropout", [](json* f) { (*f)["model"]["dropout"] = 0.1; }, "dropout"},
      {"suffix", [](json* f) { (*f)["model"]["end_of_word_suffix"] = "</w>"; }, "end_of_word_suffix"},
      {"no vocab", [](json* f) { (*f)["model"].erase("vocab"); }, "vocab"},
      {"vocab is a list", [](json* f) { (*f)["model"]["vocab"] = json::array({"a"}); }, "vocab"},
      {"id is text", [](json* f) { (*f)["model"]["vocab"]["a"] = "7"; }, "whole number"},
      {"id below 0", [](json* f) { (*f)["model"]["vocab"]["a"] = -1; }, "whole number"},
      {"id is a fraction", [](json* f) { (*f)["model"]["vocab"]["a"] = 1.5; }, "whole number"},
      {"huge id", [](json* f) { (*f)["model"]["vocab"]["a"] = 1048576; }, "1048575"},
      {"id of 2^64-1", [](json* f) { (*f)["model"]["vocab"]["a"] = std::numeric_limits<uint64_t>::max(); },
       "whole number"},
      {"id twice", [](json* f) { (*f)["model"]["vocab"]["a"] = 98; }, "two vocabulary entries"},
      {"empty entry", [](json* f) { (*f)["model"]["vocab"][""] = 900; }, "empty"},
      {"a byte is missing", [](json* f) { (*f)["model"]["vocab"].erase("a"); }, "needs \"a\""},
      {"no entry for what is unknown",
       [](json* f) {
         (*f)["model"]["vocab"].erase("z");
         (*f)["model"]["unk_token"] = "<unk>";
       },
       "unk_token \"<unk>\""},
      {"merges are text", [](json* f) { (*f)["model"]["merges"] = "a b"; }, "not a list"},
      {"unknown token in a merge",
       [](json* f) {
         (*f)["model"]["merges"].push_back({"a", "zz"});
       },
       "needs \"zz\""},
      {"unknown result of a merge",
       [](json* f) {
         (*f)["model"]["merges"].push_back({"a", "z"});
       },
       "needs \"az\""},
      {"merge of one", [](json* f) { (*f)["model"]["merges"].push_back("a"); }, "two tokens and a space"},
      {"merge of three", [](json* f) { (*f)["model"]["merges"].push_back("a b c"); }, "two tokens and a space"},
      {"merge of numbers",
       [](json* f) {
         (*f)["model"]["merges"].push_back({1, 2});
       },
       "neither a string"},
      {"ignore_merges is text", [](json* f) { (*f)["model"]["ignore_merges"] = "yes"; }, "ignore_merges"},
      {"another normalizer",
       [](json* f) {
         (*f)["normalizer"] = {{"type", "Precompiled"}};
       },
       "Precompiled"},
      {"a normalizer that explodes",
       [](json* f) {
         const json step = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aaaaaaaaaa"}};
         (*f)["normalizer"] = {{"type", "Sequence"}, {"normalizers", {step, step}}};
       },
       "times as long, the limit is 64"},
      {"a normalizer inside",
       [](json* f) {
         (*f)["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "BertNormalizer"}}}}};
       },
       "BertNormalizer"},
      {"another pre_tokenizer",
       [](json* f) {
         (*f)["pre_tokenizer"] = {{"type", "UnicodeScripts"}};
       },
       "UnicodeScripts"},
      {"a pre_tokenizer that explodes",
       [](json* f) {
         const json step = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
         (*f)["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", std::vector<json>(20, step)}};
       },
       "times as long"},
      {"behaviour", [](json* f) { (*f)["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Sometimes"; }, "Sometimes"},
      {"pattern", [](json* f) { (*f)["pre_tokenizer"]["pretokenizers"][0]["pattern"] = "x"; }, "pattern"},
      {"regex", [](json* f) { (*f)["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a)\\1"; },
       "regular expression"},
      {"another decoder",
       [](json* f) {
         (*f)["decoder"] = {{"type", "WordPiece"}};
       },
       "decoder WordPiece"},
      {"a decoder that needs all of a text",
       [](json* f) {
         (*f)["decoder"] = {{"type", "Sequence"}, {"decoders", {{{"type", "Fuse"}}, {{"type", "ByteFallback"}}}}};
       },
       "behind Fuse"},
      {"another post_processor",
       [](json* f) {
         (*f)["post_processor"] = {{"type", "SomeProcessing"}};
       },
       "SomeProcessing"},
      {"added token without flags",
       [](json* f) {
         (*f)["added_tokens"] = {{{"id", 900}, {"content", "x"}}};
       },
       "special"},
      {"empty added token", [](json* f) { (*f)["added_tokens"] = {AddedTokenJson(900, "")}; }, "bytes"},
      {"added id of an entry", [](json* f) { (*f)["added_tokens"] = {AddedTokenJson(97, "<x>")}; }, "another token"},
      {"added entry with another id", [](json* f) { (*f)["added_tokens"] = {AddedTokenJson(900, "ab")}; }, "256"},
      {"added twice",
       [](json* f) {
         (*f)["added_tokens"] = {AddedTokenJson(900, "<x>"), AddedTokenJson(900, "<y>")};
       },
       "another token"},
      {"added byte", [](json* f) { (*f)["added_tokens"] = {AddedTokenJson(97, "a")}; }, "only spelling"},
  };
  ASSERT_NE(LoadOrDie(SmallTokenizerJson({{"a", "b"}}, ".")), nullptr);
  for (const BadFile& file : files) {
    json broken = SmallTokenizerJson({{"a", "b"}}, ".");
    file.break_it(&broken);
    const auto tokenizer = Tokenizer::FromJson(broken.dump());
    EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument) << file.what;
    EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr(file.message)) << file.what;
  }
  for (const char* text : {"", "{", "[]", "null", "\xFF", "{\"model\": {}}"})
    EXPECT_FALSE(Tokenizer::FromJson(text).ok()) << text;
  EXPECT_EQ(Tokenizer::FromFile("/does/not/exist").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Tokenizer::FromFile("/").ok(), false);
}

TEST(TokenizerLoadTest, DamagedFilesNeverCrash) {
  const std::string good = SmallTokenizerJson({{"a", "b"}, {"ab", "c"}}, kQwen2Pattern).dump();
  auto generator = SeededGenerator();
  int loaded = 0;
  for (int i = 0; i < 1500; ++i) {
    std::string bad = good;
    for (uint64_t changes = 1 + generator() % 3; changes > 0; --changes) {
      const size_t at = generator() % bad.size();
      if (generator() % 4 == 0) {
        bad.erase(at, 1 + generator() % 8);
      } else {
        bad[at] = "0123456789{}[]\",:abcxyz\\-."[generator() % 26];
      }
    }
    const auto tokenizer = Tokenizer::FromJson(bad);
    if (!tokenizer.ok()) continue;
    ++loaded;
    EXPECT_TRUE((*tokenizer)->Encode("abc d 12 \n", AddedTokens::kAll).ok());
  }
  std::cout << loaded << " damaged files still load" << std::endl;
}

}  // namespace
}  // namespace headroom::model
