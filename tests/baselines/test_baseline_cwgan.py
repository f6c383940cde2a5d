"""The conditional Wasserstein GAN: penalty and losses against critics one can differentiate."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

PARTIAL, FULL = {"gradient": "partial"}, {"gradient": "full"}


class Function(nn.Module):
    """A critic given by a formula of its input (x, y)."""

    def __init__(self, formula) -> None:
        super().__init__()
        self.formula = formula

    def forward(self, inputs: Tensor) -> Tensor:
        return self.formula(inputs)


@pytest.fixture
def gan(bench):
    """The method on x and y of two entries with a given critic, and G(z, y) = 2 z."""

    def make(formula, **params):
        method = bench(params={"dimension": 2}).bind("cwgan", **params)
        method.critic = Function(formula)
        method.generator = Function(lambda inputs: 2 * inputs[:, :2])
        return method

    return make


@pytest.fixture
def batch(seeded):
    generator = seeded(0)
    x, y, z_1, z_2 = (torch.randn(50, 2, generator=generator) for _ in range(4))
    return x, y, z_1, z_2, torch.rand(50, 2, generator=generator)


def slopes(a, b, c, d):
    weights = torch.tensor([[a], [b], [c], [d]])
    return lambda inputs: inputs @ weights


@pytest.mark.parametrize(("params", "expected"), [(PARTIAL, (5 - 1) ** 2), (FULL, (13 - 1) ** 2)])
def test_penalty_of_a_linear_critic(gan, batch, params, expected) -> None:
    x, y, z, _, u = batch
    method = gan(slopes(3.0, 4.0, 0.0, 12.0), **params)  # |(3, 4)| = 5, |(3, 4, 0, 12)| = 13
    assert method.gradient_penalty(x, z, y, u).item() == pytest.approx(expected, rel=1e-5)


def test_penalty_is_taken_on_the_segment_at_the_same_y(gan, batch) -> None:
    x, y, z, _, u = batch
    method = gan(lambda inputs: inputs[:, :2].square().sum(1, keepdim=True) / 2)
    point = u[:, :1] * x + (1 - u[:, :1]) * z  # the gradient of |x|^2 / 2 is x
    expected = ((point.norm(dim=1) - 1) ** 2).mean()
    assert method.gradient_penalty(x, z, y, u).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("params", [PARTIAL, FULL])
def test_penalty_of_a_network_by_finite_differences(gan, batch, params) -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(4, 16), nn.SiLU(), nn.Linear(16, 1)).double()
    x, y, z, _, u = (part.double() for part in batch)
    method = gan(critic, **params)
    at = torch.cat([u[:, :1] * x + (1 - u[:, :1]) * z, y], 1)
    step, slopes = 1e-5, []
    with torch.no_grad():
        for direction in torch.eye(4, dtype=torch.float64)[: 2 if params == PARTIAL else 4]:
            ahead, behind = critic(at + step * direction), critic(at - step * direction)
            slopes.append((ahead - behind) / (2 * step))
    norm = torch.cat(slopes, 1).norm(dim=1)
    penalty = method.gradient_penalty(x, z, y, u)
    assert penalty.item() == pytest.approx(((norm - 1) ** 2).mean().item(), rel=1e-6)
    penalty.backward()
    assert all(p.grad is not None for p in critic[0].parameters())


@pytest.mark.parametrize("drift", [0.0, 0.5])
def test_critic_loss_is_its_formula(gan, batch, drift) -> None:
    x, y, z, _, _ = batch
    method = gan(slopes(3.0, 4.0, 1.0, 0.0), penalty=0.25, drift=drift)
    d_real, d_fake = (p @ torch.tensor([3.0, 4.0]) + y[:, 0] for p in (x, 2 * z))
    expected = d_fake.mean() - d_real.mean() + 0.25 * (5 - 1) ** 2 + drift * (d_real**2).mean()
    assert method.critic_loss(*batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_generator_loss_raises_the_critic(gan, batch) -> None:
    _, y, z, _, _ = batch
    method = gan(slopes(3.0, 4.0, 1.0, 0.0))
    expected = -(2 * z @ torch.tensor([3.0, 4.0]) + y[:, 0]).mean()
    assert method.generator_loss(*batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_pair_critic_sees_the_data_in_either_place(gan, batch) -> None:
    x, _, z_1, z_2, u = batch
    method = gan(lambda inputs: inputs[:, :1], critic="pair")
    real, fake = method.judged(x, z_1, z_2, u)
    first = u[:, 1] < 0.5
    assert 10 < first.sum() < 40
    assert torch.equal(real[first], torch.cat([x, z_1], 1)[first])
    assert torch.equal(real[~first], torch.cat([z_1, x], 1)[~first])
    assert torch.equal(fake, torch.cat([z_1, z_2], 1))


def test_pair_losses_are_their_formula(gan, batch) -> None:
    x, _, z_1, z_2, u = batch
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([-1.0, 0.5])
    method = gan(
        lambda inputs: (inputs[:, :4] @ torch.cat([a, b]))[:, None],
        critic="pair", drift=0.0, penalty=0.25,
    )  # fmt: skip
    g_1, g_2 = 2 * z_1, 2 * z_2
    order = (u[:, 1:] < 0.5).float()
    real = (order * x + (1 - order) * g_1) @ a + (order * g_1 + (1 - order) * x) @ b
    fake = g_1 @ a + g_2 @ b
    norm = torch.cat([a, b]).norm()
    critic = fake.mean() - real.mean() + 0.25 * (norm - 1) ** 2
    assert method.critic_loss(*batch).item() == pytest.approx(critic.item(), rel=1e-4)
    generator = real.mean() - fake.mean()
    assert method.generator_loss(*batch).item() == pytest.approx(generator.item(), rel=1e-4)


PASSES = {
    # generator forward; critic on real and fake with backward; penalty: 6
    "single": (1 + 3 + 3 + 6, 3 + 3),
    "pair": (2 + 3 + 3 + 6, 3 + 3 + 3 + 3),
}


@pytest.mark.parametrize("critic", PASSES)
@pytest.mark.parametrize("critic_steps", [1, 4])
def test_budget_is_spent_and_not_exceeded_by_more_than_a_step(bench, critic, critic_steps) -> None:
    small = bench(steps=120)
    method = small.bind("cwgan", critic=critic, critic_steps=critic_steps)
    context = small.context()
    method.fit(small.data, context)
    critic_cost, generator_cost = PASSES[critic]
    cycles, rest = divmod(context.step, critic_steps + 1)
    generator_steps = cycles
    critic_steps_done = critic_steps * cycles + rest
    expected = critic_steps_done * critic_cost + generator_steps * generator_cost
    assert small.meter.passes == expected * small.preset.batch_size
    assert context.budget <= small.meter.passes
    assert small.meter.passes < context.budget + critic_cost * small.preset.batch_size


def test_the_generator_is_trained_after_its_critic(bench) -> None:
    small = bench(steps=100)
    method = small.bind("cwgan", critic_steps=2)
    order = []
    for name in ("critic_loss", "generator_loss"):
        loss = getattr(method, name)
        setattr(method, name, lambda *b, loss=loss, name=name: (order.append(name), loss(*b))[1])
    method.fit(small.data, small.context())
    assert order[:6] == ["critic_loss", "critic_loss", "generator_loss"] * 2


@pytest.mark.slow
def test_it_learns_the_posterior_mean(bench, seeded) -> None:
    small = bench(
        params={"dimension": 2}, training_pairs=10_000, steps=6_000, width=64, batch_size=100
    )
    fitted = small.fitted("cwgan")
    x, y = small.task.sample_joint(200, seeded(1))
    samples = fitted.sample(y, 100, seeded(2)).double()
    mean, covariance = small.task.posterior_moments(y)
    error = (samples.mean(1) - mean).square().sum(1).mean()
    assert error < 0.25 * x.double().var(0).sum()
    assert samples.var(1).sum(1).mean() > 0.1 * covariance[0].trace()  # it does not ignore z
