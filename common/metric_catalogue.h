// Every metric that Headroom exports, declared once: Metrics takes no other, docs/metrics.md is printed from here
// (`headroom metrics`), and tests hold real scrapes against it.
//
// Conventions: prefix headroom_; base units (seconds, bytes) or the plural of what is counted, last in the name;
// _total on counters only; _ratio from 0 to 1; _info is always 1. Labels take values from closed sets, or one value for
// each thing whose number the configuration bounds. One metric has one unit: sums over its labels mean something.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace headroom {

enum class MetricType : uint8_t { kCounter, kGauge, kHistogram };

// Ascending upper bounds of a histogram; +Inf comes by itself.
enum class MetricBuckets : uint8_t {
  kNone,
  kLatency,  // seconds of requests and steps, 0.5 ms to 2 min
  kCall,     // seconds of gRPC calls, coarser: there are many of them
  kToken,    // seconds of one token, 1 ms to 5 s
  kCount,    // tokens, sequences, pieces: 1 to 8192
  kPatches,  // patches of a step
};
const std::vector<double>& BucketsOf(MetricBuckets buckets);

struct MetricLabel {
  const char* name;
  const char* values;      // "a|b|c": the closed set. Empty: open
  const char* open = "";   // what an open label takes one value for
  int64_t open_count = 1;  // of a process, or as bounded by the configuration
};

struct MetricDefinition {
  const char* name;
  MetricType type;
  const char* unit;      // as in the name; "info", "state" (0 or 1) or "number" where there is none
  const char* services;  // "gateway|scheduler|vision-worker|llm-worker"
  std::vector<MetricLabel> labels;
  MetricBuckets buckets;
  const char* help;

  // Time series of one process at most. For tests: that they stay few.
  int64_t SeriesMax() const;
};

// By service, then by name as the page shows them.
const std::vector<MetricDefinition>& MetricCatalogue();

// Null when there is none of that name.
const MetricDefinition* FindMetric(const std::vector<MetricDefinition>& catalogue, std::string_view name);

// The values of a closed label.
std::vector<std::string> ClosedValues(const MetricLabel& label);

// The reference page in Markdown.
std::string MetricReference();

}  // namespace headroom
