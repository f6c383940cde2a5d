"""Nearest neighbours: the posterior at y is the x of the training pairs whose y is closest.

Conditions are compared by a regression r(y) of E[x | y] or by standardised y, whichever has the
better energy score on held-out pairs; the number of neighbours is chosen so, too. Regression and
score are of standardised x. The neighbours of a class label are all training pairs of the class; of
one that training lacks, all training pairs.

Consistent Nonparametric Regression (Stone, 1977), https://doi.org/10.1214/aos/1176343886
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from sklearn.neighbors import NearestNeighbors
from torch import Generator, Tensor, nn
from torch.utils.data import Dataset

from cwbench.method import Diagnostics, FitContext, Method, MethodInfo, State, tensors_of
from cwbench.ot.regression import Regression, Standardised, fit_regression
from cwbench.ot.scaling import Scaling
from cwbench.preset import NFE
from cwbench.task import Params
from cwbench.training.networks import Condition

CANDIDATES = (5, 10, 20, 50, 100, 200, 500, 1000)
HELD_OUT = 500
DRAWS = 64
"""Draws for each held-out pair in the energy score that chooses the number of neighbours."""


class NearestNeighbourParams(Params):
    """Settings of nearest neighbours."""

    neighbours: PositiveInt | Literal["auto"] = Field(
        "auto",
        description="training pairs to draw from; auto takes the best held-out energy score, and "
        "all pairs of a class",
    )


class NearestNeighbours(Method):
    """Draws, with replacement, from the x of the k training pairs nearest in r(y), y or class."""

    info = MethodInfo(
        name="knn",
        version=2,
        title="Nearest neighbours in y",
        citation="stone1977consistent",
    )
    Params: ClassVar[type[NearestNeighbourParams]] = NearestNeighbourParams
    params: NearestNeighbourParams

    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Embed the training conditions; choose the embedding and the number of neighbours."""
        self.x, y = tensors_of(data)
        if self.spec.num_classes is not None:
            self._use(Condition(self.spec.y_shape, self.spec.num_classes), y)
            self.k = len(y)
        else:
            scaled = Scaling.of(self.x, by_channel=True)(self.x) if context.standardise else self.x
            regression = fit_regression(y, scaled, generator=context.generator("regression"))
            embeddings: tuple[nn.Module, ...] = (regression, Standardised(y))
            best = min((self._best_k(e, y, scaled, context), i) for i, e in enumerate(embeddings))
            self._use(embeddings[best[1]], y)
            self.k = best[0][1]
        if self.params.neighbours != "auto":
            self.k = self.params.neighbours

    def _use(self, embedding: nn.Module, y: Tensor) -> None:
        self.embedding = embedding
        self.keys = self.embed(y)

    @torch.no_grad()
    def embed(self, y: Tensor) -> Tensor:
        """Conditions as points, with shape `(n, k)`."""
        embedded: Tensor = self.embedding(y).float()
        return embedded

    def _best_k(
        self, embedding: nn.Module, y: Tensor, x: Tensor, context: FitContext
    ) -> tuple[float, int]:
        """The lowest energy score E|x' - x| - E|x' - x''| / 2 on held-out pairs, and its k."""
        self._use(embedding, y)
        generator = context.generator("neighbours")
        held_out = torch.randperm(len(y), generator=generator)[: min(HELD_OUT, len(y) // 5)]
        candidates = [k for k in CANDIDATES if k < len(y)] or [len(y) - 1]
        index = self._neighbours(self.keys[held_out], candidates[-1] + 1)[:, 1:]
        return min((_energy_score(x, index[:, :k], x[held_out], generator), k) for k in candidates)

    def _neighbours(self, queries: Tensor, k: int) -> Tensor:
        """Indices of the k nearest training conditions, nearest first."""
        tree = NearestNeighbors(n_neighbors=min(k, len(self.keys))).fit(self.keys.numpy())
        return torch.from_numpy(tree.kneighbors(queries.numpy(), return_distance=False))

    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """Uniform draws from the neighbours."""
        if self.spec.num_classes is not None:
            return torch.stack([self._of_class(label, n, generator) for label in self.embed(y)])
        index = self._neighbours(self.embed(y), self.k)
        chosen = torch.randint(index.shape[1], (len(y), n), generator=generator)
        return self.x[index.gather(1, chosen)]

    def _of_class(self, label: Tensor, n: int, generator: Generator) -> Tensor:
        """Draws from the first k pairs of a class, given one-hot."""
        members = (self.keys == label).all(1).nonzero()[: self.k, 0]
        pool = self.x[members] if len(members) else self.x
        return pool[torch.randint(len(pool), (n,), generator=generator)]

    def state_dict(self) -> State:
        """The training pairs, embedded, and the embedding."""
        state = {"x": self.x, "keys": self.keys, "k": torch.tensor(self.k)}
        return state | self.embedding.state_dict(prefix="embedding.")

    def load_state_dict(self, state: State) -> None:
        """Take them back."""
        tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
        prefix = "embedding."
        inner = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        self.embedding = self._empty_embedding(inner)
        self.embedding.load_state_dict(inner)
        self.x, self.keys, self.k = tensors["x"], tensors["keys"], int(tensors["k"])

    def _empty_embedding(self, inner: dict[str, Tensor]) -> nn.Module:
        if self.spec.num_classes is not None:
            return Condition(self.spec.y_shape, self.spec.num_classes)
        if "quality" in inner:
            features, outputs = len(inner["mean_in"]), len(inner["mean_out"])
            return Regression(features, outputs, width=128, depth=2, classes=None)
        return Standardised(torch.zeros(2, *self.spec.y_shape))

    def diagnostics(self) -> Diagnostics:
        """The number of neighbours and how they are found."""
        return {"neighbours": float(self.k), "embedding": type(self.embedding).__name__}


def _energy_score(pool: Tensor, index: Tensor, truth: Tensor, generator: Generator) -> float:
    """E|x' - x| - E|x' - x''| / 2 of draws x' from the rows `index` `(m, k)` of a pool, x true."""
    chosen = torch.randint(index.shape[1], (2, len(truth), DRAWS), generator=generator)
    first, second = (pool[index.gather(1, c)].flatten(2).double() for c in chosen)
    x = truth.flatten(1).double()[:, None]
    return float((first - x).norm(dim=2).mean() - (first - second).norm(dim=2).mean() / 2)
