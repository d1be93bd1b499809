"""What the kernel says that a process and its control group hold."""
import os
import pathlib
import re
import threading
import time


def memory_of(pid):
    """Bytes by name: VmHWM, VmRSS, RssAnon, RssFile."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {name: int(kilobytes) << 10 for name, kilobytes in re.findall(r"^(VmHWM|VmRSS|RssAnon|RssFile):\s+(\d+) kB", status, re.M)}


def maps(pid):
    return pathlib.Path(f"/proc/{pid}/maps").read_text()


class ControlGroup:
    """A memory group below the one that the test runs in, cgroup v2 or v1. `path` is None where none can be made."""

    def __init__(self, name):
        self.path = None
        for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, own = line.split(":", 2)
            if controllers == "":
                root, self.peak_file = "/sys/fs/cgroup", "memory.peak"
            elif "memory" in controllers.split(","):
                root, self.peak_file = "/sys/fs/cgroup/memory", "memory.max_usage_in_bytes"
            else:
                continue
            group = pathlib.Path(root + own.rstrip("/")) / f"{name}-{os.getpid()}"
            try:
                group.mkdir()
            except OSError:
                continue
            if (group / self.peak_file).exists():
                self.path = group
                return
            group.rmdir()

    def prefix(self):
        """Of a command that shall run in the group from its first page on."""
        return ["sh", "-c", f'echo $$ >"{self.path}/cgroup.procs" && exec "$@"', "sh"] if self.path else []

    def limit(self, limit_bytes):
        """Memory of the group; swap counts as memory."""
        for names in (("memory.max", "memory.limit_in_bytes"), ("memory.swap.max", "memory.memsw.limit_in_bytes")):
            for name in names:
                if (self.path / name).exists():
                    (self.path / name).write_text(str(0 if name == "memory.swap.max" else limit_bytes))

    def peak(self):
        return int((self.path / self.peak_file).read_text())

    def file_cache(self):
        stat = (self.path / "memory.stat").read_text()
        return int(re.search(r"^(?:total_cache|file) (\d+)", stat, re.M)[1])

    def remove(self):
        for _ in range(100):
            try:
                if self.path:
                    self.path.rmdir()
                return
            except OSError:
                time.sleep(0.05)


class Repeat(threading.Thread):
    """Calls `check` again and again until the block ends; the first failure is raised there."""

    def __init__(self, check, pause_s):
        super().__init__(daemon=True)
        self.check, self.pause_s, self.calls, self.failure = check, pause_s, 0, None
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set():
            try:
                self.check()
            except BaseException as error:  # noqa: BLE001 - it is raised again below
                self.failure = error
                return
            self.calls += 1
            self.stopping.wait(self.pause_s)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.stopping.set()
        self.join()
        if self.failure and kind is None:
            raise self.failure
