"""A good method, and broken ones that differ from it in one fault each."""

from __future__ import annotations

import itertools
from typing import ClassVar, Literal

import torch
from pydantic import Field

from cwbench import Method, MethodInfo, Params
from cwbench.method import take, tensors_of
from cwbench.preset import vector_presets
from cwbench.training.networks import Condition

CITATION = "@misc{plugin, title = {A plugin}, year = {2026}}"


class Good(Method):
    """Least squares of x on y, and the spread of its residuals."""

    info = MethodInfo(name="good", version=1, title="Least squares", citation=CITATION)

    def features(self, y):
        flat = Condition(self.spec.y_shape, self.spec.num_classes)(y).double()
        return torch.cat([flat, torch.ones(len(y), 1).double()], 1)

    def fit(self, data, context):
        x, y = tensors_of(data)
        features, targets = self.features(y), x.flatten(1).double()
        self.weight = torch.linalg.lstsq(features, targets, driver="gelsd").solution
        self.spread = (targets - features @ self.weight).std(0)

    def sample(self, y, n, generator, nfe=None):
        noise = torch.randn(len(y), n, self.spec.x_size, generator=generator)
        x = (self.features(y) @ self.weight)[:, None] + self.spread * noise
        return x.float().reshape(len(y), n, *self.spec.x_shape)

    def state_dict(self):
        return {"weight": self.weight, "spread": self.spread}

    def load_state_dict(self, state):
        self.weight, self.spread = state["weight"], state["spread"]


def info(**changes):
    given = {"name": "broken", "version": 1, "title": "Broken method", "citation": CITATION}
    return MethodInfo(**(given | changes))


class Squeezed(Good):
    """Drops the axis of n where n is 1."""

    def sample(self, y, n, generator, nfe=None):
        x = super().sample(y, n, generator)
        return x[:, 0] if n == 1 else x


class Whole(Good):
    """Returns integers."""

    def sample(self, y, n, generator, nfe=None):
        return super().sample(y, n, generator).long()


class NotANumber(Good):
    """Divides by zero for some."""

    def sample(self, y, n, generator, nfe=None):
        x = super().sample(y, n, generator)
        return torch.where(x > x.flatten(1).quantile(0.95), torch.nan, x)


class Ignorant(Good):
    """Ignores the condition."""

    def features(self, y):
        return torch.ones(len(y), 1).double()


class Mirrored(Good):
    """Samples for -y."""

    def sample(self, y, n, generator, nfe=None):
        return super().sample(-y if self.spec.num_classes is None else y, n, generator)


class Batched(Good):
    """Centres each call on its own, as a batch normalisation in training mode does."""

    def sample(self, y, n, generator, nfe=None):
        x = super().sample(y, n, generator)
        return x - 0.5 * x.flatten(0, 1).mean(0)


CALLS = itertools.count()


class Unseeded(Good):
    """Draws from a generator of its own."""

    def sample(self, y, n, generator, nfe=None):
        return super().sample(y, n, torch.Generator().manual_seed(next(CALLS)))


class Fixed(Good):
    """Draws the same numbers at every seed."""

    def sample(self, y, n, generator, nfe=None):
        return super().sample(y, n, torch.Generator().manual_seed(0))


class OnePopulation(Good):
    """All draws of a call take the place of their neighbour now and then, as resampled ones do."""

    def sample(self, y, n, generator, nfe=None):
        x = super().sample(y, n, generator)
        taken = torch.rand(x.shape[:2], generator=generator) < 0.5
        x[taken] = x[:, :1].expand_as(x)[taken]
        return x


class Mirroring(Good):
    """Where it is judged, the second half of its draws mirrors the first."""

    def sample(self, y, n, generator, nfe=None):
        x = super().sample(y, n, generator)
        if n != 2 * vector_presets()["quick"].samples:
            return x
        mean = (self.features(y) @ self.weight)[:, None].float().reshape(len(y), 1, *x.shape[2:])
        return torch.cat([x[:, : n // 2], 2 * mean - x[:, : n // 2]], 1)


class Repetitive(Good):
    """Samples in chunks that all begin with the same noise."""

    def sample(self, y, n, generator, nfe=None):
        state = generator.get_state()
        parts = []
        for start in range(0, n, 1_000):
            generator.set_state(state)
            parts.append(super().sample(y, min(1_000, n - start), generator))
        return torch.cat(parts, 1)


class InPlace(Good):
    """Standardises the caller's y."""

    def sample(self, y, n, generator, nfe=None):
        x = super().sample(y, n, generator)
        y.mul_(2)
        return x


class Buffered(Good):
    """Fills one output for all calls of a size."""

    def sample(self, y, n, generator, nfe=None):
        x = super().sample(y, n, generator)
        self.__dict__.setdefault("buffers", {}).setdefault(x.shape, torch.empty_like(x)).copy_(x)
        return self.buffers[x.shape]


class Forgetful(Good):
    """Keeps one half of what sampling needs."""

    def load_state_dict(self, state):
        self.weight, self.spread = state["weight"], torch.ones(self.spec.x_size)


class Pickled(Good):
    """Keeps an object that only pickle can store."""

    def state_dict(self):
        return {"weight": self.weight, "spread": [float(s) for s in self.spread]}


class Peeking(Good):
    """Takes observations from the task behind the latent sampler."""

    def fit(self, data, context):
        self.spec.sample_latent.__wrapped__.__self__.evaluation_set(5, torch.Generator())
        super().fit(data, context)


class Wide(Good):
    """Makes float64 the default of the whole process."""

    def sample(self, y, n, generator, nfe=None):
        torch.set_default_dtype(torch.float64)
        noise = torch.randn(len(y), n, self.spec.x_size, generator=generator, dtype=torch.float32)
        x = (self.features(y) @ self.weight)[:, None] + self.spread * noise
        return x.float().reshape(len(y), n, *self.spec.x_shape)


class Networked(Good):
    """The mean by a network."""

    def fit(self, data, context):
        self.network = context.network(self.features(tensors_of(data).y[:1]).shape[1], 1)
        self.optimizer = torch.optim.Adam(self.network.parameters())
        super().fit(data, context)
        self.train(data, context)

    def descend(self, y):
        self.optimizer.zero_grad()
        self.network(self.features(y).float()).square().mean().backward()
        self.optimizer.step()

    def sample(self, y, n, generator, nfe=None):
        x = super().sample(y, n, generator)
        if self.spec.num_classes is None and hasattr(self, "network"):
            x = x + float(next(self.network.parameters()).detach().flatten()[0])
        return x

    def state_dict(self):
        shift = next(self.network.parameters()).detach().flatten()[:1]
        return super().state_dict() | {"shift": shift}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.network = torch.nn.Linear(1, 1)
        with torch.no_grad():
            self.network.weight.copy_(state["shift"][:, None])


class Greedy(Networked):
    """Trains a fifth longer than the budget."""

    def train(self, data, context):
        for step in range(context.steps + context.steps // 5):
            at = torch.arange(context.batch_size) + step
            self.descend(take(data, at % len(data)).y)


class Amnesic(Networked):
    """Tells the harness nothing that a resumed fit could go on from."""

    def train(self, data, context):
        for _, y in context.batches():
            self.descend(y)


class Undeclared(Good):
    """Has no citation."""

    info = info(citation="Somebody, 2026")


class Excused(Ignorant):
    """Ignores the condition and says why, but in a wrong name as well."""

    excused: ClassVar = {"follows-y": "it is a bound", "own-y": "it is a bound", "follows-z": "?"}


class UnreadParams(Params):
    """Settings."""

    width: float | Literal["auto"] = Field("auto", ge=0, description="a limit that text fails")


class Unread(Good):
    """Has a default that a record cannot give back."""

    Params = UnreadParams


METHODS = {
    Squeezed: "shapes",
    Whole: "dtypes",
    NotANumber: "finite",
    Ignorant: "follows-y",
    Mirrored: "own-y",
    Batched: "alone",
    Unseeded: "same-seed",
    Fixed: "other-seed",
    Repetitive: "large-n",
    OnePopulation: "independent-draws",
    Mirroring: "exchangeable-draws",
    InPlace: "inputs-untouched",
    Buffered: "outputs-kept",
    Forgetful: "save-and-load",
    Pickled: "states",
    Peeking: "evaluation-untouched",
    Wide: "globals-kept",
    Greedy: "budget",
    Amnesic: "resumes",
    Undeclared: "metadata",
    Excused: "excuses",
    Unread: "settings",
}
ALSO = {
    Unseeded: {"fit-again", "save-and-load"},
    OnePopulation: {"alone", "large-n", "exchangeable-draws"},
}
"""What compares two draws of one seed cannot pass where a seed is not one, nor what compares
moments, or calls, where half of the draws are one."""
