#include "model/structured/string_formats.h"

#include <array>
#include <utility>

namespace headroom::model {
namespace {

// RFC 3339. Years 0001 to 9999, the 29th of February in leap years only, no leap second.
#define YEAR R"((?:[1-9]\d{3}|0[1-9]\d{2}|00[1-9]\d|000[1-9]))"
#define LEAP_YEAR R"((?:\d{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00))"
#define DATE                                                                                                      \
  "(?:" YEAR                                                                                                      \
  R"(-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)|)" LEAP_YEAR \
  "-02-29)"
#define TIME R"((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d))"
#define LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define HOST LABEL R"((?:\.)" LABEL "){0,3}"
#define OCTET R"((?:25[0-5]|2[0-4]\d|1\d{2}|[1-9]?\d))"
#define ATOM "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
#define PATH_CHARACTER R"((?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}))"
#define TAIL R"((?:\?(?:)" PATH_CHARACTER R"(|[/?])*)?(?:#(?:)" PATH_CHARACTER "|[/?])*)?"
#define AUTHORITY "//(?:(?:[A-Za-z0-9._~-]+@)?" HOST "(?::[0-9]{1,5})?)?"
#define SEGMENTS "(?:/" PATH_CHARACTER "*)*"

constexpr std::array<std::pair<const char*, const char*>, 19> kFormats = {{
    {"date", "^" DATE "$"},
    {"time", "^" TIME "$"},
    {"date-time", "^" DATE "T" TIME "$"},
    {"duration",
     R"(^P(?:\d{1,6}W|(?:\d{1,6}Y(?:\d{1,6}M(?:\d{1,6}D)?)?|\d{1,6}M(?:\d{1,6}D)?|\d{1,6}D)(?:T(?:\d{1,6}H(?:\d{1,6}M(?:\d{1,6}S)?)?|\d{1,6}M(?:\d{1,6}S)?|\d{1,6}S))?|T(?:\d{1,6}H(?:\d{1,6}M(?:\d{1,6}S)?)?|\d{1,6}M(?:\d{1,6}S)?|\d{1,6}S))$)"},
    {"email", "^" ATOM R"((?:\.)" ATOM ")*@" HOST "$"},
    {"hostname", "^" HOST "$"},
    {"ipv4", "^" OCTET R"((?:\.)" OCTET "){3}$"},
    {"ipv6",
     "^(?:(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}|::(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,5})?|"
     "[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,2}::[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,2})$"},
    {"uri", "^[A-Za-z][A-Za-z0-9+.-]*:(?:" AUTHORITY SEGMENTS "|" PATH_CHARACTER "+" SEGMENTS ")" TAIL "$"},
    {"uri-reference", "^(?:[A-Za-z][A-Za-z0-9+.-]*:" AUTHORITY SEGMENTS "|/(?:" PATH_CHARACTER "+" SEGMENTS
                      ")?|[A-Za-z0-9._~-]*" SEGMENTS ")" TAIL "$"},
    {"uuid", "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$"},
    {"json-pointer", "^(?:/(?:[^~/]|~[01])*)*$"},
    {"relative-json-pointer", "^(?:0|[1-9][0-9]{0,8})(?:#|(?:/(?:[^~/]|~[01])*)*)$"},
    {"idn-email", ""},
    {"idn-hostname", ""},
    {"iri", ""},
    {"iri-reference", ""},
    {"uri-template", ""},
    {"regex", ""},
}};

}  // namespace

const char* PatternOfFormat(const std::string& format) {
  for (const auto& [name, pattern] : kFormats) {
    if (format == name) return pattern;
  }
  return nullptr;
}

}  // namespace headroom::model
