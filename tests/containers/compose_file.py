"""deploy/compose as a container engine would read it, as far as Headroom's own services go."""
import dataclasses
import os
import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "deploy" / "compose"
FILES = ("single.yaml", "models.yaml", "cluster.yaml", "cuda.yaml")


@dataclasses.dataclass
class Mount:
    source: pathlib.Path
    target: str
    read_only: bool


def read(name):
    return yaml.safe_load((COMPOSE / name).read_text())


def own_services(document):
    """Those that run Headroom's image: {name: service}."""
    return {name: service for name, service in document["services"].items() if service["image"].startswith(("headroom:", "headroom-cuda:"))}


def is_cuda(service):
    return service["image"].startswith("headroom-cuda:")


def mounts(service, volumes=()):
    """Bind mounts; ${NAME:-default} takes the default."""
    found = []
    for text in service.get("volumes", []):
        source, target, *options = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text).split(":")
        if source in volumes:
            continue
        found.append(Mount(pathlib.Path(os.path.normpath(COMPOSE / source)), target, options == ["ro"]))
    return found
