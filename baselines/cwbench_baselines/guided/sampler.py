"""What samplers that know the operator share: the prior, coordinates, streams, chunks.

x is in the coordinates of `scaled`, as for the flows, flattened, float64; the operator, the noise
and the task's own prior are mapped into them. A method writes `draw`: from a `Problem`, whose rows
are the draws, to as many x.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch
from pydantic import BaseModel, Field
from torch import Generator, Tensor
from torch.utils.data import Dataset

from cwbench.known.classes import Need
from cwbench.known.operator import LinearOperator
from cwbench.known.prior import ExactPrior
from cwbench.method import Diagnostics, FitContext, ProblemSpec, State
from cwbench.preset import NFE
from cwbench.task import Params
from cwbench_baselines.guided.learned import LearnedPrior
from cwbench_baselines.guided.noise import Noise, call_number
from cwbench_baselines.scaled import ScaledMethod

NUMBERS = 2**15
"""Numbers of x, over draws and particles, that are computed together."""


class Denoiser(Protocol):
    """A learned prior, or the exact one."""

    def denoise(self, x_t: Tensor, alpha: float, sigma: float) -> Tensor:
        """E[X_0 | x_t] with shape `(n, d)`."""


@dataclass(frozen=True)
class Problem:
    """Some draws that are made together: row r is a draw for the observation in row r.

    `y` is y - b with shape `(n, d_y)`, `given` the same observations as the task has them;
    `likelihood` takes x `(n, d)` to log p(y | x) `(n,)`. What was not declared is not there.
    """

    prior: Denoiser
    noise: Noise
    given: Tensor
    size: int
    y: Tensor | None = None
    A: LinearOperator | None = None
    log_likelihood: Callable[[Tensor, Tensor], Tensor] | None = None

    def __len__(self) -> int:
        return len(self.given)

    def denoise(self, x: Tensor, k: float) -> Tensor:
        """E[X_0 | x_0 + k e = x] with shape `(n, d)`."""
        return self.prior.denoise(x, 1.0, float(k))

    @property
    def operator(self) -> LinearOperator:
        """The operator of those that declare it."""
        assert self.A is not None  # noqa: S101 - the method declares it
        return self.A

    @property
    def observed(self) -> Tensor:
        """`y` of those that declare the operator."""
        assert self.y is not None  # noqa: S101 - the method declares the operator
        return self.y

    def likelihood(self, x: Tensor) -> Tensor:
        """`log_likelihood` of those that declare it, with shape `(n,)` of x `(n, d)`."""
        assert self.log_likelihood is not None  # noqa: S101 - the method declares it
        return self.log_likelihood(x, self.given)


class GuidedParams(Params):
    """Settings of all samplers that use a prior's denoiser."""

    denoiser: Literal["learned", "exact"] = Field(
        "learned", description="of the prior: fitted to x, shared by all, or the task's own"
    )


class GuidedSampler(ScaledMethod):
    """A sampler that is made of a prior and of what is known of y given x."""

    Params: ClassVar[type[GuidedParams]] = GuidedParams
    params: GuidedParams
    uses: ClassVar[frozenset[Need]] = frozenset({"operator"})
    """What it asks of the task whatever its settings, besides the denoiser."""

    @classmethod
    def needs(cls, params: BaseModel) -> frozenset[Need]:
        """The operator, and the exact prior with `denoiser=exact`."""
        exact = getattr(params, "denoiser", "learned") == "exact"
        return cls.uses | ({"denoiser"} if exact else frozenset())

    @classmethod
    def unsupported(cls, spec: ProblemSpec) -> str | None:
        """Where the gradient of the likelihood leads nowhere."""
        rough = spec.known.rough
        return f"follows the gradient of the likelihood: {rough}" if rough else None

    @abstractmethod
    def draw(self, problem: Problem) -> Tensor:
        """One draw for each row, with shape `(n, d)`."""

    @property
    def particles(self) -> int:
        """How many states a draw takes."""
        return 1

    @property
    def chunk(self) -> int:
        """How many draws are made together; no draw depends on it."""
        return max(1, NUMBERS // (self.particles * self.spec.x_size))

    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Take the shared prior, or none with `denoiser=exact`."""
        self.fit_scaling(data, context)
        self.learned = None
        if self.params.denoiser == "learned":
            self.learned = LearnedPrior.shared(self.spec, data, context, self.scaling)

    @torch.no_grad()
    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """Draw chunk by chunk; each draw has a stream of its own."""
        call = call_number(generator)
        pairs = [(i, j) for i in range(len(y)) for j in range(n)]
        chunks = [pairs[at : at + self.chunk] for at in range(0, len(pairs), self.chunk)]
        make = self._problems(y, call)
        x = torch.cat([self.draw(make(chunk)) for chunk in chunks]).reshape(-1, *self.spec.x_shape)
        return self.scaling.inverse(x).float().reshape(len(y), n, *self.spec.x_shape)

    def _problems(self, y: Tensor, call: int) -> Callable[[list[tuple[int, int]]], Problem]:
        """What makes a `Problem` of some draws."""
        known = self.spec.known.standardised(self.scaling)
        prior: Denoiser | ExactPrior = self.learned or known.denoiser
        A = known.operator if "operator" in known.declared else None
        likelihood = known.likelihood if "likelihood" in known.declared else None
        centred = None if A is None else A.centred(y)
        if A is not None:
            _ = A.singular_values  # once for all chunks

        def log_likelihood(x: Tensor, given: Tensor) -> Tensor:
            assert likelihood is not None  # noqa: S101 - handed out only where it is
            return likelihood(x.reshape(len(x), 1, *self.spec.x_shape), given)[:, 0]

        def make(draws: list[tuple[int, int]]) -> Problem:
            rows = torch.tensor([i for i, _ in draws])
            return Problem(
                prior, Noise(call, draws), y[rows], self.spec.x_size,
                None if centred is None else centred[rows], A,
                None if likelihood is None else log_likelihood,
            )  # fmt: skip

        return make

    def state_dict(self) -> State:
        """The map of x, and the learned prior."""
        return {**self.scaling_state(), **(self.learned.state_dict() if self.learned else {})}

    def load_state_dict(self, state: State) -> None:
        """Rebuild the prior."""
        rest, self.learned = self.load_scaling(state), None
        if self.params.denoiser == "learned":
            self.learned = LearnedPrior.empty(self.spec)
            self.learned.load_state_dict(rest)

    def diagnostics(self) -> Diagnostics:
        """Which learned prior it is; the same for all samplers of a task and seed."""
        return {"prior_sha256": self.learned.sha256} if self.learned else {}
