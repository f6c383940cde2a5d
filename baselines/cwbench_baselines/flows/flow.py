"""Flow matching, written once: a coupling pairs latents with data, a network learns the velocity.

    E_{(z, x, y) ~ coupling, t ~ U[0, 1]} || v(t, y, x_t) - (x - z) ||^2,  x_t = (1 - t) z + t x

t = 0 is the latent end. Samples solve dx_t/dt = v(t, y, x_t) from a fresh latent. x and z are in
the coordinates of `scaled`: standardised, unless the preset leaves them raw. The methods on top of
it differ in their coupling alone, the one thing they write: `pairing` says what a match is, `loss`,
`sampling` and `diagnosis` are what all share.

Flow Matching for Generative Modeling (Lipman et al., 2023), https://arxiv.org/abs/2210.02747
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import ClassVar, Literal, Self, cast

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Generator, Tensor
from torch.utils.data import Dataset

from cwbench.errors import UsageError
from cwbench.machine.cpu import cores
from cwbench.machine.signals import threads
from cwbench.method import Diagnostics, FitContext, State
from cwbench.preset import NFE
from cwbench.task import Params
from cwbench.training.loop import Trainer
from cwbench.training.networks import Condition
from cwbench.training.ode import Solver, whole_observations
from cwbench_baselines.flows.diagnosis import pair_facts, path_facts
from cwbench_baselines.flows.loss import NO_CLASS, LowestLoss, VelocityNetwork, velocity_loss
from cwbench_baselines.flows.pairing import Pairing
from cwbench_baselines.flows.sampling import nfe_refusal, solve
from cwbench_baselines.scaled import ScaledMethod


class FlowParams(Params):
    """Settings of every flow."""

    learning_rate: float = Field(3e-3, gt=0, description="Adam's rate before its decay")
    ema: float = Field(0.0, ge=0, lt=1, description="decay of the averaged weights; 0 is off")
    clip: float | None = Field(None, gt=0, description="largest norm of the gradient")
    solver: Solver = Field("euler", description="fixed-step solver used at a given NFE")
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

    @property
    def coupled_batches(self) -> int:
        """How many network batches are coupled together."""
        return 1


class OTFlowParams(FlowParams):
    """Settings of flows with a minibatch coupling."""

    ot_batch: int = Field(
        1, ge=1, description="OT batch as a multiple of the network batch; all of it is used"
    )

    @property
    def coupled_batches(self) -> int:
        """The setting `ot_batch`."""
        return self.ot_batch


class BaseFlow(ScaledMethod):
    """The loop that all flows share; a flow adds its `coupling`."""

    Params: ClassVar[type[FlowParams]] = FlowParams
    params: FlowParams
    bfloat16 = False
    """Whether the network computes in bfloat16 in training; `fit` finds out."""

    @abstractmethod
    def coupling(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> Pairing:
        """Decide how latents are paired with data, once before training.

        Latents, `self.latents`, and the x of `data` are in standardised coordinates, y is raw.
        """

    @classmethod
    def unsupported_nfe(cls, params: BaseModel, nfe: NFE) -> str | None:
        """A fixed-step solver that cannot hit the number exactly is refused."""
        flow = cast("FlowParams", params)
        return nfe_refusal(flow.solver, nfe, flow.guidance)

    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Regress the velocity of coupled pairs."""
        if self.params.condition_dropout and self.spec.num_classes is None:
            raise UsageError("condition_dropout needs classes: a y of zeros is an observation too")
        condition = Condition.fitted(self.spec, data, context)
        network = context.network((self.spec.x_size, 1, condition.size), self.spec.x_size)
        self.velocity = VelocityNetwork(network, condition)
        scaled = self.fit_scaling(data, context)
        pairing = self.coupling(scaled, context)
        with context.clock("diagnosis"):
            self._diagnostics = self.diagnose(pairing, scaled, context)
        self._train(pairing, data, context)
        with context.clock("diagnosis"), context.uncounted():
            self._diagnostics |= self.path_facts(scaled, context)

    def _train(
        self, pairing: Pairing, data: Dataset[tuple[Tensor, Tensor]], context: FitContext
    ) -> None:
        """Descend on the loss until the budget is spent, and keep the best network if asked to."""
        params = self.params
        trainer = Trainer(
            self.velocity,
            context,
            learning_rate=params.learning_rate,
            clip=params.clip,
            average=params.ema,
        )
        best = LowestLoss(self.velocity)
        context.save({"trainer": trainer, "best": best})
        epoch = max(1, len(data) // context.batch_size)  # type: ignore[arg-type]  # map-style
        self.bfloat16 = context.optimiser.bfloat16 or params.precision == "bfloat16"
        prepare = partial(self.examples, pairing, context)
        for batch in context.batches(prepare, group=params.coupled_batches):
            trainer.step(self.loss(*batch))
            if context.validation and (context.step + 1) % epoch == 0:
                best.consider(self.validation_loss(pairing, context))
        trainer.finish()
        best.restore()

    def examples(
        self, pairing: Pairing, context: FitContext, step: int, x: Tensor, y: Tensor
    ) -> tuple[Tensor, ...]:
        """What `loss` takes, of the raw training pairs (x, y) of the batches from `step` on."""
        z, t = self.noise(step, len(x), context)
        z, x, fed, *weight = self.paired(pairing, z, self.scaling(x), y)
        if self.params.condition_dropout > 0:
            fed = fed.masked_fill(self.dropped(step, len(x), context), NO_CLASS)
        return z, x, fed, t, *weight

    def paired(self, pairing: Pairing, z: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """(z, x, condition fed) after pairing, and the weight if the coupling gives one."""
        pairs = pairing.match(z, x, y)
        weight = () if pairs.weight is None else (pairs.weight,)
        return pairs.z, pairs.x, pairing.fed(pairs), *weight

    def noise(self, step: int, n: int, context: FitContext) -> tuple[Tensor, Tensor]:
        """Latents and times of the batches from `step` on: the same for every coupling."""
        z, t = [], []
        for offset, size in enumerate(torch.arange(n).split(context.batch_size)):
            generator = context.generator("noise", step + offset)
            z.append(self.latents(len(size), generator))
            t.append(torch.rand(len(size), generator=generator))
        return torch.cat(z), torch.cat(t)

    def dropped(self, step: int, n: int, context: FitContext) -> Tensor:
        """Which pairs are fed no class, a function of the step."""
        uniform = torch.rand(n, generator=context.generator("dropout", step))
        return uniform < self.params.condition_dropout

    def loss(
        self, z: Tensor, x: Tensor, y: Tensor, t: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        """The mean squared error of the velocity; see `velocity_loss`."""
        return velocity_loss(self.velocity, z, x, y, t, weight, bfloat16=self.bfloat16)

    @torch.no_grad()
    def validation_loss(self, pairing: Pairing, context: FitContext) -> float:
        """The loss on the validation pairs with fresh noise, coupled as in training."""
        assert context.validation is not None  # noqa: S101 - `_train` has looked
        size = self.params.coupled_batches * context.batch_size
        losses: list[Tensor] = []
        with context.uncounted():
            for x, y in zip(*(part.split(size) for part in context.validation), strict=True):
                generator = context.generator("validation", context.step, len(losses))
                z = self.latents(len(x), generator)
                t = torch.rand(len(x), generator=generator)
                paired_z, paired_x, fed, *weight = self.paired(pairing, z, self.scaling(x), y)
                example = (paired_z, paired_x, fed, t, *weight)
                losses.append(self.loss(*(part.to(context.device) for part in example)))
        return float(torch.stack(losses).mean())

    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """Integrate the velocity from fresh latents, on the CPU several chunks in parallel."""
        z = self.latents(len(y) * n, generator)
        workers = cores() if self.spec.device.type == "cpu" else 1
        with threads(workers) as pool:
            chunks = whole_observations(z, y, n)
            x = list(pool.map(lambda c: self._solve(c[0], c[1], nfe or "adaptive"), chunks))
        return self.scaling.inverse(torch.cat(x).cpu()).reshape(len(y), n, *self.spec.x_shape)

    def sample_path(self, y: Tensor, n: int, generator: Generator, nfe: int) -> Tensor:
        """Points from latent to sample of one observation, `(steps + 1, n, *x_shape)`.

        All are in the units of x: standard normal latents are shown with its mean and deviation.
        """
        z = self.latents(n, generator)
        path = self._solve(z, y[None].repeat_interleave(n, 0), nfe, path=True).cpu()
        return self.scaling.inverse(path)

    def _solve(
        self, z: Tensor, y: Tensor, nfe: NFE, *, path: bool = False, solver: Solver | None = None
    ) -> Tensor:
        return solve(
            self.velocity,
            z.to(self.spec.device),
            y.to(self.spec.device),
            nfe,
            solver=solver or self.params.solver,
            guidance=self.params.guidance,
            path=path,
        )

    def state_dict(self) -> State:
        """The velocity network with the condition's mean and deviation, and the map of x."""
        return self.velocity.state_dict() | self.scaling_state()

    def load_state_dict(self, state: State) -> None:
        """Rebuild the velocity network."""
        condition = Condition.of(self.spec)
        network = self.spec.network((self.spec.x_size, 1, condition.size), self.spec.x_size)
        self.velocity = VelocityNetwork(network, condition).to(self.spec.device)
        self.velocity.load_state_dict(dict(self.load_scaling(state)))

    def diagnostics(self) -> Diagnostics:
        """What `flows.diagnosis` finds of the coupling and of the fitted paths."""
        return self._diagnostics

    def diagnose(
        self, pairing: Pairing, data: Dataset[tuple[Tensor, Tensor]], context: FitContext
    ) -> Diagnostics:
        """What the coupling does to batches of the size it is trained with."""
        size = self.params.coupled_batches * context.batch_size
        return pair_facts(pairing, self.latents, data, context, size)

    def path_facts(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> Diagnostics:
        """Energy and straightness of the fitted paths."""
        solved = partial(self._solve, path=True, solver="euler")
        return path_facts(solved, self.latents, data, context)
