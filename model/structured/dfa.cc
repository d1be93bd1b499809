#include "model/structured/dfa.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "common/status.h"
#include "common/utf8.h"

namespace headroom::model {
namespace {

constexpr int kNfaStatesMax = 40'000;

absl::Status TooLarge() {
  return absl::InvalidArgumentError(
      absl::StrCat("patterns, lengths and names together need more than ", Dfa::kStatesMax, " states"));
}

// Thompson's construction: one way in, one way out for each part.
class Nfa {
 public:
  struct State {
    std::vector<int> empty = {};
    CodePoints set = {};
    int target = -1;  // by a code point of `set`
  };
  struct Part {
    int in = 0, out = 0;
  };

  // False above kNfaStatesMax.
  bool Build(const Regex& regex, Part* part) {
    if (states_.size() > kNfaStatesMax) return false;
    *part = {Add(), Add()};
    switch (regex.kind) {
      case Regex::Kind::kSet:
        states_[static_cast<size_t>(part->in)].set = regex.set;
        states_[static_cast<size_t>(part->in)].target = part->out;
        return true;
      case Regex::Kind::kSequence: {
        int last = part->in;
        for (const Regex& one : regex.parts) {
          Part inner;
          if (!Build(one, &inner)) return false;
          Link(last, inner.in);
          last = inner.out;
        }
        Link(last, part->out);
        return true;
      }
      case Regex::Kind::kChoice:
        for (const Regex& one : regex.parts) {
          Part inner;
          if (!Build(one, &inner)) return false;
          Link(part->in, inner.in);
          Link(inner.out, part->out);
        }
        return true;
      case Regex::Kind::kRepeat:
        return BuildRepeat(regex, *part);
    }
    return false;
  }

  const State& state(int index) const { return states_[static_cast<size_t>(index)]; }

 private:
  int Add() {
    states_.emplace_back();
    return static_cast<int>(states_.size()) - 1;
  }
  void Link(int from, int to) { states_[static_cast<size_t>(from)].empty.push_back(to); }

  bool BuildRepeat(const Regex& regex, const Part& part) {
    int last = part.in;
    const int64_t copies = regex.max == Rules::kUnbounded ? std::max<int64_t>(regex.min, 1) : regex.max;
    for (int64_t i = 0; i < copies; ++i) {
      Part inner;
      if (!Build(regex.parts[0], &inner)) return false;
      if (i >= regex.min) Link(last, part.out);
      Link(last, inner.in);
      if (regex.max == Rules::kUnbounded && i + 1 == copies) Link(inner.out, inner.in);
      last = inner.out;
    }
    Link(last, part.out);
    return true;
  }

  std::vector<State> states_;
};

}  // namespace

class SubsetConstruction {
 public:
  explicit SubsetConstruction(const Nfa& nfa) : nfa_(nfa) {}

  absl::StatusOr<Dfa> Run(const Nfa::Part& whole) {
    Dfa dfa;
    StateOf(Closure({whole.in}), whole.out, dfa);
    for (size_t next = 0; next < sets_.size(); ++next) {
      if (sets_.size() > Dfa::kStatesMax) return TooLarge();
      work_ += sets_[next].size();
      if (work_ > kWorkMax) return TooLarge();
      AddEdges(next, whole.out, dfa);
    }
    return dfa;
  }

 private:
  using Subset = std::set<int>;
  static constexpr size_t kWorkMax = 2'000'000;

  Subset Closure(const std::vector<int>& from) const {
    Subset reached(from.begin(), from.end());
    std::vector<int> open = from;
    while (!open.empty()) {
      const int state = open.back();
      open.pop_back();
      for (const int next : nfa_.state(state).empty) {
        if (reached.insert(next).second) open.push_back(next);
      }
    }
    return reached;
  }

  int StateOf(Subset subset, int final_state, Dfa& dfa) {
    const auto [found, is_new] = indices_.try_emplace(subset, static_cast<int>(sets_.size()));
    if (is_new) {
      dfa.states_.push_back({.accepts = subset.contains(final_state)});
      sets_.push_back(std::move(subset));
    }
    return found->second;
  }

  void AddEdges(size_t index, int final_state, Dfa& dfa) {
    // Where some member's range begins or ends, the set of targets changes.
    std::map<char32_t, std::vector<std::pair<int, bool>>> changes;
    for (const int member : sets_[index]) {
      const Nfa::State& state = nfa_.state(member);
      for (const CodePointRange& range : state.set) {
        changes[range.first].push_back({state.target, true});
        changes[range.last + 1].push_back({state.target, false});
      }
    }
    std::multiset<int> targets;
    for (auto change = changes.begin(); change != changes.end(); ++change) {
      for (const auto& [target, begins] : change->second) {
        if (begins) {
          targets.insert(target);
        } else {
          targets.erase(targets.find(target));
        }
      }
      if (targets.empty()) continue;
      work_ += targets.size();
      const char32_t last = std::next(change)->first - 1;
      const int target = StateOf(Closure({targets.begin(), targets.end()}), final_state, dfa);
      dfa.states_[index].edges.push_back({{change->first, last}, target});
    }
  }

  const Nfa& nfa_;
  std::vector<Subset> sets_;
  std::map<Subset, int> indices_;
  size_t work_ = 0;
};

absl::StatusOr<Dfa> Dfa::FromRegex(const Regex& regex) {
  Nfa nfa;
  Nfa::Part whole;
  if (!nfa.Build(regex, &whole)) return TooLarge();
  return SubsetConstruction(nfa).Run(whole);
}

Dfa Dfa::OfLength(int64_t min, int64_t max) {
  Dfa dfa;
  const int64_t last = max == Rules::kUnbounded ? min : max;
  for (int64_t i = 0; i <= last; ++i) {
    State state{.accepts = i >= min};
    const int64_t next = i < last ? i + 1 : max == Rules::kUnbounded ? i : kDead;
    if (next != kDead) {
      for (const CodePointRange& range : AllCodePoints()) state.edges.push_back({range, static_cast<int>(next)});
    }
    dfa.states_.push_back(std::move(state));
  }
  return dfa;
}

Dfa Dfa::Of(const std::vector<std::string>& texts) {
  Dfa dfa;
  dfa.states_.emplace_back();
  for (const std::string& text : texts) {
    int state = 0;
    for (size_t at = 0; at < text.size();) {
      const char32_t c = NextCodePoint(text, &at);
      int next = dfa.Step(state, c);
      if (next == kDead) {
        next = static_cast<int>(dfa.states_.size());
        dfa.states_.emplace_back();
        std::vector<Edge>& edges = dfa.states_[static_cast<size_t>(state)].edges;
        edges.insert(std::ranges::find_if(edges, [c](const Edge& edge) { return edge.range.first > c; }),
                     {{c, c}, next});
      }
      state = next;
    }
    dfa.states_[static_cast<size_t>(state)].accepts = true;
  }
  return dfa;
}

// States: start, behind "-", zero, then one for each remainder of an integer that has begun.
Dfa Dfa::MultiplesOf(int divisor) {
  Dfa dfa;
  dfa.states_.resize(3 + static_cast<size_t>(divisor));
  const auto digit = [](int d) {
    return CodePointRange{static_cast<char32_t>('0' + d), static_cast<char32_t>('0' + d)};
  };
  dfa.states_[0].edges.push_back({{'-', '-'}, 1});
  for (const size_t begin : {0U, 1U}) {
    dfa.states_[begin].edges.push_back({digit(0), 2});
    for (int d = 1; d <= 9; ++d) dfa.states_[begin].edges.push_back({digit(d), 3 + d % divisor});
  }
  dfa.states_[2].accepts = true;
  dfa.states_[3].accepts = true;
  for (int remainder = 0; remainder < divisor; ++remainder) {
    for (int d = 0; d <= 9; ++d) {
      dfa.states_[3 + static_cast<size_t>(remainder)].edges.push_back({digit(d), 3 + (remainder * 10 + d) % divisor});
    }
  }
  return dfa;
}

int Dfa::Step(int state, char32_t c) const {
  if (state == kDead) return kDead;
  const std::vector<Edge>& edges = states_[static_cast<size_t>(state)].edges;
  const auto behind = std::ranges::upper_bound(edges, c, {}, [](const Edge& edge) { return edge.range.first; });
  if (behind == edges.begin() || std::prev(behind)->range.last < c) return kDead;
  return std::prev(behind)->target;
}

bool Dfa::Accepts(const std::string& text) const {
  int state = 0;
  for (size_t at = 0; at < text.size() && state != kDead;) state = Step(state, NextCodePoint(text, &at));
  return state != kDead && states_[static_cast<size_t>(state)].accepts;
}

absl::StatusOr<Dfa> Dfa::Combine(const Dfa& a, const Dfa& b, Operation operation) {
  Dfa result;
  std::map<std::pair<int, int>, int> indices;
  std::vector<std::pair<int, int>> pairs;
  const auto index_of = [&](int in_a, int in_b) {
    const auto [found, is_new] = indices.try_emplace({in_a, in_b}, static_cast<int>(pairs.size()));
    if (is_new) {
      pairs.emplace_back(in_a, in_b);
      const bool by_b = in_b != kDead && b.states_[static_cast<size_t>(in_b)].accepts;
      result.states_.push_back(
          {.accepts = a.states_[static_cast<size_t>(in_a)].accepts && (operation == Operation::kBoth) == by_b});
    }
    return found->second;
  };
  index_of(0, 0);
  for (size_t next = 0; next < pairs.size(); ++next) {
    if (pairs.size() > kStatesMax) return TooLarge();
    const auto [in_a, in_b] = pairs[next];
    std::vector<Edge> edges;
    for (const Edge& edge : a.states_[static_cast<size_t>(in_a)].edges) {
      char32_t from = edge.range.first;
      const auto add = [&](char32_t last, int target_b) {
        if (from > last || (target_b == kDead && operation == Operation::kBoth)) return;
        edges.push_back({{from, last}, index_of(edge.target, target_b)});
      };
      if (in_b != kDead) {
        for (const Edge& other : b.states_[static_cast<size_t>(in_b)].edges) {
          if (other.range.last < from || other.range.first > edge.range.last) continue;
          if (other.range.first > from) add(other.range.first - 1, kDead);
          from = std::max(from, other.range.first);
          const char32_t last = std::min(other.range.last, edge.range.last);
          add(last, other.target);
          from = last + 1;
        }
      }
      add(edge.range.last, kDead);
    }
    result.states_[next].edges = std::move(edges);
  }
  return result;
}

std::vector<bool> Dfa::Live() const {
  std::vector<bool> live(states_.size());
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = states_.size(); i-- > 0;) {
      if (live[i]) continue;
      const auto leads = [&live](const Edge& edge) {
        return static_cast<bool>(live[static_cast<size_t>(edge.target)]);
      };
      if (states_[i].accepts || std::ranges::any_of(states_[i].edges, leads)) {
        live[i] = changed = true;
      }
    }
  }
  return live;
}

bool Dfa::IsEmpty() const { return !Live()[0]; }

Rules::Expression Dfa::ToRules(absl::FunctionRef<Rules::Expression(const CodePoints&)> spell, Rules& rules) const {
  const std::vector<bool> live = Live();
  if (!live[0]) return Rules::Never();
  std::vector<Rules::Expression> references;
  const int32_t first = rules.NewRule();
  for (size_t i = 1; i < states_.size(); ++i) rules.NewRule();
  for (size_t i = 0; i < states_.size(); ++i) references.push_back(rules.Reference(first + static_cast<int32_t>(i)));
  for (size_t i = 0; i < states_.size(); ++i) {
    if (!live[i]) continue;
    std::map<int, CodePoints> by_target;
    for (const Edge& edge : states_[i].edges) {
      if (live[static_cast<size_t>(edge.target)]) by_target[edge.target].push_back(edge.range);
    }
    std::vector<Rules::Expression> options;
    if (states_[i].accepts) options.push_back(Rules::Empty());
    for (auto& [target, ranges] : by_target) {
      options.push_back(rules.Sequence({spell(Normalize(std::move(ranges))), references[static_cast<size_t>(target)]}));
    }
    rules.Define(first + static_cast<int32_t>(i), rules.Choice(options));
  }
  return references[0];
}

}  // namespace headroom::model
