import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))


def pytest_addoption(parser):
    parser.addoption("--conversations", type=int, default=40, help="for each published template")
    parser.addoption("--generated", type=int, default=3000, help="random templates")
    parser.addoption("--seed", type=int, default=1)


@pytest.fixture(scope="session")
def oracle():
    from oracle import Oracle
    return Oracle()


@pytest.fixture(scope="session")
def renderer():
    from renderer import Renderer
    ours = Renderer()
    yield ours
    ours.close()
