// One instruction on many values, against plain C++.
#pragma once

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "tests/emulation/machine/testing.h"

namespace emulation {

constexpr int kValues = 2048;

template <class T>
struct TypeTag {};

template <class T>
const char* BitsName() {
  return sizeof(T) == 2 ? "b16" : sizeof(T) == 4 ? "b32" : "b64";
}

// Edges of the type and random values of all magnitudes.
template <class T>
std::vector<T> Values(std::mt19937& random) {
  std::vector<T> edges;
  if constexpr (std::is_floating_point_v<T>) {
    using L = std::numeric_limits<T>;
    edges = {0,
             -T{0},
             1,
             -1,
             T(0.5),
             T(1.5),
             T(2.5),
             L::max(),
             L::lowest(),
             L::min(),
             L::denorm_min(),
             L::infinity(),
             -L::infinity(),
             L::quiet_NaN(),
             T(1e-4),
             T(3e9),
             T(-3e9)};
  } else {
    using L = std::numeric_limits<T>;
    edges = {0,
             1,
             static_cast<T>(-1),
             L::max(),
             L::min(),
             7,
             8,
             31,
             32,
             33,
             64,
             static_cast<T>(-8),
             static_cast<T>(0x5555555555555555),
             static_cast<T>(0xff00ff00ff00ff00)};
  }
  std::vector<T> values(kValues);
  for (T& value : values) {
    const uint32_t choice = random() % 4;
    if (choice == 0) {
      value = edges[random() % edges.size()];
    } else if constexpr (std::is_floating_point_v<T>) {
      value = std::ldexp(std::uniform_real_distribution<T>(-1, 1)(random),
                         choice == 1 ? 0 : static_cast<int>(random() % 60) - 30);
    } else {
      value = static_cast<T>((uint64_t{random()} << 32 | random()) >> (choice == 1 ? 0 : random() % 64));
    }
  }
  return values;
}

// "op d, a, b…extra" for every value; `tolerance`: relative, 0: the same bits (any NaN equals any other).
template <class To, class... From, class F>
void Check(const std::string& op, F reference, const std::string& extra = "", double tolerance = 0) {
  SCOPED_TRACE(op + extra);
  std::mt19937 random(20);  // the same values in every run
  const std::tuple<std::vector<From>...> inputs{Values<From>(random)...};
  TestDevice device;
  std::string declare, load, operands;
  int k = 0;
  const auto input = [&]<class T>(TypeTag<T>) {
    const std::string n = std::to_string(k++), bits = BitsName<T>();
    declare += ".reg ." + bits + " %in" + n + ";\n";
    load += "mul.wide.u32 %d9, %r1, " + std::to_string(sizeof(T)) + ";\nadd.u64 %d9, %d9, %p" + n + ";\nld.global." +
            bits + " %in" + n + ", [%d9];\n";
    operands += ", %in" + n;
  };
  (input(TypeTag<From>()), ...);
  const std::string out = std::to_string(k), bits = BitsName<To>();
  const std::string body =
      declare + ".reg ." + bits + " %out;\nmov.u32 %r0, %ctaid.x;\nmad.lo.u32 %r1, %r0, 256, %t;\n" + load + "mov." +
      bits + " %out, 0;\n" + op + " %out" + operands + extra + ";\nmul.wide.u32 %d9, %r1, " +
      std::to_string(sizeof(To)) + ";\nadd.u64 %d9, %d9, %p" + out + ";\nst.global." + bits + " [%d9], %out;\n";
  device.Load(KernelText(k + 1, body));
  std::vector<uint64_t> arguments;
  std::apply([&](const auto&... values) { (arguments.push_back(device.Upload(values)), ...); }, inputs);
  arguments.push_back(device.Allocate(kValues * sizeof(To)));
  device.Run("K", {kValues / 256}, {256}, arguments);
  const std::vector<To> results = device.Download<To>(arguments.back(), kValues);
  int wrong = 0;
  for (int n = 0; n < kValues && wrong < 5; n++) {
    const To expected =
        std::apply([&](const auto&... values) { return static_cast<To>(reference(values[n]...)); }, inputs);
    bool same = memcmp(&expected, &results[n], sizeof expected) == 0;
    if constexpr (std::is_floating_point_v<To>) {
      same |= std::isnan(expected) && std::isnan(results[n]);
      if (tolerance > 0) same |= std::abs(results[n] - expected) <= tolerance * std::abs(expected);
    }
    if (same) continue;
    wrong++;
    std::string values;
    std::apply([&](const auto&... all) { ((values += std::to_string(all[n]) + " "), ...); }, inputs);
    ADD_FAILURE() << op << extra << " of " << values << "is " << std::to_string(results[n]) << ", expected "
                  << std::to_string(expected);
  }
}

}  // namespace emulation
