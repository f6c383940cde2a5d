"""cwbench: conditional generative methods judged by the posterior, observation by observation.

The suite ranks samplers of P(X | Y = y) by the expected posterior Wasserstein distance

    E_y[W_p^p(P_{X|Y=y}, Q_{X|Y=y})] = W_{p,Y}^p(P_{Y,X}, P_{Y,Z})

of *Conditional Wasserstein Distances with Applications in Bayesian OT Flow Matching* (Chemseddine,
Hagemann, Steidl, Wald, JMLR 2025), https://arxiv.org/abs/2403.18705. `cwbench.ot` holds the
mathematics, for use on its own.

Names are imported when they are first used, so that `import cwbench` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cwbench.version import VERSION

if TYPE_CHECKING:
    from cwbench.api import evaluate, load_method, load_task, run, sweep
    from cwbench.boards.frames import compare, leaderboard
    from cwbench.method import FitContext, Method, MethodInfo, ProblemSpec
    from cwbench.metric import (
        CalibrationMetric,
        ImageMetric,
        Metric,
        MetricInfo,
        PairMetric,
        ReferenceMetric,
        SetMetric,
        SplitMetric,
    )
    from cwbench.preset import Preset, vector_presets
    from cwbench.records.frame import load_records
    from cwbench.records.record import Record
    from cwbench.running.tracking import Callback
    from cwbench.samples import ImageSet, JointSamples, MixturePosterior, Moments
    from cwbench.task import Params, Task, TaskInfo

__version__ = VERSION

_HOME = {
    "cwbench.api": ("evaluate", "load_method", "load_task", "run", "sweep"),
    "cwbench.method": ("FitContext", "Method", "MethodInfo", "ProblemSpec"),
    "cwbench.metric": (
        "CalibrationMetric", "ImageMetric", "Metric", "MetricInfo", "PairMetric",
        "ReferenceMetric", "SetMetric", "SplitMetric",
    ),
    "cwbench.preset": ("Preset", "vector_presets"),
    "cwbench.records.frame": ("load_records",),
    "cwbench.records.record": ("Record",),
    "cwbench.boards.frames": ("compare", "leaderboard"),
    "cwbench.running.tracking": ("Callback",),
    "cwbench.samples": ("ImageSet", "JointSamples", "MixturePosterior", "Moments"),
    "cwbench.task": ("Params", "Task", "TaskInfo"),
}  # fmt: skip
_ORIGIN = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "CalibrationMetric",
    "Callback",
    "FitContext",
    "ImageMetric",
    "ImageSet",
    "JointSamples",
    "Method",
    "MethodInfo",
    "Metric",
    "MetricInfo",
    "MixturePosterior",
    "Moments",
    "PairMetric",
    "Params",
    "Preset",
    "ProblemSpec",
    "Record",
    "ReferenceMetric",
    "SetMetric",
    "SplitMetric",
    "Task",
    "TaskInfo",
    "__version__",
    "compare",
    "evaluate",
    "leaderboard",
    "load_method",
    "load_records",
    "load_task",
    "run",
    "sweep",
    "vector_presets",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name not in _ORIGIN:
        raise AttributeError(f"module 'cwbench' has no attribute {name!r}")
    value = getattr(importlib.import_module(_ORIGIN[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
