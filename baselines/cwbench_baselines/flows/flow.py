"""Flow matching, written once: a coupling pairs latents with data, a network learns the velocity.

    E_{(z, x, y) ~ coupling, t ~ U[0, 1]} || v(t, y, x_t) - (x - z) ||^2,  x_t = (1 - t) z + t x

t = 0 is the latent end. Samples solve dx_t/dt = v(t, y, x_t) from a fresh latent. The methods on
top of it differ in their coupling and in the condition their network is fed (`labels`):
`source` keeps the condition that came with the latent, `target` the one that came with the data.

Flow Matching for Generative Modeling (Lipman et al., 2023), https://arxiv.org/abs/2210.02747
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Literal, NamedTuple, Self, cast

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Generator, Tensor, nn
from torch.utils.data import Dataset

from cwbench.errors import UsageError
from cwbench.machine.cpu import cores
from cwbench.method import Diagnostics, FitContext, Method, State, take, tensors_of
from cwbench.ot.calibration import Batch, Statistic, label_leak, label_statistic, prior_skew
from cwbench.ot.coupling import Coupling, changed_pairs
from cwbench.ot.geodesic import geodesic
from cwbench.preset import NFE
from cwbench.task import Params
from cwbench.training.loop import Trainer
from cwbench.training.networks import Condition
from cwbench.training.ode import Solver, integrate, refusal

Labels = Literal["source", "target"]
DIAGNOSED_PAIRS = 4_000
"""Pairs on which a coupling is diagnosed, in batches of the size it is trained with."""

PATHS, PATH_STEPS = 256, 32
"""Latents from which the fitted flow's paths are diagnosed, and the Euler steps of each."""

ROWS = 1_000
"""Samples integrated together at least, unless there are fewer."""


class FlowParams(Params):
    """Settings of every flow."""

    learning_rate: float = Field(3e-3, gt=0, description="Adam's rate before its decay")
    ema: float = Field(0.0, ge=0, lt=1, description="decay of the averaged weights; 0 is off")
    clip: float | None = Field(None, gt=0, description="largest norm of the gradient")
    solver: Solver = Field("euler", description="fixed-step rule used at a given NFE")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="of the training step")
    condition_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of training pairs that are fed no class, for guidance",
    )
    guidance: float = Field(
        1.0,
        ge=0,
        description="w of v(no class) + w (v(class) - v(no class)) in sampling; 1 is off, any "
        "other costs two evaluations",
    )

    @model_validator(mode="after")
    def _guidance_needs_dropout(self) -> Self:
        if self.guidance != 1 and self.condition_dropout == 0:
            raise ValueError(
                f"guidance = {self.guidance} needs a network that has seen no class: --set "
                "method.condition_dropout=0.1"
            )
        return self


class OTFlowParams(FlowParams):
    """Settings of flows with a minibatch coupling."""

    ot_batch: int = Field(
        1, ge=1, description="OT batch as a multiple of the network batch; all of it is used"
    )


class Matched(NamedTuple):
    """Pairs after coupling: latents `z`, data `x`, the condition of each, both `(n, *y_shape)`.

    `changed` is the share of latents whose data are not those they were drawn with.
    """

    z: Tensor
    x: Tensor
    y_source: Tensor
    y_target: Tensor
    changed: float


class VelocityNetwork(nn.Module):
    """v(t, y, x_t): the preset's network on the concatenation of x_t, t and the condition."""

    def __init__(self, network: nn.Module, condition: Condition) -> None:
        super().__init__()
        self.network, self.condition = network, condition

    def forward(self, t: Tensor, x_t: Tensor, condition: Tensor) -> Tensor:
        """Velocity with the shape of `x_t`; t with shape `(n,)`, condition `(n, size)`."""
        features = torch.cat([x_t.flatten(1), t[:, None], condition], dim=1)
        velocity: Tensor = self.network(features)
        return velocity.view_as(x_t)


class LowestLoss:
    """Remembers the network with the lowest validation loss, across checkpoints too."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.loss = math.inf
        self.weights: dict[str, Tensor] = {}

    def consider(self, loss: float) -> None:
        """Keep a copy of the network if its loss is the lowest so far."""
        if loss < self.loss:
            self.loss = loss
            self.weights = {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def restore(self) -> None:
        """Put the kept network back, if there is one."""
        if self.weights:
            self.network.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Loss and weights, for a checkpoint."""
        return {"loss": self.loss, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back a checkpoint."""
        self.loss, self.weights = state["loss"], state["weights"]


class BaseFlow(Method):
    """The loop that all flows share."""

    Params: ClassVar[type[FlowParams]] = FlowParams
    params: FlowParams
    bfloat16 = False
    """Whether the network computes in bfloat16 in training; `fit` finds out."""

    @property
    def labels(self) -> Labels:
        """Which condition the network is fed after pairing."""
        return "source"

    @property
    def ot_batch(self) -> int:
        """OT batch as a multiple of the network batch."""
        return 1

    @abstractmethod
    def coupling(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> Coupling:
        """The rule that pairs latents with data."""

    @classmethod
    def unsupported_nfe(cls, params: BaseModel, nfe: NFE) -> str | None:
        """A fixed-step solver that cannot hit the number exactly is refused."""
        flow = cast("FlowParams", params)
        if flow.guidance == 1 or nfe == "adaptive":
            return refusal(flow.solver, nfe)
        if nfe % 2:
            return "guidance takes two evaluations at a time, so NFE must be even"
        return refusal(flow.solver, nfe // 2)

    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Regress the velocity of coupled pairs."""
        spec = self.spec
        if self.params.condition_dropout and spec.num_classes is None:
            raise UsageError("condition_dropout needs classes: a y of zeros is an observation too")
        condition = Condition.fitted(spec, data, context)
        network = context.network((spec.x_size, 1, condition.size), spec.x_size)
        self.velocity = VelocityNetwork(network, condition)
        rule = self.coupling(data, context)
        with context.clock("diagnosis"):
            self._diagnostics = self.diagnose(rule, data, context)
        trainer = Trainer(
            self.velocity,
            context,
            learning_rate=self.params.learning_rate,
            clip=self.params.clip,
            average=self.params.ema,
        )
        best = LowestLoss(self.velocity)
        context.save({"trainer": trainer, "best": best})

        dropout = self.params.condition_dropout > 0

        def couple(step: int, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
            z, t = self.noise(step, len(x), context)
            pairs = (*self.pair(rule, z, x, y), t)
            return (*pairs, self.dropped(step, len(x), context)) if dropout else pairs

        epoch = max(1, len(data) // context.batch_size)  # type: ignore[arg-type]  # map-style
        self.bfloat16 = context.optimiser.bfloat16 or self.params.precision == "bfloat16"
        for batch in context.batches(couple, group=self.ot_batch):
            trainer.step(self.loss(*batch))
            if context.validation and (context.step + 1) % epoch == 0:
                best.consider(self.validation_loss(rule, context))
        trainer.finish()
        best.restore()
        with context.clock("diagnosis"), context.uncounted():
            self._diagnostics |= self.path_facts(data, context)

    def loss(
        self, z: Tensor, x: Tensor, y: Tensor, t: Tensor, dropped: Tensor | None = None
    ) -> Tensor:
        """The mean squared error of the velocity on coupled pairs at times t.

        Where `dropped`, with shape `(n,)`, is true the network is fed no class.
        """
        return nn.functional.mse_loss(*self.velocities(z, x, y, t, dropped))

    def velocities(
        self, z: Tensor, x: Tensor, y: Tensor, t: Tensor, dropped: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The network's velocity on coupled pairs at times t, and the one it regresses."""
        x_t, u_t = geodesic(z, x, t)
        condition = self.velocity.condition(y)
        if dropped is not None:
            condition = condition * ~dropped[:, None]
        with torch.autocast(x.device.type, torch.bfloat16, self.bfloat16):
            v_t = self.velocity(t, x_t, condition)
        return v_t.float(), u_t

    @torch.no_grad()
    def validation_loss(self, rule: Coupling, context: FitContext) -> float:
        """The loss on the validation pairs with fresh noise, coupled as in training."""
        assert context.validation is not None  # noqa: S101 - asked by `fit`
        size = self.ot_batch * context.batch_size
        losses: list[Tensor] = []
        with context.uncounted():
            for x, y in zip(*(part.split(size) for part in context.validation), strict=True):
                generator = context.generator("validation", context.step, len(losses))
                z = self.spec.sample_latent(len(x), generator)
                t = torch.rand(len(x), generator=generator)
                pairs = (*self.pair(rule, z, x, y), t)
                losses.append(self.loss(*(part.to(context.device) for part in pairs)))
        return float(torch.stack(losses).mean())

    def noise(self, step: int, n: int, context: FitContext) -> tuple[Tensor, Tensor]:
        """Latents and times of the batches from `step` on: the same for every coupling."""
        z, t = [], []
        for offset, size in enumerate(torch.arange(n).split(context.batch_size)):
            generator = context.generator("noise", step + offset)
            z.append(self.spec.sample_latent(len(size), generator))
            t.append(torch.rand(len(size), generator=generator))
        return torch.cat(z), torch.cat(t)

    def dropped(self, step: int, n: int, context: FitContext) -> Tensor:
        """Which pairs are fed no class, a function of the step."""
        uniform = torch.rand(n, generator=context.generator("dropout", step))
        return uniform < self.params.condition_dropout

    def pair(self, rule: Coupling, z: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """(z, x, y) after coupling; y is the condition the network is fed."""
        pairs = self.matched(rule, z, x, y)
        return pairs.z, pairs.x, self.fed(pairs)

    def matched(self, rule: Coupling, z: Tensor, x: Tensor, y: Tensor) -> Matched:
        """The pairs of a rule, with the conditions of both ends."""
        sigma = rule(z, x, y)
        return Matched(z, x[sigma], y, y[sigma], changed_pairs(sigma))

    def fed(self, pairs: Matched) -> Tensor:
        """The condition the network is fed."""
        return pairs.y_source if self.labels == "source" else pairs.y_target

    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """Integrate the velocity from fresh latents, a chunk of observations at a time.

        The chunks are a function of `n` alone, and from 1000 samples on each is one observation:
        the adaptive solver's steps then depend on nothing else. On the CPU they run in parallel.
        """
        z = self.spec.sample_latent(len(y) * n, generator)
        size = n * max(1, ROWS // n)
        chunks = zip(z.split(size), y.repeat_interleave(n, 0).split(size), strict=True)
        workers = cores() if self.spec.device.type == "cpu" else 1
        with ThreadPoolExecutor(workers) as pool:
            x = list(
                pool.map(
                    lambda chunk: self._integrate(chunk[0], chunk[1], nfe or "adaptive"), chunks
                )
            )
        return torch.cat(x).cpu().reshape(len(y), n, *self.spec.x_shape)

    @torch.no_grad()
    def _integrate(
        self, z: Tensor, y: Tensor, nfe: NFE, *, path: bool = False, solver: Solver | None = None
    ) -> Tensor:
        device, w = self.spec.device, self.params.guidance
        condition = self.velocity.condition(y.to(device))

        def velocity(t: Tensor, x_t: Tensor) -> Tensor:
            v_t: Tensor = self.velocity(t.expand(len(x_t)), x_t, condition)
            if w == 1:
                return v_t
            free: Tensor = self.velocity(t.expand(len(x_t)), x_t, torch.zeros_like(condition))
            return free + w * (v_t - free)

        steps: NFE = nfe if w == 1 or nfe == "adaptive" else nfe // 2
        rule = solver or self.params.solver
        return integrate(velocity, z.to(device), steps, rule, path=path)

    def sample_path(self, y: Tensor, n: int, generator: Generator, nfe: int) -> Tensor:
        """States from latent to sample of one observation, `(steps + 1, n, *x_shape)`."""
        z = self.spec.sample_latent(n, generator)
        return self._integrate(z, y[None].repeat_interleave(n, 0), nfe, path=True).cpu()

    def state_dict(self) -> State:
        """The velocity network with the condition's mean and deviation."""
        return self.velocity.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Rebuild the velocity network."""
        condition = Condition.of(self.spec)
        network = self.spec.network((self.spec.x_size, 1, condition.size), self.spec.x_size)
        self.velocity = VelocityNetwork(network, condition).to(self.spec.device)
        self.velocity.load_state_dict(dict(state))

    def diagnostics(self) -> Diagnostics:
        """What the coupling does to pairs and conditions, and how straight the fitted paths are."""
        return self._diagnostics

    def diagnose(
        self, rule: Coupling, data: Dataset[tuple[Tensor, Tensor]], context: FitContext
    ) -> Diagnostics:
        """What the coupling does to pairs and conditions, on fresh batches of training pairs.

        *Transport cost*: E|z - x|^2 of the pairs, beside that as drawn. *Label leak* (source
        labels): how far the fed condition is from that of the data, in posterior means: 0 as drawn,
        1 for unrelated conditions. *Prior skew* (target labels): held-out R^2 of the fed condition
        predicted from the latent; 0 is what sampling assumes. Each is 0 by construction with the
        other labels.
        """
        batches = list(self.diagnosed_batches(data, context))
        pairs = [self.diagnosed(rule, batch, context, i) for i, batch in enumerate(batches)]
        facts: Diagnostics = {
            "labels": self.labels,
            "changed_pairs": sum(one.changed for one in pairs) / len(pairs),
            "transport_cost": _transport_cost(pairs),
            "transport_cost_drawn": _transport_cost(batches),
        }
        if self.labels == "source":
            leak = 0.0
            if facts["changed_pairs"]:
                generator = context.generator("leak")
                statistic = label_statistic(*tensors_of(data), generator=generator)
                leak = self.leak(rule, batches, statistic)
            return facts | {"pairing_leak": leak, "prior_skew": 0.0}
        latents = torch.cat([one.z for one in pairs])
        fed = torch.cat([self.fed(one) for one in pairs])
        skew = prior_skew(latents, fed, generator=context.generator("skew"))
        facts |= {"pairing_leak": 0.0, "prior_skew": skew.r2}
        if skew.accuracy is not None:
            facts |= {"skew_class_accuracy": skew.accuracy, "skew_chance": skew.chance}
        return facts

    def diagnosed(self, rule: Coupling, batch: Batch, context: FitContext, index: int) -> Matched:
        """The pairs that the network would see of a batch, the `index`-th that is diagnosed."""
        return self.matched(rule, *batch)

    def leak(self, rule: Coupling, batches: list[Batch], statistic: Statistic) -> float:
        """The label leak of the pairs of a rule."""
        return label_leak(rule, batches, statistic)

    @torch.no_grad()
    def path_facts(
        self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext
    ) -> dict[str, float | None]:
        """Path energy E int |v|^2 dt, and *straightness* E|x_1 - z|^2 over it: 1 is straight.

        The energy is at least the expected W_2^2 between latent and model posterior, and equal to
        it for an optimal flow.
        """
        generator = context.generator("paths")
        chosen = torch.randint(len(data), (PATHS,), generator=generator)  # type: ignore[arg-type]
        z, y = self.spec.sample_latent(PATHS, generator), take(data, chosen).y
        states = self._integrate(z, y, PATH_STEPS, path=True, solver="euler").cpu().double()
        steps = (states.diff(dim=0) * PATH_STEPS).flatten(2)
        energy = float(steps.square().sum(2).mean())
        displacement = float((states[-1] - states[0]).flatten(1).square().sum(1).mean())
        if not math.isfinite(energy) or energy == 0:
            return {"path_energy": None, "straightness": None}
        return {"path_energy": energy, "straightness": displacement / energy}

    def diagnosed_batches(
        self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext
    ) -> Iterator[Batch]:
        """Fresh batches of training pairs, of the OT batch's size."""
        size = self.ot_batch * context.batch_size
        for index in range(max(8, DIAGNOSED_PAIRS // size)):
            generator = context.generator("diagnosis", index)
            chosen = torch.randint(len(data), (size,), generator=generator)  # type: ignore[arg-type]
            x, y = take(data, chosen)
            yield Batch(self.spec.sample_latent(size, generator), x, y)


def _transport_cost(pairs: Sequence[Matched] | Sequence[Batch]) -> float:
    """E|z - x|^2."""
    costs = [(one.z - one.x).double().flatten(1).square().sum(1).mean() for one in pairs]
    return float(torch.stack(costs).mean())
