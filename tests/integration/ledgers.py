"""What the workers' gauges say of their memory."""
import urllib.request

from cluster import PATIENCE_S


class Ledgers:
    """Every look at the workers' gauges must find the promises kept."""

    def __init__(self, cluster):
        self.ports = [cluster.metrics_port(name) for name in (["gateway"] if cluster.mode == "up" else ["vision-worker", "llm-worker"])]
        self.high_water, self.full = {}, False

    def look(self):
        return [self.look_at(port) for port in self.ports]

    def look_at(self, port):
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S).read().decode()
        lines, device = {}, None
        for line in text.splitlines():
            if line.startswith("headroom_memory_device_bytes{"):
                device = int(float(line.rsplit(" ", 1)[1]))
            if not line.startswith("headroom_memory_") or "component=" not in line:
                continue
            kind = line[len("headroom_memory_"):line.index("_bytes{")]
            lines.setdefault(line.split('component="')[1].split('"')[0], {})[kind] = int(float(line.rsplit(" ", 1)[1]))
        assert sum(line["planned"] for line in lines.values()) == device
        for component, line in lines.items():
            assert 0 <= line["used"] <= line["reserved"] <= line["planned"], (component, line)
            assert line["used"] <= line["high_water"] <= line["planned"], (component, line)
            assert line["high_water"] >= self.high_water.get((port, component), 0), "a high-water mark fell"
            self.high_water[port, component] = line["high_water"]
        pool = lines["kv_pool"]
        self.full = self.full or (pool["planned"] > 0 and pool["reserved"] == pool["planned"])
        return lines
