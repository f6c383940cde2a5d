"""The learned prior: one unconditional denoiser for each task and seed, shared by all samplers.

It is fitted as `diffusion` is, on the x of the training pairs within the same budget, in the
coordinates of `scaled`; its noise levels keep the mean of `DenoiserParams`, since that of
`diffusion` makes the error smaller at high noise and larger at low noise. The first sampler that
needs it fits it, the others find it.
"""

from __future__ import annotations

import hashlib
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cwbench.method import FitContext, ProblemSpec, State
from cwbench.ot.scaling import Scaling
from cwbench_baselines.denoising import Denoiser, DenoiserParams, Unconditional, train

NAME = "unconditional-denoiser-1"
"""Its version is part of its name: raise it where its numbers move."""


class LearnedPrior:
    """D(x; k) of a network, as `cwbench.known.prior.NoisyPrior` has it of the exact prior."""

    def __init__(self, spec: ProblemSpec, denoiser: Denoiser) -> None:
        self.spec = spec
        self.denoiser = denoiser.requires_grad_(False)

    @classmethod
    def empty(cls, spec: ProblemSpec) -> LearnedPrior:
        """One that waits for a state."""
        network = spec.network((spec.x_size, 1), spec.x_size)
        return cls(spec, Denoiser(network, Unconditional(), spec.x_size).to(spec.device))

    @classmethod
    def shared(
        cls,
        spec: ProblemSpec,
        data: Dataset[tuple[Tensor, Tensor]],
        context: FitContext,
        scaling: Scaling,
    ) -> LearnedPrior:
        """The one of this task and seed, fitted if nobody has."""
        prior = cls.empty(spec)
        state = context.shared(NAME, partial(_fitted, spec, context, scaling))
        prior.load_state_dict(state)
        return prior

    def denoise(self, x_t: Tensor, alpha: float, sigma: float) -> Tensor:
        """E[X_0 | x_t] with shape `(n, d)`, float64, differentiable in x_t."""
        device = self.spec.device
        x = (x_t / alpha).to(device, torch.float32)
        level = torch.full((len(x),), sigma / alpha, device=device)
        nothing = torch.zeros(len(x), 0, device=device)
        clean: Tensor = self.denoiser(x, level, nothing).to(x_t)
        return clean

    def state_dict(self) -> State:
        """Of the network."""
        return self.denoiser.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Take it back."""
        self.denoiser.load_state_dict(dict(state))

    @property
    def sha256(self) -> str:
        """Of its weights, 16 digits."""
        digest = hashlib.sha256()
        for name, part in sorted(self.denoiser.state_dict().items()):
            digest.update(name.encode() + part.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


def _fitted(spec: ProblemSpec, context: FitContext, scaling: Scaling) -> State:
    network = context.network((spec.x_size, 1), spec.x_size, "unconditional")
    denoiser = Denoiser(network, Unconditional(), spec.x_size)
    deviation = scaling.deviation.expand(spec.x_shape).flatten()
    denoiser.mean, denoiser.deviation = (
        scaling.mean.expand(spec.x_shape).flatten().clone(), deviation.clone(),
    )  # fmt: skip
    train(denoiser.to(context.device), context, DenoiserParams.model_validate({}))
    return denoiser.state_dict()
