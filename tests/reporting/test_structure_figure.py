"""Directions and modes of a figure: those of dense formulas, and each number below its picture."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.stats import multivariate_normal
from torch import Generator

from cwbench.api import load_task
from cwbench.errors import UsageError
from cwbench.reporting.figures import Directions, Modes, posterior_structure
from cwbench.reporting.scene import Scene

N = 500


def scene(task: Any, seed: int = 1, n: int = N) -> Scene:
    """An observation, and exact draws of it twice as wide as they should be as the model's."""
    x, y = task.evaluation_set(1, Generator().manual_seed(seed))
    draws = task.sample_posterior(y, n, Generator().manual_seed(seed + 1))[0]
    return Scene(task, 0, x[0], y[0], draws.mean(0) + 2 * (draws - draws.mean(0)))


def flat(x: torch.Tensor) -> np.ndarray:
    return x.flatten(1).double().numpy()


@pytest.mark.parametrize("settings", [{}, {"prior": "patches"}])
def test_directions_are_the_eigenvectors_of_the_exact_covariance(settings: dict[str, Any]) -> None:
    seen = scene(load_task("super-resolution", **settings))
    exact = seen.exact_draws(N)
    found = seen.directions(exact, seen.samples)
    prior, A = seen.task.prior_mixture(), seen.task.A.numpy()
    gains = [C @ A.T @ np.linalg.inv(A @ C @ A.T + seen.task.noise**2 * np.eye(len(A)))
             for C in prior.covariances.numpy()]  # fmt: skip
    y, weights = seen.y.double().flatten().numpy(), bayes(seen)
    means = [m + G @ (y - A @ m) for m, G in zip(prior.means.numpy(), gains, strict=True)]
    mean = weights @ np.stack(means)
    covariance = sum(w * (C - G @ A @ C + np.outer(m - mean, m - mean))
                     for w, C, G, m in zip(weights, prior.covariances.numpy(), gains, means,
                                           strict=True))  # fmt: skip
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[:-9:-1], vectors[:, :-9:-1]
    assert np.allclose(np.square(found.sd), values)
    overlaps = found.directions.reshape(8, -1) @ vectors
    assert np.allclose(np.abs(overlaps), np.eye(8), atol=1e-4)
    assert found.share == pytest.approx(values.sum() / np.trace(covariance))
    signs = np.sign(overlaps.diagonal())
    for along, x in ((found.exact, exact), (found.model, seen.samples)):
        assert np.allclose(along * signs, (flat(x) - mean) @ vectors, atol=1e-3)
    assert found.exact.std(0) == pytest.approx(found.sd, rel=0.15)
    assert found.model.std(0) == pytest.approx(2 * found.sd, rel=0.15)


def bayes(seen: Scene) -> np.ndarray:
    """w_k N(y; A m_k, A C_k A^T + s^2 I), normalised, by scipy."""
    prior, A = seen.task.prior_mixture(), seen.task.A.numpy()
    y, noise = seen.y.double().flatten().numpy(), seen.task.noise**2 * np.eye(len(A))
    log = np.log(prior.weights.numpy()) + [
        multivariate_normal(A @ m, A @ C @ A.T + noise).logpdf(y)
        for m, C in zip(prior.means.numpy(), prior.covariances.numpy(), strict=True)
    ]
    return np.exp(log - np.logaddexp.reduce(log))


def shares_of(x: np.ndarray, weights: Any, means: Any, covariances: Any) -> np.ndarray:
    """p(k | x) by scipy."""
    log = [np.log(float(w)) + multivariate_normal(np.asarray(m), np.asarray(C)).logpdf(x)
           for w, m, C in zip(weights, means, covariances, strict=True)]  # fmt: skip
    return np.exp(np.stack(log, 1) - np.logaddexp.reduce(log, axis=0)[:, None])


def test_modes_are_those_of_bayes_rule() -> None:
    seen = scene(load_task("super-resolution"))
    exact = seen.exact_draws(4_000)
    found = seen.modes(exact, seen.samples)
    assert found is not None
    assert np.allclose(found.weights, bayes(seen))
    prior = seen.task.prior_mixture()  # y says no more of the component once x is known
    assert np.allclose(found.shares, shares_of(flat(seen.samples), *prior), atol=1e-6)
    A, y = seen.task.A, seen.y.double().flatten()
    heavy = int(found.weights.argmax())
    C, m = prior.covariances[heavy], prior.means[heavy]
    S = A @ C @ A.T + seen.task.noise**2 * torch.eye(len(A), dtype=torch.float64)
    mean = (m + C @ A.T @ torch.linalg.solve(S, y - A @ m)).numpy()
    error = np.abs(found.means[heavy].ravel() - mean)
    deviation = np.sqrt(np.diag(C.numpy()) / (4_000 * found.weights[heavy]))
    assert (error < 5 * deviation).all()


def test_modes_of_factor_analysers_are_those_of_their_dense_covariances() -> None:
    seen = scene(load_task("super-resolution", prior="mnist"), n=20)
    found = seen.modes(seen.exact_draws(400), seen.samples)
    assert found is not None
    weights, means, F, levels, deviations = seen.task.prior_mixture()
    covariances = (f @ f.T + t * torch.diag(deviations**2) for f, t in zip(F, levels, strict=True))
    expected = shares_of(flat(seen.samples), weights, means, covariances)
    assert np.allclose(found.shares, expected, atol=1e-6)
    assert np.allclose(found.weights, seen.task.posterior_weights(seen.y[None])[0])


def test_what_is_no_mixture_or_has_one_mode_has_no_modes() -> None:
    seen = scene(load_task("super-resolution", noise=0.05), n=10)
    assert seen.task.posterior_weights(seen.y[None]).max() > 0.99
    assert seen.modes(seen.samples, seen.samples) is None


def given(k: int = 3, c: int = 1) -> tuple[Directions, Modes, np.ndarray]:
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(8, c, 6, 5))
    sd = np.linspace(2, 0.3, 8)
    along = Directions(
        directions, sd, sd * rng.normal(size=(900, 8)), 3 * sd * rng.normal(size=(60, 8)), 0.456
    )
    weights = rng.dirichlet(np.ones(k))
    modes = Modes(weights, rng.uniform(size=(k, c, 6, 5)), rng.dirichlet(np.ones(k), size=60))
    return along, modes, rng.uniform(size=(c, 6, 5))


def drawn(along: Directions, modes: Modes | None, truth: np.ndarray) -> Figure:
    figure = posterior_structure(along, modes, truth=truth, title="fm on a task, observation 1")
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    return figure


def words_of(figure: Figure) -> str:
    return "\n".join(item.get_text() for item in figure.findobj(mpl.text.Text))


def below(figure: Figure, picture: Any) -> list[str]:
    """The words below a picture, up to the next one."""
    box = picture.axes.get_position()
    near = []
    for t in figure.texts:
        x, y = t.get_position()
        if t.get_ha() == "center" and box.x0 < x < box.x1 and box.y0 - 0.2 < y < box.y0:
            near.append(t)
    return [t.get_text() for t in sorted(near, key=lambda t: t.get_position()[0])][:2]


def pictures(figure: Figure) -> list[Any]:
    axes = [ax for ax in figure.axes if ax.images]
    axes.sort(key=lambda ax: (-round(ax.get_position().y0, 3), ax.get_position().x0))
    return [ax.images[0] for ax in axes]


@pytest.mark.parametrize("c", [1, 3])
def test_each_picture_stands_over_its_own_numbers(c: int) -> None:
    along, modes, truth = given(c=c)
    figure = drawn(along, modes, truth)
    shown = pictures(figure)
    assert len(shown) == 8 + 3
    for index, image in enumerate(shown[:8]):
        model = np.asarray(along.model)[:, index].std(ddof=1)
        told = [f"sd {np.asarray(along.sd)[index]:.2g}", f"{model:.2g}"]
        assert [float(word.split()[-1]) for word in below(figure, image)] == pytest.approx(
            [float(word.split()[-1]) for word in told]
        )
    order = np.argsort(-np.asarray(modes.weights))
    for image, k in zip(shown[8:], order, strict=True):
        array = np.asarray(image.get_array())
        expected = np.asarray(modes.means)[k].transpose(1, 2, 0)
        assert np.allclose(array, expected if c == 3 else expected[..., 0])
        share = np.asarray(modes.shares)[:, k].mean()
        assert below(figure, image) == [f"{modes.weights[k]:.1%}", f"{share:.1%}"]
    assert "46% of its variance" in words_of(figure)


def test_what_does_not_fit_is_summed_up() -> None:
    along, modes, truth = given(k=20)
    figure = drawn(along, modes, truth)
    order = np.argsort(-np.asarray(modes.weights))[7:]
    assert modes.weights[order[0]] > 0.01
    words = words_of(figure)
    assert len(pictures(figure)) == 8 + 7
    assert "13 others" in words
    assert f"{modes.weights[order].sum():.1%}" in words
    assert f"{modes.shares[:, order].sum(1).mean():.1%}" in words


def test_components_of_next_to_no_weight_have_no_picture() -> None:
    along, modes, truth = given(k=3)
    figure = drawn(along, modes._replace(weights=np.array([0.6, 0.005, 0.395])), truth)
    assert len(pictures(figure)) == 8 + 2
    assert "1 other" in words_of(figure)
    assert "0.5%" in words_of(figure)


def test_without_modes_their_strip_is_left_out() -> None:
    along, _, truth = given()
    figure = drawn(along, None, truth)
    assert len(pictures(figure)) == 8
    assert "component" not in words_of(figure).lower()


def test_samples_that_are_not_finite_are_left_out_and_told() -> None:
    along, modes, truth = given()
    model, shares = np.array(along.model), np.array(modes.shares)
    model[3], shares[3] = np.nan, np.nan
    figure = drawn(along._replace(model=model), modes._replace(shares=shares), truth)
    share = np.delete(shares, 3, axis=0).mean(0)
    assert f"{share.max():.1%}" in words_of(figure)
    assert "1 samples are not finite" in words_of(figure).replace("\n", " ")
    model[:] = np.nan
    assert "no finite sample" in words_of(drawn(along._replace(model=model), modes, truth))


def test_words_stay_on_the_page_and_apart() -> None:
    for k, c in ((3, 1), (20, 3)):
        figure = drawn(*given(k, c))
        renderer = figure._get_renderer()
        texts = [t for t in figure.texts if t.get_text()]
        boxes = [t.get_window_extent(renderer) for t in texts]
        for i, box in enumerate(boxes):
            assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1
            assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1
            met = [texts[j].get_text() for j in range(i) if box.overlaps(boxes[j])]
            assert not met, (texts[i].get_text(), met)


def test_images_of_other_shapes_are_refused() -> None:
    along, modes, truth = given()
    with pytest.raises(UsageError, match=r"means \(1, 5, 6\)"):
        drawn(along, modes._replace(means=np.zeros((3, 1, 5, 6))), truth)
