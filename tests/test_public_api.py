"""What `import cwbench` promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import cwbench
from cwbench.errors import CwbenchError, UsageError


def test_every_public_name_can_be_imported() -> None:
    for name in cwbench.__all__:
        assert getattr(cwbench, name) is not None
    assert sorted(cwbench.__all__) == dir(cwbench)
    assert set(cwbench._ORIGIN) | {"__version__"} == set(cwbench.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        _ = cwbench.runn


def test_import_is_light(python: Callable) -> None:
    code = "import sys, cwbench.cli.main; print({'torch', 'pandas', 'scipy'} & set(sys.modules))"
    assert python("-c", code).stdout.strip() == "set()"


def test_load_task_checks_its_settings() -> None:
    assert cwbench.load_task("gaussian-linear", dimension=3).x_shape == (3,)
    with pytest.raises(UsageError, match=r"unknown task 'gausian-linear'.*'gaussian-linear'"):
        cwbench.load_task("gausian-linear")
    with pytest.raises(UsageError, match=r"unknown setting of the task 'nois'.*'noise'"):
        cwbench.load_task("gaussian-linear", nois=1)
    with pytest.raises(UsageError, match=r"task.noise = -1.*greater than"):
        cwbench.load_task("gaussian-linear", noise=-1)


def test_load_method_binds_to_a_task() -> None:
    task = cwbench.load_task("gaussian-linear")
    configured = cwbench.load_method("cot-fm", beta=10)
    method = configured.on(task)
    assert method.spec.x_shape == task.x_shape
    assert method.params.beta == 10
    with pytest.raises(UsageError, match=r"unknown setting of the method 'betta'.*'beta'"):
        cwbench.load_method("cot-fm", betta=1)


def test_a_method_sees_no_posterior_unless_it_declares_the_need() -> None:
    task = cwbench.load_task("gaussian-linear")
    assert cwbench.load_method("fm").on(task).spec.posterior is None
    assert cwbench.load_method("fm").on(task).spec.simulator is None
    granted, y = cwbench.load_method("oracle").on(task).spec.posterior, pairs(task).y
    assert torch.equal(granted.posterior_moments(y).mean, task.posterior_moments(y).mean)


def pairs(task: cwbench.Task) -> cwbench.JointSamples:
    return task.sample_joint(3, torch.Generator().manual_seed(0))


def test_usage_errors_are_value_errors() -> None:
    assert issubclass(UsageError, CwbenchError)
    assert issubclass(UsageError, ValueError)


def test_an_nfe_that_a_sampler_does_not_have_is_told(tmp_path: Path) -> None:
    """The number of evaluations of `dps` is `steps`; at --nfe 20 it would silently stay at 100."""
    with pytest.warns(UserWarning, match="oracle is drawn once, whatever nfe asks for"):
        cwbench.run(
            "gaussian-linear",
            "oracle",
            "smoke",
            nfe=[20],
            results=tmp_path,
            figures=False,
            quiet=True,
        )
