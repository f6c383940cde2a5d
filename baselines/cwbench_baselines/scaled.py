"""What methods share that work in standardised coordinates of x: no result depends on its units.

x is standardised by the training data, coordinate by coordinate, images by channel; a task's own
latents go through the same map, standard normal ones are what they are. Losses, transport costs,
weights on conditions and the adaptive solver's tolerances are in these coordinates; samples come
back in the task's. `preset.standardise=false` leaves everything raw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from pydantic import BaseModel
from torch import Generator, Tensor
from torch.utils.data import Dataset

from cwbench.method import FitContext, Method, ProblemSpec, State, some_of, take
from cwbench.ot.scaling import Scaling
from cwbench.samples import JointSamples

ENTRIES = 2**26
"""Entries of x from which its map is found: all pairs of vectors, every few of large images."""

PREFIX = "scaling."


class ScaledPairs(Dataset[tuple[Tensor, Tensor]]):
    """Training pairs with standardised x."""

    def __init__(self, data: Dataset[tuple[Tensor, Tensor]], scaling: Scaling) -> None:
        self.data, self.scaling = data, scaling

    def __len__(self) -> int:
        return len(self.data)  # type: ignore[arg-type]  # map-style

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x, y = self.data[index]
        return self.scaling(x), y

    def batch(self, index: Tensor) -> JointSamples:
        """The pairs at `index`, stacked."""
        x, y = take(self.data, index)
        return JointSamples(self.scaling(x), y)


class ScaledMethod(Method):
    """A method that learns x in the coordinates of `scaling`, which `fit_scaling` finds."""

    def __init__(self, params: BaseModel, spec: ProblemSpec) -> None:
        super().__init__(params, spec)
        self.scaling = Scaling.identity()

    def fit_scaling(
        self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext
    ) -> Dataset[tuple[Tensor, Tensor]]:
        """Find the map, unless the preset leaves x raw; the training pairs in its coordinates."""
        if context.standardise:
            self.scaling = scaling_of_x(data)
        return ScaledPairs(data, self.scaling)

    def latents(self, n: int, generator: Generator) -> Tensor:
        """Latents in the coordinates of `scaling`, `(n, *x_shape)`."""
        z = self.spec.sample_latent(n, generator)
        return self.scaling(z) if self.spec.own_latent else z

    def compared(
        self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext
    ) -> Callable[[Tensor], Tensor] | None:
        """What couplings compare y by where nothing is calibrated: standardised y, `(n, k)`.

        None for class labels, and where the preset leaves y raw.
        """
        if self.spec.num_classes is not None or not context.standardise:
            return None
        scaling = Scaling.of(some_of(data).y, by_channel=True)
        return lambda y: scaling(y).flatten(1)

    def scaling_state(self) -> dict[str, Tensor]:
        """The map, for `state_dict`."""
        return {f"{PREFIX}{name}": part for name, part in self.scaling._asdict().items()}

    def load_scaling(self, state: State) -> Mapping[str, Tensor | bytes]:
        """Take the map back; what is left of the state."""
        parts = (state[f"{PREFIX}{name}"] for name in Scaling._fields)
        self.scaling = Scaling(*(part for part in parts if isinstance(part, Tensor)))
        return {name: part for name, part in state.items() if not name.startswith(PREFIX)}


def scaling_of_x(data: Dataset[tuple[Tensor, Tensor]]) -> Scaling:
    """The map that standardises the x of training pairs."""
    size = take(data, torch.zeros(1, dtype=torch.int64)).x.numel()
    count = len(data)  # type: ignore[arg-type]  # map-style
    chosen = torch.arange(0, count, -(-count * size // ENTRIES))
    return Scaling.of(take(data, chosen).x, by_channel=True)
