// The end of a process, seen from its parent: signals and failures at every moment of a service's life.
#include "common/service_main.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

namespace headroom {
namespace {

using std::chrono::milliseconds;

// Life of a service, told as letters on a pipe.
class Letters {
 public:
  Letters() { EXPECT_EQ(pipe(ends_), 0); }
  ~Letters() {
    close(ends_[0]);
    CloseWriter();
  }
  void Write(char letter) const { EXPECT_EQ(write(ends_[1], &letter, 1), 1); }
  // 0 when the writer is gone.
  char Read() const {
    char letter = 0;
    return read(ends_[0], &letter, 1) == 1 ? letter : '\0';
  }
  void CloseWriter() {
    if (ends_[1] >= 0) close(ends_[1]);
    ends_[1] = -1;
  }

 private:
  int ends_[2] = {-1, -1};
};

// Writes R when it runs, D and the deadline's kind (0 or +) when it stops.
class Scripted : public RunningService {
 public:
  explicit Scripted(const Letters& letters, bool endless_drain = false)
      : letters_(letters), endless_drain_(endless_drain) {
    letters_.Write('R');
  }
  void Stop(Duration deadline) override {
    letters_.Write('D');
    letters_.Write(deadline == Duration::zero() ? '0' : '+');
    while (endless_drain_) std::this_thread::sleep_for(milliseconds(1));
  }

 private:
  const Letters& letters_;
  const bool endless_drain_;
};

// RunUntilSignal in a child process.
class Child {
 public:
  template <typename Start>
  explicit Child(Start start) {
    pid_ = fork();
    if (pid_ == 0) {
      ClusterConfig config;
      config.log.level = "error";
      const StartService call = [&](const ClusterConfig&, ProcessEnd& process) { return start(letters_, process); };
      _exit(RunUntilSignal(config, "child", call));
    }
    letters_.CloseWriter();
  }
  char Letter() const { return letters_.Read(); }
  void Signal(int number) const { EXPECT_EQ(kill(pid_, number), 0); }
  int Status() const {
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  Letters letters_;
  pid_t pid_ = 0;
};

using Started = absl::StatusOr<std::unique_ptr<RunningService>>;

TEST(RunUntilSignal, SignalDrains) {
  for (const int number : {SIGTERM, SIGINT}) {
    const Child child(
        [](const Letters& letters, ProcessEnd&) -> Started { return std::make_unique<Scripted>(letters); });
    EXPECT_EQ(child.Letter(), 'R');
    child.Signal(number);
    EXPECT_EQ(child.Letter(), 'D');
    EXPECT_EQ(child.Letter(), '+');
    EXPECT_EQ(child.Status(), 0);
  }
}

TEST(RunUntilSignal, SignalDuringTheStartEndsIt) {
  const Child child([](const Letters& letters, ProcessEnd& process) -> Started {
    letters.Write('S');
    while (!process.stopping().stop_requested()) std::this_thread::sleep_for(milliseconds(1));
    return absl::CancelledError("stopped");
  });
  EXPECT_EQ(child.Letter(), 'S');
  child.Signal(SIGTERM);
  EXPECT_EQ(child.Letter(), '\0');
  EXPECT_EQ(child.Status(), 0);
}

TEST(RunUntilSignal, SignalDuringAStartThatDoesNotLookDrainsAfterIt) {
  const Child child([](const Letters& letters, ProcessEnd& process) -> Started {
    letters.Write('S');
    while (!process.stopping().stop_requested()) std::this_thread::sleep_for(milliseconds(1));
    return std::make_unique<Scripted>(letters);
  });
  EXPECT_EQ(child.Letter(), 'S');
  child.Signal(SIGTERM);
  EXPECT_EQ(child.Letter(), 'R');
  EXPECT_EQ(child.Letter(), 'D');
  EXPECT_EQ(child.Letter(), '+');
  EXPECT_EQ(child.Status(), 0);
}

TEST(RunUntilSignal, SecondSignalDoesNotWait) {
  const Child child(
      [](const Letters& letters, ProcessEnd&) -> Started { return std::make_unique<Scripted>(letters, true); });
  EXPECT_EQ(child.Letter(), 'R');
  child.Signal(SIGTERM);
  EXPECT_EQ(child.Letter(), 'D');
  child.Signal(SIGTERM);
  EXPECT_EQ(child.Status(), 1);
}

TEST(RunUntilSignal, FailedStartIsTheExitStatus) {
  const Child child([](const Letters&, ProcessEnd&) -> Started { return absl::NotFoundError("no model"); });
  EXPECT_EQ(child.Letter(), '\0');
  EXPECT_EQ(child.Status(), 1);
}

TEST(RunUntilSignal, ServiceThatCannotGoOnIsStoppedWithoutADrain) {
  const Child child([](const Letters& letters, ProcessEnd& process) -> Started {
    auto service = std::make_unique<Scripted>(letters);
    std::thread([&process] { process.Fail(absl::DataLossError("weights are gone")); }).join();
    return service;
  });
  EXPECT_EQ(child.Letter(), 'R');
  EXPECT_EQ(child.Letter(), 'D');
  EXPECT_EQ(child.Letter(), '0');
  EXPECT_EQ(child.Status(), 1);
}

}  // namespace
}  // namespace headroom
