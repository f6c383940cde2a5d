"""The variables by which a run's process is kept to its threads and its GPU."""

from __future__ import annotations

THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "CWBENCH_CORES",
)  # fmt: skip


def thread_variables(threads: int) -> dict[str, str]:
    """Those of so many threads; libraries read them when they are imported."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def variables(threads: int, gpu: str | None) -> dict[str, str]:
    """All of them; a GPU is hidden from who has another one, and none is touched without one."""
    return thread_variables(threads) | ({"CUDA_VISIBLE_DEVICES": gpu} if gpu is not None else {})
