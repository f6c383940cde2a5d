"""Linear observations with Gaussian noise: Y = A X + b + s E, E ~ N(0, I), x and y flattened.

With x = m + d u, entry by entry, u is observed through A diag(d) and the offset A m + b.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from cwbench.door import copied
from cwbench.errors import ContractError

Count = Callable[[int], None]
"""Is told how many x or y an operator was applied to."""

_NEGLIGIBLE = 1e-10
"""Share of the largest singular value below which a direction counts as not observed."""


class SingularValues(NamedTuple):
    """A = U diag(S) V^T with the r singular values that are not 0.

    `U` with shape `(d_y, r)`, `S` `(r,)`, `V` `(d, r)`.
    """

    U: Tensor
    S: Tensor
    V: Tensor


@dataclass(frozen=True)
class LinearOperator:
    """A, s and b of a linear observation, in float64.

    Args:
        matrix: A with shape `(d_y, d)`.
        noise: the standard deviation s, above 0.
        offset: b with shape `(d_y,)`; None is 0.
        count: is told of each application.

    Raises:
        ContractError: if A, b or s are not finite, A or b not float64, or if A or s is 0.
    """

    matrix: Tensor
    noise: float
    offset: Tensor | None = None
    count: Count = field(default=lambda _: None, compare=False)

    def __post_init__(self) -> None:
        """Refuse what no observation has."""
        parts = {"matrix": self.matrix} | ({} if self.offset is None else {"offset": self.offset})
        for name, part in parts.items():
            _refuse_kind(name, part)
        shape = tuple(self.matrix.shape)
        if len(shape) != 2 or self.b.shape != shape[:1]:
            raise ContractError(
                f"a linear operator is a matrix (d_y, d) with an offset (d_y,); got shapes {shape} "
                f"and {None if self.offset is None else tuple(self.offset.shape)}"
            )
        if not self.matrix.any():
            raise ContractError("the linear operator is 0: y says nothing about x")
        if not isinstance(self.noise, (int, float)):
            raise ContractError(
                f"the noise of the linear operator is a {type(self.noise).__name__}, not one "
                "number for all of y. Divide the rows of y by theirs, or offer log_likelihood"
            )
        if not (self.noise > 0 and math.isfinite(self.noise)):
            raise ContractError(
                f"the noise of the linear operator is {self.noise}; a likelihood needs a deviation "
                "above 0, e.g. 1e-3"
            )

    @property
    def b(self) -> Tensor:
        """The offset with shape `(d_y,)`."""
        return self.matrix.new_zeros(self.matrix.shape[:1]) if self.offset is None else self.offset

    def copy(self) -> LinearOperator:
        """One that shares no memory with this one."""
        return replace(self, matrix=copied(self.matrix), offset=copied(self.offset))

    def forward(self, x: Tensor) -> Tensor:
        """A x with shape `(..., d_y)` of x with shape `(..., d)`; the offset stays out."""
        self._counted(x)
        return x @ self.matrix.T.to(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y with shape `(..., d)` of y with shape `(..., d_y)`."""
        self._counted(y)
        return y @ self.matrix.to(y)

    def centred(self, y: Tensor) -> Tensor:
        """Observations y - b with shape `(m, d_y)`, float64, of y with shape `(m, *y_shape)`."""
        return y.double().flatten(1) - self.b.to(y.device)

    def log_likelihood(self, x: Tensor, y: Tensor) -> Tensor:
        """Logarithm of N(y; A x + b, s^2 I) with shape `(m, n)`.

        Args:
            x: with shape `(m, n, *x_shape)`.
            y: with shape `(m, *y_shape)`.
        """
        residual = self.centred(y)[:, None] - self.forward(x.double().flatten(2))
        constant = len(self.matrix) * math.log(2 * math.pi * self.noise**2)
        return -(residual.square().sum(-1) / self.noise**2 + constant) / 2

    @cached_property
    def singular_values(self) -> SingularValues:
        """Without the directions that y says nothing about."""
        U, S, Vh = torch.linalg.svd(self.matrix, full_matrices=False)
        kept = _NEGLIGIBLE * S[0] < S
        return SingularValues(U[:, kept], S[kept], Vh[kept].T)

    def pseudo_inverse(self, y: Tensor) -> Tensor:
        """A^+ y with shape `(..., d)`: the shortest x among those that come nearest to y."""
        U, S, V = self.singular_values
        self._counted(y)
        return (y @ U.to(y) / S.to(y)) @ V.T.to(y)

    def standardised(self, mean: Tensor, deviation: Tensor) -> LinearOperator:
        """The operator that sees u, with x = mean + deviation u; both have shape `(d,)`."""
        matrix, mean, deviation = self.matrix, mean.double(), deviation.double()
        return replace(self, matrix=matrix * deviation, offset=self.b + matrix @ mean)

    def _counted(self, rows: Tensor) -> None:
        self.count(rows[..., 0].numel())


def _refuse_kind(name: str, part: object) -> None:
    """Go on if it is a float64 tensor of finite numbers."""
    if not isinstance(part, Tensor) or part.dtype != torch.float64:
        seen = part.dtype if isinstance(part, Tensor) else type(part).__name__
        raise ContractError(f"the {name} of a linear operator is {seen}, not a float64 tensor")
    if not part.isfinite().all():
        raise ContractError(f"the {name} of a linear operator holds NaN or infinite numbers")
