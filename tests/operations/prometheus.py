"""A real Prometheus that scrapes a test's cluster, and the text of a scrape taken apart."""
import json
import pathlib
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from cluster import free_port, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules"
SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Scrape:
    """families: name → (type, help, [(sample name, labels, value)])."""

    def __init__(self, text):
        self.text = text
        self.families = {}
        kinds, helps = {}, {}
        for line in text.splitlines():
            if line.startswith("# HELP "):
                name, _, words = line[7:].partition(" ")
                helps[name] = words
            elif line.startswith("# TYPE "):
                name, kind = line[7:].split(" ")
                kinds[name] = kind
                self.families[name] = (kind, helps.get(name, ""), [])
            elif line:
                name, labels, value = SAMPLE.match(line).groups()
                family = name if name in kinds else re.sub("_(bucket|sum|count)$", "", name)
                self.families[family][2].append((name, dict(LABEL.findall(labels or "")), float(value)))

    def values(self, name):
        """labels (without the given ones) as sorted tuples → value."""
        return {tuple(sorted(labels.items())): value for _, labels, value in self.families[name][2]}

    def samples(self, name):
        return self.families[name][2]


def scrape(target):
    return Scrape(urllib.request.urlopen(f"http://{target}/metrics", timeout=30).read().decode())


class Prometheus:
    def __init__(self, folder, targets):
        self.folder = folder
        self.port = free_port()
        self.process = None
        config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
                  "rule_files": [f"{RULES}/*.yaml"],
                  "scrape_configs": [{"job_name": "headroom", "static_configs": [{"targets": targets}]}]}
        self.config = folder / "prometheus.yaml"
        self.config.write_text(json.dumps(config))  # JSON is YAML

    def start(self):
        self.log = open(self.folder / "prometheus.log", "wb")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={self.config}", f"--storage.tsdb.path={self.folder / 'tsdb'}",
             f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"],
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        wait_for(self._all_up, "Prometheus to scrape every target")

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        self.process.wait(60)
        self.log.close()

    def get(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            answer = json.load(urllib.request.urlopen(url, timeout=30))
        except urllib.error.HTTPError as error:
            if error.code == 503:  # it still starts
                raise
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error
        assert answer["status"] == "success", answer
        return answer["data"]

    def _all_up(self):
        try:
            targets = self.get("targets", state="active")["activeTargets"]
        except OSError:
            return False
        return targets and all(target["health"] == "up" for target in targets)

    def now(self):
        return float(self.get("query", query="time()")["result"][1])

    def wait_for_scrape(self):
        after = self.now()
        wait_for(lambda: self.instant("min(timestamp(up))")[0][1] > after, "the next scrape")

    def instant(self, query):
        """[(labels, value)]"""
        return [(series["metric"], float(series["value"][1])) for series in self.get("query", query=query)["result"]]

    def range(self, query, start, end, step=1.0):
        """[(labels, [(time, value)])]"""
        result = self.get("query_range", query=query, start=start, end=end, step=step)["result"]
        return [(series["metric"], [(time, float(value)) for time, value in series["values"]]) for series in result]
