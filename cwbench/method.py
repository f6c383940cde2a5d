"""The contract of a method: fitted to joint samples, then a sampler of P(X | Y = y).

A method sees shapes, latents and training pairs. It never sees the evaluation observations, and the
posterior only if it is a control that asks for it. What else it may see of its task, `needs` names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import torch
from pydantic import BaseModel
from torch import Generator, Tensor, nn
from torch.utils.data import Dataset

from cwbench.door import copied
from cwbench.errors import ContractError
from cwbench.known.classes import Need
from cwbench.known.known import Known
from cwbench.preset import NFE
from cwbench.samples import ImageSet, JointSamples, Moments, Part
from cwbench.task import Params

State = Mapping[str, Tensor | bytes]
Diagnostics = dict[str, float | str | bool | None]
Prepare = Callable[[int, Tensor, Tensor], tuple[Tensor, ...]]


class Posterior(Protocol):
    """What the controls may ask of a task with an exact posterior."""

    def sample_posterior(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """Exact draws with shape `(m, n, *x_shape)`."""

    def posterior_moments(self, y: Tensor) -> Moments:
        """Exact mean and covariance of flattened x."""

    def sample_moment_matched(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """As `sample_posterior`, of Gaussians with these moments; without them where x is large."""


class Stateful(Protocol):
    """Anything a checkpoint can hold: modules, optimisers, averages."""

    def state_dict(self) -> dict[str, Any]:
        """What has to be kept."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Take it back."""


@dataclass(frozen=True)
class Optimiser:
    """What a preset may fix of an optimiser; None leaves it to the family."""

    average: float | None = None
    clip: float | None = None
    beta_2: float | None = None
    bfloat16: bool = False


class NetworkFactory(Protocol):
    """Makes the network that task and preset fix for every method."""

    def __call__(self, inputs: int | Sequence[int], outputs: int) -> nn.Module:
        """A network from `(n, sum(inputs))` to `(n, outputs)`, freshly initialised.

        Name the sizes of the parts that are joined in its input, in order: a convolutional network
        takes those as long as x for images.
        """


@dataclass(frozen=True)
class ProblemSpec:
    """What a method may know of its task before it sees data."""

    x_shape: tuple[int, ...]
    y_shape: tuple[int, ...]
    num_classes: int | None
    sample_latent: Callable[[int, Generator], Tensor]
    network: NetworkFactory
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    back_projection: Callable[[Tensor], Tensor | None] | None = None
    posterior: Posterior | None = None
    simulator: Callable[[int, Generator], JointSamples] | None = None
    stored_images: Callable[[Part], ImageSet] | None = None
    known: Known = field(default_factory=Known)
    """What the method declared of likelihood, operator, denoiser and density."""
    own_latent: bool = False
    """Whether the task brings latents of its own, in the units of x, and not standard normal."""

    @property
    def x_size(self) -> int:
        """Number of entries of one x."""
        return int(torch.Size(self.x_shape).numel())


class Processes(Protocol):
    """The processes that share a fit, which hold the same networks; a single one has no others."""

    @property
    def rank(self) -> int:
        """The number of this process, from 0 on."""

    @property
    def size(self) -> int:
        """How many there are."""

    def mean(self, value: Tensor) -> Tensor:
        """The mean over processes, of any shape."""

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace each gradient by its mean over processes."""


class FitContext(Protocol):
    """What the harness offers to `Method.fit`: budget, seeds, batches, networks, checkpoints."""

    steps: int
    batch_size: int
    step: int
    device: torch.device

    @property
    def progress(self) -> float:
        """Share of the budget spent, from 0 to 1."""

    def learning_rate(self, default: float) -> float:
        """The rate to use now: the preset's if it fixes one, else `default`, with its decay."""

    def generator(self, purpose: str, *index: int) -> Generator:
        """A CPU generator that depends on (task, seed, purpose, index) alone."""

    def network(
        self, inputs: int | Sequence[int], outputs: int, name: str = "network"
    ) -> nn.Module:
        """A network of `ProblemSpec.network` on the device, initialised from the stream `name`."""

    def counted(self, network: nn.Module) -> nn.Module:
        """The network itself, its passes charged to the budget: for those not made by `network`."""

    def batches(
        self, prepare: Prepare | None = None, *, group: int = 1
    ) -> Iterator[tuple[Tensor, ...]]:
        """The training batches (x, y) on the device until the budget is spent.

        With `prepare`, the x and y of `group` consecutive batches are joined and handed to
        `prepare(first_step, x, y)` on a second thread, ahead of time; what it returns is split
        again and yielded batch by batch.
        """

    def save(self, state: Mapping[str, Stateful]) -> None:
        """Keep `state` with every checkpoint; if this run resumes one, restore it now."""

    def shared(self, name: str, fit: Callable[[], State]) -> State:
        """The state of that name of this task, preset and seed: from `fit` once, then kept.

        Methods of one distribution share it, or those of one file as long as that does not change.

        `name` holds a version, which is raised where its numbers move, and each setting of the
        method that `fit` uses beside `batches`. Its steps are in the record of the run that
        fitted it, its seconds in those of all (`shared_seconds` where another run did).
        """

    @property
    def standardise(self) -> bool:
        """Whether x and y are standardised, as they are unless a paper does otherwise."""

    @property
    def processes(self) -> Processes:
        """The processes that share this fit; `batch_size` is this one's part of the preset's."""

    @property
    def optimiser(self) -> Optimiser:
        """What the preset fixes of the optimiser, for all methods of a family."""

    @property
    def validation(self) -> JointSamples | None:
        """Held-out pairs to choose a network on, where the preset has them."""

    def uncounted(self) -> AbstractContextManager[None]:
        """Network passes inside are not charged to the budget: for validation."""

    def log(self, **values: float) -> None:
        """Show these values beside the progress bar and in the log."""

    def clock(self, name: str) -> AbstractContextManager[None]:
        """Count the seconds inside as `cost[name + "_seconds"]`."""


@dataclass(frozen=True)
class MethodInfo:
    """What no setting changes. `nfe`: whether samples are made by solving an ODE.

    `citation` is BibTeX, the path of a .bib file beside the class, or keys of cwbench's own
    references: `cwbench.citations`. `needs` is what it uses beyond pairs whatever its settings; see
    `Method.needs`.
    """

    name: str
    version: int
    title: str
    citation: str
    role: Literal["method", "lower", "upper"] = "method"
    needs: frozenset[Need] = frozenset()
    nfe: bool = False
    own_loop: bool = False
    notes: str = ""
    contract: int = 1


class Method(ABC):
    """Something that is fitted to joint samples and then draws posterior samples.

    `excused` maps names of checks of `cwbench check` that it cannot pass to the reasons.
    """

    info: ClassVar[MethodInfo]
    excused: ClassVar[Mapping[str, str]] = {}
    Params: ClassVar[type[Params]] = Params

    def __init__(self, params: BaseModel, spec: ProblemSpec) -> None:
        self.params = params
        self.spec = spec

    @classmethod
    def needs(cls, params: BaseModel) -> frozenset[Need]:
        """What it uses beyond pairs; what is not named here is not handed to it.

        `likelihood`: log p(y | x), differentiable. `operator`: of linear observations, with adjoint
        and noise. `denoiser`, `density`: of the task's own prior. `posterior`, `simulator`,
        `stored-images`: for controls. A task that lacks one of them is skipped with that reason.
        """
        return cls.info.needs

    @classmethod
    def unsupported(cls, spec: ProblemSpec) -> str | None:
        """Why this method cannot do this task, or None: the run is then `skipped`.

        What it needs and the task lacks is seen to by the harness, before this is asked.
        """
        return None

    @classmethod
    def unsupported_nfe(cls, params: BaseModel, nfe: NFE) -> str | None:
        """Why exactly `nfe` network evaluations per sample cannot be had, or None."""
        return None

    @abstractmethod
    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Learn from a map-style data set of pairs (x, y)."""

    @abstractmethod
    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """Draw `n` samples for each observation.

        Args:
            y: with shape `(m, *y_shape)`, float32 (int64 labels), on the CPU.
            n: samples for each observation.
            generator: the only source of randomness, on the CPU.
            nfe: network evaluations per sample, for methods that declare `nfe`.

        Returns:
            A real floating tensor or NumPy array with shape `(m, n, *x_shape)`.
        """

    @abstractmethod
    def state_dict(self) -> State:
        """What sampling needs, as tensors or bytes."""

    @abstractmethod
    def load_state_dict(self, state: State) -> None:
        """Take back a state, in a fresh object that was not fitted."""

    def sample_path(self, y: Tensor, n: int, generator: Generator, nfe: int) -> Tensor | None:
        """States from latent to sample of one observation, `(steps + 1, n, *x_shape)`.

        None for methods whose samples have no path; it is drawn as a figure.
        """
        return None

    def real_images(self, part: Part) -> Callable[[Tensor], Tensor] | None:
        """Real images of a part for the classes asked for, `(k,)` to `(k, *x_shape)`.

        For a control that hands out stored images instead of drawing any; None for all others.
        """
        return None

    def diagnostics(self) -> Diagnostics:
        """Facts about the fit that belong into the record."""
        return {}


def some_of(dataset: Dataset[tuple[Tensor, Tensor]], most: int = 100_000) -> JointSamples:
    """The first pairs, at most `most`: enough to tell means and deviations."""
    return take(dataset, torch.arange(min(len(dataset), most)))  # type: ignore[arg-type]  # map-style


def tensors_of(dataset: Dataset[tuple[Tensor, Tensor]]) -> JointSamples:
    """All pairs of a data set that fits into memory, x with shape `(n, *x_shape)`."""
    return take(dataset, torch.arange(len(dataset)))  # type: ignore[arg-type]  # map-style has len


def take(dataset: Dataset[tuple[Tensor, Tensor]], index: Tensor) -> JointSamples:
    """Copies of the pairs at `index`, stacked; sets with `tensors` or `batch` give all at once.

    Raises:
        ContractError: if pairs of a set that is not in memory are not finite.
    """
    batch = getattr(dataset, "batch", None)
    if batch is not None:
        return _finite(*copied(batch(index)))
    tensors = getattr(dataset, "tensors", None)
    if tensors is not None:
        return JointSamples(tensors[0][index], tensors[1][index])
    x, y = zip(*(copied(dataset[int(i)]) for i in index), strict=True)
    return _finite(torch.stack(x), torch.stack([torch.as_tensor(label) for label in y]))


def _finite(x: Tensor, y: Tensor) -> JointSamples:
    """The pairs, of a data set that nobody could look through beforehand."""
    for name, part in (("x", x), ("y", y)):
        if not part.isfinite().all():
            raise ContractError(
                f"{name} of the training data holds NaN or infinite numbers; leave such pairs out, "
                "or mend them"
            )
    return JointSamples(x, y)
