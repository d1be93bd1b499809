// Subcommands of `headroom`. Each takes the arguments after its name and returns the exit status: 0 done, 1 failed, 2
// wrong arguments.
#pragma once

#include <string>
#include <vector>

namespace headroom::cli {

int DescribeApi(const std::vector<std::string>& arguments);
int Ask(const std::vector<std::string>& arguments);
int Status(const std::vector<std::string>& arguments);
int Config(const std::vector<std::string>& arguments);
int ListMetrics(const std::vector<std::string>& arguments);
int ListReasons(const std::vector<std::string>& arguments);
int Plan(const std::vector<std::string>& arguments);
// ExplainPlan is its sub-command `plan`.
int ExplainCommand(const std::vector<std::string>& arguments);
int ExplainPlan(const std::vector<std::string>& arguments);
int Up(const std::vector<std::string>& arguments);

}  // namespace headroom::cli
