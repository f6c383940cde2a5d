"""A good task, and broken ones that differ from it in one fault each."""

from __future__ import annotations

from dataclasses import replace

import torch
from check_plugins import CITATION
from pydantic import Field

from cwbench import JointSamples, Moments, Params, Task, TaskInfo
from cwbench.preset import vector_presets


class GoodTaskParams(Params):
    """Settings."""

    noise: float = Field(0.5, gt=0, description="deviation of the noise")


class GoodTask(Task):
    """X ~ N(0, I) and Y = X + s E."""

    info = TaskInfo(
        name="good-task", version=1, title="Signal and noise", main_metric="ew2sq", licence="MIT",
        citation=CITATION, presets=vector_presets(),
    )  # fmt: skip
    Params = GoodTaskParams
    x_shape = y_shape = (2,)

    def sample_joint(self, n, generator):
        x = torch.randn(n, 2, generator=generator)
        return JointSamples(x, x + self.params.noise * torch.randn(n, 2, generator=generator))

    def posterior_moments(self, y):
        k = 1 / (1 + self.params.noise**2)
        covariance = k * self.params.noise**2 * torch.eye(2).double()
        return Moments(k * y.double(), covariance.expand(len(y), 2, 2))

    def sample_posterior(self, y, n, generator):
        mean, covariance = self.posterior_moments(y)
        noise = torch.randn(len(y), n, 2, generator=generator)
        return (mean[:, None] + covariance[0, 0, 0].sqrt() * noise).float()


class WrongPosterior(GoodTask):
    """Forgets the prior: mean and draws agree with each other, but not with the simulator."""

    def posterior_moments(self, y):
        covariance = self.params.noise**2 * torch.eye(2).double()
        return Moments(y.double(), covariance.expand(len(y), 2, 2))


class WrongMoments(GoodTask):
    """Says twice the covariance of its draws."""

    def posterior_moments(self, y):
        mean, covariance = super().posterior_moments(y)
        return Moments(mean, 2 * covariance)

    def sample_posterior(self, y, n, generator):
        mean, covariance = GoodTask.posterior_moments(self, y)
        noise = torch.randn(len(y), n, 2, generator=generator)
        return (mean[:, None] + covariance[0, 0, 0].sqrt() * noise).float()


class OtherObservations(GoodTask):
    """Holds out observations of another noise."""

    def evaluation_set(self, n, generator):
        x = torch.randn(n, 2, generator=generator)
        return JointSamples(x, x + 2 * torch.randn(n, 2, generator=generator))


class LosesPresets(GoodTask):
    """Has no preset `quick` under its settings."""

    @classmethod
    def info_under(cls, params):
        kept = {name: preset for name, preset in cls.info.presets.items() if name != "quick"}
        return replace(cls.info, presets=kept)


class BlindFingerprint(GoodTask):
    """Has one fingerprint for all settings."""

    def fingerprint(self):
        return "0123456789abcdef"


class GlobalTask(GoodTask):
    """Uses up global random numbers."""

    def sample_latent(self, n, generator):
        torch.randn(1)
        return super().sample_latent(n, generator)


class LoudParams(Params):
    """Settings."""

    noise: float = Field(100.0, gt=0, description="deviation of the noise")


class Uninformative(GoodTask):
    """Hides x in a noise a hundred times its size and does not say so."""

    Params = LoudParams


class DoubleTask(GoodTask):
    """Returns float64."""

    def sample_joint(self, n, generator):
        x, y = super().sample_joint(n, generator)
        return JointSamples(x.double(), y.double())


class SteadyTask(GoodTask):
    """Draws its posterior at a fixed seed."""

    def sample_posterior(self, y, n, generator):
        return super().sample_posterior(y, n, torch.Generator().manual_seed(1))


class Unlicensed(GoodTask):
    """Does not say whose data it is."""

    info = TaskInfo(
        name="good-task", version=1, title="Signal and noise", main_metric="ew2sq", licence="",
        citation=CITATION, presets=vector_presets(),
    )  # fmt: skip


class OtherLatents(GoodTask):
    """Starts from more numbers than x has."""

    def sample_latent(self, n, generator):
        return torch.randn(n, 7, generator=generator)


class Centring(GoodTask):
    """Centres the caller's y for its moments."""

    def posterior_moments(self, y):
        moments = super().posterior_moments(y)
        y -= y.mean(0)
        return moments

    def sample_posterior(self, y, n, generator):
        return super().sample_posterior(y.clone(), n, generator)


class BufferedTask(GoodTask):
    """Fills one array of latents for all calls."""

    def sample_latent(self, n, generator):
        buffers = self.__dict__.setdefault("buffers", {})
        return torch.randn(n, 2, generator=generator, out=buffers.setdefault(n, torch.empty(n, 2)))


TASKS = {
    WrongPosterior: "calibrated",
    WrongMoments: "moments",
    OtherObservations: "observations",
    LosesPresets: "presets",
    BlindFingerprint: "fingerprint",
    GlobalTask: "globals-kept",
    Uninformative: "prior-worse",
    DoubleTask: "dtypes",
    SteadyTask: "other-seed",
    Unlicensed: "metadata",
    OtherLatents: "shapes",
    Centring: "inputs-untouched",
    BufferedTask: "outputs-kept",
}
ALSO = {SteadyTask: {"oracle-at-floor"}}
"""An oracle that draws from one seed alone meets itself as its reference."""
