"""Neural posterior estimation: a normalising flow q(x | y) fitted by maximum likelihood.

    max E[log q(x | y)],  which is  min E_y[KL(P_{X|Y=y}, q(. | y))]

up to a constant: the KL-trained method of the paper's introduction. q is a neural spline flow, made
of autoregressive rational-quadratic splines, on standardised x. Its hidden layers are as wide as
gives it the parameters that the preset's network has. A training step costs one forward and one
backward of the flow for each pair, as a step of flow matching does of its network; a sample costs
one inversion, which evaluates the hidden layers of each transform once for each entry of x.

Neural Spline Flows (Durkan, Bekasov, Murray, Papamakarios, 2019), https://arxiv.org/abs/1906.04032,
as built by zuko
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
import zuko
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.utils.data import Dataset

from cwbench.method import FitContext, Method, MethodInfo, ProblemSpec, State, some_of
from cwbench.ot.scaling import Scaling
from cwbench.preset import NFE
from cwbench.task import Params
from cwbench.training.loop import Trainer
from cwbench.training.networks import Condition
from cwbench_baselines.entrywise import inverted

CHUNK = 2_000
"""Rows that are sampled at a time."""

NARROWEST, WIDEST = 8, 2_048
"""Units of a hidden layer, of large images at least and of all at most."""

LARGE = 256
"""Entries of x from which an image is large."""


class NeuralPosteriorParams(Params):
    """Settings of neural posterior estimation."""

    learning_rate: float = Field(1e-3, gt=0, description="Adam's rate before its decay")
    transforms: int = Field(3, ge=1, description="autoregressive transforms")
    bins: int = Field(8, ge=2, description="bins of each spline")
    hidden_layers: int = Field(2, ge=1, description="hidden layers of each transform")
    clip: float | None = Field(5.0, gt=0, description="largest norm of the gradient")


class PosteriorFlow(nn.Module):
    """log q(x | y) of a neural spline flow on standardised x."""

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, x_size: int, condition: Condition, width: int, params: NeuralPosteriorParams
    ) -> None:
        super().__init__()
        self.condition = condition
        self.flow = zuko.flows.NSF(
            x_size,
            condition.size,
            bins=params.bins,
            transforms=params.transforms,
            hidden_features=[width] * params.hidden_layers,
        )
        self.register_buffer("mean", torch.zeros(x_size))
        self.register_buffer("deviation", torch.ones(x_size))

    def fit_scale(self, x: Tensor) -> None:
        """Take mean and deviation from training data `(n, x_size)`."""
        self.mean, self.deviation = Scaling.of(x)

    @property
    def scaling(self) -> Scaling:
        """The map to standardised x."""
        return Scaling(self.mean, self.deviation)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The log density log q(x | y) of standardised x, `(n,)`."""
        density: Tensor = self.flow(self.condition(y)).log_prob(self.scaling(x))
        return density

    def draw(self, noise: Tensor, y: Tensor) -> Tensor:
        """Draws with shape `(n, x_size)` from standard normal noise."""
        return self.draw_with_density(noise, y)[0]

    def draw_with_density(self, noise: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The same draws, and log q(x | y) in the units of x, `(n,)`."""
        c = self.condition(y)
        x, volume = inverted(self.flow.transform.transforms, c, noise)
        density = self.flow.base(c).log_prob(noise) + volume - self.deviation.log().sum()
        return self.scaling.inverse(x), density


class NeuralPosteriorEstimation(Method):
    """A conditional neural spline flow, trained by its likelihood."""

    info = MethodInfo(
        name="npe",
        version=1,
        title="Neural posterior estimation (neural spline flow)",
        citation="durkan2019neural",
    )
    Params: ClassVar[type[NeuralPosteriorParams]] = NeuralPosteriorParams
    params: NeuralPosteriorParams

    @classmethod
    def unsupported(cls, spec: ProblemSpec) -> str | None:
        """Images whose convolutional networks are smaller than a spline flow that sees anything."""
        if len(spec.x_shape) != 3:
            return None
        if spec.num_classes is not None:
            return "its flow on pixels cannot be as small as the networks on images by class"
        return cls._too_narrow(spec) if spec.x_size >= LARGE else None

    @classmethod
    def _too_narrow(cls, spec: ProblemSpec) -> str | None:
        """Why not, where hidden layers would have next to no units at the size of the network."""
        with torch.random.fork_rng():
            params, goal = cls.Params.model_validate({}), _goal(spec)
        outputs = params.transforms * spec.x_size * (3 * params.bins - 1)  # of the last layers
        width = max(1, goal // outputs - 1)
        if width >= NARROWEST:
            return None
        return (
            f"at the size of the network on these images ({goal:,} parameters) a spline flow on "
            f"{spec.x_size} entries of x has hidden layers of {width}; at least {NARROWEST} are "
            "needed. Choose another method, e.g. fm, smaller images, e.g. --set prior=digits, or a "
            "larger network, e.g. --set preset.network=unet-small"
        )

    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Maximise the likelihood of training pairs; methods of equal settings share the flow."""
        settings = (getattr(self.params, name) for name in NeuralPosteriorParams.model_fields)
        name = "-".join(map(str, ("posterior-flow-1", *settings)))
        self.load_state_dict(context.shared(name, partial(self._fitted, data, context)))

    def _fitted(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> State:
        some = some_of(data)
        with torch.random.fork_rng():  # zuko initialises from the global stream
            torch.manual_seed(context.generator("init").initial_seed())
            self.flow = self._flow()
        self.flow.fit_scale(some.x.flatten(1))
        if context.standardise:
            self.flow.condition.fit(some.y)
        self.flow.to(context.device)
        density = context.counted(self.flow)
        trainer = Trainer(
            self.flow, context, learning_rate=self.params.learning_rate, clip=self.params.clip
        )
        context.save({"trainer": trainer})
        for x, y in context.batches():
            trainer.step(-density(x.flatten(1), y).mean())
        return self.flow.state_dict()

    def _flow(self) -> PosteriorFlow:
        """A flow with about as many parameters as the network of the preset."""
        condition = Condition.of(self.spec)
        goal = _goal(self.spec)
        low, high = 1, WIDEST
        while high - low > 1:
            middle = (low + high) // 2
            wider = PosteriorFlow(self.spec.x_size, condition, middle, self.params)
            low, high = (middle, high) if _size(wider.flow) <= goal else (low, middle)
        return PosteriorFlow(self.spec.x_size, condition, low, self.params)

    @torch.no_grad()
    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """Invert the flow on standard normal noise."""
        device = self.spec.device
        noise = torch.randn(len(y) * n, self.spec.x_size, generator=generator).to(device)
        repeated = y.repeat_interleave(n, 0).to(device)
        chunks = zip(noise.split(CHUNK), repeated.split(CHUNK), strict=True)
        x = torch.cat([self.flow.draw(*chunk) for chunk in chunks])
        return x.cpu().reshape(len(y), n, *self.spec.x_shape)

    def state_dict(self) -> State:
        """The flow with the scales of x and of the condition."""
        return self.flow.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Rebuild the flow."""
        with torch.random.fork_rng():
            self.flow = self._flow().to(self.spec.device)
        self.flow.load_state_dict(dict(state))


def _goal(spec: ProblemSpec) -> int:
    """Parameters of the preset's network; it is drawn from the global stream."""
    return _size(spec.network((spec.x_size, Condition.of(spec).size), spec.x_size))


def _size(network: nn.Module) -> int:
    return sum(part.numel() for part in network.parameters())
