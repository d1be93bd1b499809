"""Runs what a render describes without Kubernetes: each pod is a process on a loopback address of its own, started with exactly the command, arguments
and mounted configuration of its container. What is replaced, and nothing else: mount paths become folders, names of Services the address of their
pod, and the wildcard address the pod's (pods of this test share one network)."""
import os
import pathlib
import random
import re
import signal
import subprocess
import sys

import grpc
from chart import NAMESPACE, ROOT, component, named, of_kind

sys.path.insert(0, str(ROOT / "tests" / "integration"))

from cluster import PATIENCE_S, binary_dir, wait_for  # noqa: E402
from grpc_health_free import check_health  # noqa: E402


class Pod:
    def __init__(self, name, template, address, folder):
        self.name = name
        self.labels = template["metadata"]["labels"]
        self.spec = template["spec"]
        self.container = self.spec["containers"][0]
        self.address = address
        self.folder = folder
        self.process = None

    def port(self, name):
        return next(port["containerPort"] for port in self.container["ports"] if port["name"] == name)

    def mount(self, mount):
        return self.folder / mount["mountPath"].strip("/").replace("/", "_")

    def start(self, objects, claims, names):
        """claims: {claim: folder}; names: {text: replacement} for Services."""
        replaced = dict(names) | {"[::]": self.address}
        for mount in self.container["volumeMounts"]:
            volume = next(volume for volume in self.spec["volumes"] if volume["name"] == mount["name"])
            if "persistentVolumeClaim" in volume:
                replaced[mount["mountPath"]] = str(claims[volume["persistentVolumeClaim"]["claimName"]])
            else:
                replaced[mount["mountPath"]] = str(self.mount(mount))

        def local(text):
            for one, other in replaced.items():
                text = text.replace(one, other)
            return text

        for mount in self.container["volumeMounts"]:
            volume = next(volume for volume in self.spec["volumes"] if volume["name"] == mount["name"])
            if "configMap" in volume:
                self.mount(mount).mkdir(parents=True, exist_ok=True)
                for file, text in named(objects, "ConfigMap", volume["configMap"]["name"])["data"].items():
                    (self.mount(mount) / file).write_text(local(text))
        fields = {"metadata.name": self.name, "status.podIP": self.address}
        variables = {one["name"]: one["value"] if "value" in one else fields[one["valueFrom"]["fieldRef"]["fieldPath"]] for one in self.container["env"]}
        arguments = [re.sub(r"\$\((\w+)\)", lambda match: variables[match[1]], one) for one in self.container["args"]]
        command = [str(binary_dir() / self.container["command"][0]), *self.container["command"][1:], *map(local, arguments)]
        self.log_path = self.folder / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | variables, cwd=self.folder)

    def check_alive(self):
        assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}:\n{self.log_path.read_text(errors='replace')[-4000:]}"

    def probe(self, name):
        """What the kubelet would find: True when the probe succeeds."""
        wanted = self.container[name]["grpc"]
        try:
            return check_health(f"{self.address}:{wanted['port']}", service=wanted.get("service", "")) == "SERVING"
        except grpc.RpcError:
            return False

    def wait_probe(self, name):
        def succeeds():
            self.check_alive()
            return self.probe(name)
        wait_for(succeeds, f"{name} of {self.name}")

    def processes(self):
        """Process ids of the pod: the service and what it started."""
        children = {}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except OSError:
                    continue
                children.setdefault(parent, []).append(int(entry.name))
        found = [self.process.pid]
        for one in found:
            found += children.get(one, [])
        return found

    def listeners(self):
        """{(address, port)} on which the pod's processes listen."""
        inodes = set()
        for process in self.processes():
            for descriptor in pathlib.Path(f"/proc/{process}/fd").iterdir():
                target = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(descriptor)) if descriptor.exists() or descriptor.is_symlink() else None
                if target:
                    inodes.add(target[1])
        found = set()
        for table in ("tcp", "tcp6"):
            for line in pathlib.Path(f"/proc/{self.process.pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and fields[9] in inodes:
                    address, port = fields[1].split(":")
                    # gRPC's sockets are of IPv6, bound to the IPv4 address.
                    address = address.removeprefix("0000000000000000FFFF0000")
                    if len(address) == 8:
                        address = ".".join(str(int(address[at:at + 2], 16)) for at in (6, 4, 2, 0))
                    found.add((address, int(port, 16)))
        return found

    def resident_bytes(self):
        def of(process):
            text = pathlib.Path(f"/proc/{process}/status").read_text()
            return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) << 10
        return sum(of(process) for process in self.processes())

    def terminate(self):
        """As the kubelet does: SIGTERM, the grace period, SIGKILL. Returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(max(PATIENCE_S, self.spec["terminationGracePeriodSeconds"]))
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Cluster:
    """All pods of a render's Deployments."""

    def __init__(self, objects, claims, folder):
        self.objects = objects
        self.claims = claims
        self.pods = []
        # 127.0.0.0/8 is all loopback: the services keep their real ports.
        net = f"127.{random.randint(64, 250)}.{random.randint(0, 255)}"
        for deployment in of_kind(objects, "Deployment"):
            for index in range(deployment["spec"]["replicas"]):
                name = f"{deployment['metadata']['name']}-{index}"
                home = folder / name
                home.mkdir()
                self.pods.append(Pod(name, deployment["spec"]["template"], f"{net}.{len(self.pods) + 1}", home))

    def of(self, kind):
        return [pod for pod in self.pods if component({"labels": pod.labels}) == kind]

    def service_names(self):
        """{"NAME.NAMESPACE.svc:PORT": "address:port"}: the first pod of each Service."""
        names = {}
        for service in of_kind(self.objects, "Service"):
            pod = next(pod for pod in self.pods if service["spec"]["selector"].items() <= pod.labels.items())
            for port in service["spec"]["ports"]:
                names[f"{service['metadata']['name']}.{NAMESPACE}.svc:{port['port']}"] = f"{pod.address}:{pod.port(port['targetPort'])}"
        return names

    def start(self, pods=None):
        for pod in self.pods if pods is None else pods:
            pod.start(self.objects, self.claims, self.service_names())

    def kill(self):
        for pod in self.pods:
            if pod.process is not None and pod.process.poll() is None:
                pod.process.kill()
                pod.process.wait()
