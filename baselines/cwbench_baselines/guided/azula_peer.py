"""What samplers of the azula library are handed: our denoiser and operator, in their conventions.

azula guides x_t = alpha x_0 + sigma e along its own variance-preserving schedule, its last sigma of
10^-3 included, and takes noise from the global stream, which is seeded for each chunk by the first
of its draws. Nothing of azula is changed: these are a peer's rows, not ours.

Azula, diffusion models in PyTorch (Rozet and others), https://github.com/probabilists/azula
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from cwbench.errors import missing_extra
from cwbench.known.operator import LinearOperator
from cwbench.method import Diagnostics, FitContext
from cwbench_baselines.guided.ancestral import AncestralParams
from cwbench_baselines.guided.sampler import Denoiser, GuidedSampler, Problem

TORCH_WARNS = ".torch.jit.script. is deprecated"
"""Of itself, the first time that azula asks for `torch.func.jvp`."""


class AzulaParams(AncestralParams):
    """Settings of samplers of azula; what is not named has azula's own default."""

    alpha_min: float = Field(
        1e-3, gt=0, lt=1, description="scale of x_0 at the noisy end of the schedule"
    )


class AzulaSampler(GuidedSampler):
    """A sampler of azula at a fixed chunk; a method adds `guided`."""

    Params: ClassVar[type[AzulaParams]] = AzulaParams
    params: AzulaParams
    together: ClassVar[int] = 500
    """Draws that azula is asked for at once, for a method whose draws do not depend on it."""

    @abstractmethod
    def guided(self, denoiser: HandedDenoiser, problem: Problem) -> Any:
        """An `azula.sample.Sampler` of `problem`."""

    @property
    def chunk(self) -> int:
        """Fixed: one stream serves the draws of a chunk, and a step may be theirs together."""
        return self.together

    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """As the others, once azula is there."""
        self.azula()
        super().fit(data, context)

    def draw(self, problem: Problem) -> Tensor:
        """Let azula sample, with a stream of the first draw."""
        azula = self.azula()
        denoiser = HandedDenoiser(problem.prior, azula.noise.VPSchedule(self.params.alpha_min))
        sampler = self.guided(denoiser, problem)
        seed = int(problem.noise.uniform(1)[0] * 2**53)
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", TORCH_WARNS, FutureWarning)
            torch.default_generator.manual_seed(seed)
            start = sampler.init((len(problem), problem.size), dtype=torch.float64)
            x: Tensor = sampler(start)
        return x

    @property
    def options(self) -> dict[str, Any]:
        """What every sampler of azula is told."""
        return {"steps": self.params.steps, "silent": True, "dtype": torch.float64}

    @classmethod
    def azula(cls) -> Any:
        """The package.

        Raises:
            UsageError: if it is not installed.
        """
        try:
            import azula.guidance
        except ImportError as error:
            raise missing_extra(cls.info.name, "azula", "azula") from error
        return azula

    def diagnostics(self) -> Diagnostics:
        """Also whose numbers these are."""
        return {**super().diagnostics(), "azula": version("azula")}


@dataclass(frozen=True)
class HandedDenoiser:
    """Ours as `azula.denoise.Denoiser`: called with x_t and t it has the attribute `mean`."""

    prior: Denoiser
    schedule: Callable[[Tensor], tuple[Tensor, Tensor]]

    def __call__(self, x_t: Tensor, t: Tensor) -> HandedMean:
        """E[X_0 | x_t] with shape `(n, d)`."""
        alpha, sigma = (float(part) for part in self.schedule(t))
        clean = self.prior.denoise(x_t, alpha, sigma)
        return HandedMean(clean.clone())  # a gradient in it is no product with the Jacobian


@dataclass(frozen=True)
class HandedMean:
    """Ours as `azula.denoise.DiracPosterior`."""

    mean: Tensor


def handed_operator(A: LinearOperator) -> Callable[[Tensor], Tensor]:
    """The map x to A x, whose adjoint is counted too where autograd applies it."""

    def forward(x: Tensor) -> Tensor:
        y = A.forward(x)
        if y.requires_grad:
            y.register_hook(lambda _: A.count(len(x)))
        return y

    return forward
