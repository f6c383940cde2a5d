"""Ridge regression of x on y with the covariance of its residuals: the simplest posterior.

Exact on linear-Gaussian problems, and what every learned sampler has to beat elsewhere.

Ridge Regression: Biased Estimation for Nonorthogonal Problems (Hoerl and Kennard, 1970),
https://doi.org/10.1080/00401706.1970.10488634
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, PositiveFloat
from sklearn.linear_model import RidgeCV
from torch import Generator, Tensor
from torch.utils.data import Dataset

from cwbench.method import FitContext, Method, MethodInfo, State, tensors_of
from cwbench.ot.scaling import spread_of
from cwbench.preset import NFE
from cwbench.task import Params
from cwbench.training.networks import Condition


class LinearGaussianParams(Params):
    """Settings of the linear-Gaussian posterior."""

    ridge: tuple[PositiveFloat, ...] = Field(
        (1e-4, 1e-2, 1.0, 1e2, 1e4),
        min_length=1,
        description="penalties on standardised y; the best by leave-one-out error is kept",
    )


class LinearGaussian(Method):
    """x | y ~ N(W e(y) + b, S), with S the covariance of the training residuals."""

    info = MethodInfo(
        name="linear-gaussian",
        version=2,
        title="Ridge mean, residual covariance",
        citation="hoerl1970ridge",
    )
    Params: ClassVar[type[LinearGaussianParams]] = LinearGaussianParams
    params: LinearGaussianParams

    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Fit mean and residual covariance on all training pairs."""
        x, y = tensors_of(data)
        condition = Condition(self.spec.y_shape, self.spec.num_classes)
        condition.fit(y)
        unit = self._unit(x.flatten(1), context)
        features, targets = condition(y).double().numpy(), (x.flatten(1) / unit).numpy()
        ridge = RidgeCV(list(self.params.ridge)).fit(features, targets)
        residuals = torch.from_numpy(targets - ridge.predict(features).reshape(targets.shape))
        covariance = torch.cov((unit * residuals).T).reshape(self.spec.x_size, self.spec.x_size)
        eigenvalues, eigenvectors = torch.linalg.eigh(covariance)
        size = (self.spec.x_size, condition.size)
        self.state: dict[str, Tensor] = {
            "weight": unit[:, None] * torch.from_numpy(ridge.coef_).reshape(size),
            "bias": unit * torch.as_tensor(ridge.intercept_).reshape(self.spec.x_size),
            "root": eigenvectors * eigenvalues.clamp_min(0).sqrt(),
        } | condition.state_dict(prefix="condition.")

    @staticmethod
    def _unit(x: Tensor, context: FitContext) -> Tensor:
        """What each entry of x is measured in: all count alike in the choice of the penalty."""
        _, deviation, varies = spread_of(x)
        return torch.where(varies & context.standardise, deviation, 1.0)

    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """Mean plus correlated noise."""
        condition = Condition(self.spec.y_shape, self.spec.num_classes)
        prefix = "condition."
        condition.load_state_dict(
            {k.removeprefix(prefix): v for k, v in self.state.items() if k.startswith(prefix)}
        )
        mean = condition(y).double() @ self.state["weight"].T + self.state["bias"]
        noise = torch.randn(len(y), n, self.spec.x_size, generator=generator).double()
        draws: Tensor = mean[:, None] + noise @ self.state["root"].T
        return draws.float().reshape(len(y), n, *self.spec.x_shape)

    def state_dict(self) -> State:
        """Regression, residual root and standardisation."""
        return self.state

    def load_state_dict(self, state: State) -> None:
        """Take back the regression."""
        self.state = {name: value for name, value in state.items() if isinstance(value, Tensor)}
