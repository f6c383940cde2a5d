"""The posterior of a Gaussian prior under the task's own operator

    Y = A X + b + s E,   X ~ N(m, C) with the moments of the training x,
    x' ~ N(m, C),  x = x' + C A^T (A C A^T + s^2 I)^-1 (y - b - A x' - s e),

a draw by Matheron's rule. Exact where X is Gaussian; put your own prior in its place.

Pathwise Conditioning of Gaussian Processes (Wilson, Borovitskiy, Terenin, Mostowsky, Deisenroth,
2021), https://arxiv.org/abs/2011.04026
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import BaseModel, Field
from torch import Generator, Tensor
from torch.utils.data import Dataset

from cwbench import FitContext, Method, MethodInfo, Params
from cwbench.known.classes import Need
from cwbench.method import State, some_of
from cwbench.preset import NFE


class PluginClassParams(Params):
    """Settings: `cwbench run --set method.ridge=0.001`."""

    ridge: float = Field(1e-6, gt=0, description="added to the variances of x")


class PluginClass(Method):
    """A Gaussian prior, conditioned on y by the operator."""

    info = MethodInfo(
        name="plugin-name",
        version=1,
        title="Gaussian prior under the task's operator",
        citation="""@article{wilson2021pathwise,
  title = {Pathwise Conditioning of {Gaussian} Processes},
  author = {Wilson, James T. and Borovitskiy, Viacheslav and Terenin, Alexander and
            Mostowsky, Peter and Deisenroth, Marc Peter},
  journal = {Journal of Machine Learning Research},
  year = {2021},
}""",
    )
    Params: ClassVar[type[PluginClassParams]] = PluginClassParams
    params: PluginClassParams

    @classmethod
    def needs(cls, params: BaseModel) -> frozenset[Need]:
        """What is handed in `self.spec.known`; a task without it is skipped with that reason."""
        return frozenset({"operator"})

    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Take the moments of x."""
        x = some_of(data).x.flatten(1).double()
        self.mean = x.mean(0)
        ridge = self.params.ridge * torch.eye(x.shape[1], dtype=torch.float64)
        self.covariance = torch.cov(x.T).reshape(ridge.shape) + ridge

    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """Samples with shape `(m, n, *x_shape)`: draws of the prior, moved to where y is."""
        A, C = self.spec.known.operator, self.covariance
        d_y, d = A.matrix.shape
        e = torch.randn(len(y), n, d + d_y, dtype=torch.float64, generator=generator)
        x = self.mean + e[..., :d] @ torch.linalg.cholesky(C).T
        S = A.forward(A.forward(C).T) + A.noise**2 * torch.eye(d_y, dtype=torch.float64)
        residual = A.centred(y)[:, None] - A.forward(x) - A.noise * e[..., d:]
        moved = A.adjoint(torch.linalg.solve(S, residual.mT).mT) @ C
        draws: Tensor = (x + moved).float()
        return draws.reshape(len(y), n, *self.spec.x_shape)

    def state_dict(self) -> State:
        """The moments."""
        return {"mean": self.mean, "covariance": self.covariance}

    def load_state_dict(self, state: State) -> None:
        """Take them back."""
        mean, covariance = state["mean"], state["covariance"]
        assert isinstance(mean, Tensor) and isinstance(covariance, Tensor)
        self.mean, self.covariance = mean, covariance
