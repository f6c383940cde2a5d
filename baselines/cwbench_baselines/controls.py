"""Controls that bound the scale: what a perfect sampler, a Gaussian, and an ignorant one score."""

from __future__ import annotations

from abc import abstractmethod
from typing import cast

import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from cwbench.method import FitContext, Method, MethodInfo, Posterior, State
from cwbench.preset import NFE

CITATION = """@article{chemseddine2025conditional,
  title = {Conditional {Wasserstein} Distances with Applications in {Bayesian} {OT} Flow Matching},
  author = {Chemseddine, Jannis and Hagemann, Paul and Steidl, Gabriele and Wald, Christian},
  journal = {Journal of Machine Learning Research},
  volume = {26},
  number = {141},
  year = {2025},
}"""


class Control(Method):
    """Nothing is learned and nothing is kept."""

    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Nothing to do."""

    @abstractmethod
    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """Draw from the task itself."""

    def state_dict(self) -> State:
        """Empty."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Nothing to take back."""


class Oracle(Control):
    """The exact posterior: debiased metrics are 0 in expectation."""

    info = MethodInfo(
        name="oracle",
        version=1,
        title="Exact posterior",
        citation=CITATION,
        role="upper",
        needs=frozenset({"posterior"}),
    )

    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """The task's own posterior."""
        return cast("Posterior", self.spec.posterior).sample_posterior(y, n, generator)


class OracleGaussian(Control):
    """The exact posterior mean and covariance in the shape of a Gaussian."""

    info = MethodInfo(
        name="oracle-gaussian",
        version=1,
        title="Gaussian with the exact posterior moments",
        citation=CITATION,
        role="upper",
        needs=frozenset({"posterior"}),
    )

    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """N(E[x | y], Cov[x | y])."""
        moments = cast("Posterior", self.spec.posterior).posterior_moments(y)
        eigenvalues, eigenvectors = torch.linalg.eigh(moments.covariance)
        root = eigenvectors * eigenvalues.clamp_min(0).sqrt()[:, None]
        noise = torch.randn(len(y), n, self.spec.x_size, generator=generator).double()
        draws = moments.mean[:, None] + torch.einsum("mde,mne->mnd", root, noise)
        return draws.float().reshape(len(y), n, *self.spec.x_shape)


class Prior(Control):
    """Fresh draws of X that ignore y: the score of having learned nothing about the posterior."""

    info = MethodInfo(
        name="prior",
        version=1,
        title="Prior, y ignored",
        citation=CITATION,
        role="lower",
        needs=frozenset({"simulator"}),
    )

    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """X of the joint distribution."""
        assert self.spec.simulator is not None  # noqa: S101 - granted by `needs`
        x = self.spec.simulator(len(y) * n, generator).x
        return x.reshape(len(y), n, *self.spec.x_shape)
