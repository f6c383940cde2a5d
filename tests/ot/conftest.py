import sys

import numpy as np
import ot as pot
import pytest
import scipy.optimize
import torch


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def no_solver(monkeypatch):
    """Any solver that is reached fails the test."""

    def reached(*args, **kwargs):
        pytest.fail("a solver was reached")

    monkeypatch.setattr(pot, "emd2", reached)
    monkeypatch.setattr(scipy.optimize, "linear_sum_assignment", reached)
    for module, name in [
        ("sinkhorn", "_transport"),
        ("sinkhorn", "_self_transport"),
        ("regression", "_train"),
    ]:
        # not by attribute of the package, where the function `assignment` hides its module
        monkeypatch.setattr(sys.modules[f"cwbench.ot.{module}"], name, reached)
