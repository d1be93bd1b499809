import os
import pathlib
import sys

# The models are tiny: more threads only wait for one another. Before numpy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(pathlib.Path(__file__).parent))


def pytest_addoption(parser):
    parser.addoption("--seeds", type=int, default=20, help="how many random directories")
    parser.addoption("--seed", type=int, help="only this one")


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        one = metafunc.config.getoption("--seed")
        metafunc.parametrize("seed", range(metafunc.config.getoption("--seeds")) if one is None else [one])
