"""Figures of images: the right numbers in the right panel, on the scale that is told."""

from __future__ import annotations

import io
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from cwbench.errors import UsageError
from cwbench.reporting.figures import ExactImages, flow_film, posterior_images

EXACT_TITLES = ["exact mean", "model mean", "exact sd", "model sd", "model $-$ exact sd"]
GROUND, SEEN = "ground truth $x$", "observation $y$"


class Given(NamedTuple):
    """Random images of one observation, by the names that `posterior_images` gives them."""

    model: np.ndarray
    truth: np.ndarray
    observation: np.ndarray
    exact: ExactImages

    def drawn(self, **changed) -> Figure:
        """The figure, rendered."""
        arguments = self._asdict() | {"title": "fm on a task, observation 1"} | changed
        return rendered(posterior_images(arguments.pop("model"), **arguments))


def rendered(figure):
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    return figure


def scene(c=1, h=6, w=5, n=40):
    rng = np.random.default_rng(0)
    truth, mean = rng.uniform(size=(2, c, h, w))
    model = mean + 0.2 * rng.normal(size=(n, c, h, w))
    exact = ExactImages(
        mean, rng.uniform(0.1, 0.3, size=(c, h, w)), rng.uniform(size=(24, c, h, w))
    )
    return Given(model, truth, rng.uniform(size=(c, h, w)), exact)


def panels(figure):
    """The picture that stands right below each heading, as a reader sees it."""
    found = {}
    for words in figure.texts:
        x, y = words.get_position()
        for ax in figure.axes:
            box = ax.get_position(original=True)
            gap = (y - box.y1) * figure.get_figheight()
            if words.get_ha() == "center" and box.x0 < x < box.x1 and -0.01 < gap < 0.12:
                found[words.get_text()] = ax.images[0]
    return found


def words_of(figure):
    return "\n".join(item.get_text() for item in figure.findobj(mpl.text.Text))


def bar_labels(figure):
    """The numbers below the bars; matplotlib keeps some that it does not draw."""
    ticks = [(ax.get_xlim(), tick) for ax in figure.axes for tick in ax.xaxis.get_major_ticks()]
    return [tick.label1 for (low, high), tick in ticks if low <= tick.get_loc() <= high]


def strips(figure):
    """The pictures below the first row, from left to right and top to bottom."""
    first = panels(figure)[GROUND].axes.get_position().y0
    axes = [ax for ax in figure.axes if ax.get_position().y1 < first and len(ax.images)]
    axes = [ax for ax in axes if ax.get_position().height * figure.get_figheight() > 0.2]
    axes.sort(key=lambda ax: (-round(ax.get_position().y0, 6), ax.get_position().x0))
    return [ax.images[0] for ax in axes]


def array(image):
    return np.asarray(image.get_array())


def grey(image, c=1):
    """The picture in the shape (c, h, w)."""
    return array(image)[None] if c == 1 else array(image).transpose(2, 0, 1)


@pytest.mark.parametrize("c", [1, 3])
def test_each_panel_shows_what_its_title_says(c):
    given = scene(c)
    shown = panels(given.drawn())
    assert list(shown)[1:] == [GROUND, *EXACT_TITLES]
    model_mean = sum(given.model) / len(given.model)
    variance = sum((image - model_mean) ** 2 for image in given.model) / (len(given.model) - 1)
    model_sd = np.sqrt(sum(variance) / c)
    exact_sd = np.sqrt(sum(channel**2 for channel in given.exact.sd) / c)
    for title, expected in {
        SEEN: given.observation, GROUND: given.truth, "exact mean": given.exact.mean,
        "model mean": model_mean,
    }.items():  # fmt: skip
        assert np.allclose(grey(shown[title], c), expected.clip(0, 1) if c == 3 else expected)
    for title, expected in {
        "exact sd": exact_sd, "model sd": model_sd, "model $-$ exact sd": model_sd - exact_sd
    }.items():  # fmt: skip
        assert np.allclose(array(shown[title]), expected)


def test_scales_are_shared_and_pixels_are_pixels():
    given = scene()
    figure = given.drawn()
    shown = panels(figure)
    images = [shown[t] for t in (SEEN, GROUND, "exact mean", "model mean")] + strips(figure)
    assert {image.get_clim() for image in images} == {(0, 1)}
    assert {image.get_cmap().name for image in images} == {"gray"}
    assert "0 is black, 1 is white" in words_of(figure)
    exact, model = shown["exact sd"], shown["model sd"]
    largest = max(array(exact).max(), array(model).max())
    assert exact.get_clim() == model.get_clim() == (0, pytest.approx(largest))
    low, high = shown["model $-$ exact sd"].get_clim()
    assert -low == high >= np.abs(array(shown["model $-$ exact sd"])).max()
    for image in [*shown.values(), *strips(figure)]:
        assert image.get_interpolation() == "nearest"
        assert not len(image.axes.get_xticks())
        assert not len(image.axes.get_yticks())


def test_bars_stand_below_the_panels_they_explain():
    figure = scene().drawn()
    shown = panels(figure)
    bars = {ax._colorbar.mappable: ax.get_position() for ax in figure.axes
            if getattr(ax, "_colorbar", None)}  # fmt: skip
    assert [bar.get_clim() for bar in bars] == [
        shown["model sd"].get_clim(), shown["model $-$ exact sd"].get_clim()
    ]  # fmt: skip
    for box, titles in zip(bars.values(), [EXACT_TITLES[2:4], EXACT_TITLES[4:]], strict=True):
        above = [shown[title].axes.get_position() for title in titles]
        assert above[0].x0 < box.x0 < above[0].x1
        assert above[-1].x0 < box.x1 < above[-1].x1
        assert box.y1 < above[0].y0


def test_sampling_noise_of_a_perfect_model_does_not_fill_the_error_scale():
    given = scene()
    perfect = given.exact.mean + given.exact.sd * np.array([-1, 1])[:, None, None, None] / 2**0.5
    shown = panels(given.drawn(model=perfect))
    error = shown["model $-$ exact sd"]
    assert np.allclose(array(error), 0)
    assert error.get_clim()[1] == pytest.approx(given.exact.sd.max() / 4)


def test_strips_are_the_first_draws_the_exact_above_the_models():
    given = scene()
    figure = given.drawn()
    drawn = strips(figure)
    k = len(drawn) // 2
    assert k >= 6
    expected = [*given.exact.draws[:k], *given.model[:k]]
    assert all(np.array_equal(grey(a), b) for a, b in zip(drawn, expected, strict=True))
    headings = {t.get_text(): t.get_position()[1] for t in figure.texts}
    first, second = drawn[0].axes.get_position(), drawn[k].axes.get_position()
    assert first.y1 < headings["draws of the exact posterior"]
    assert second.y1 < headings["draws of the model"] < first.y0


@pytest.mark.parametrize("c", [1, 3])
def test_without_exact_posterior_its_panels_are_left_out(c):
    given = scene(c)
    figure = given.drawn(exact=None)
    assert list(panels(figure))[1:] == [GROUND, "model mean", "model sd"]
    assert "exact" not in words_of(figure)
    drawn = strips(figure)
    expected = given.model[: len(drawn)].clip(0, 1) if c == 3 else given.model[: len(drawn)]
    assert len(drawn) == 12
    assert all(np.allclose(grey(a, c), b) for a, b in zip(drawn, expected, strict=True))


def test_panels_do_not_overlap_and_stay_on_the_page():
    for figure in (scene().drawn(), scene(3).drawn(exact=None), scene(h=12, w=5).drawn()):
        boxes = [ax.get_position() for ax in figure.axes]
        assert all(0 < b.x0 < b.x1 < 1 and 0 < b.y0 < b.y1 < 1 for b in boxes)
        for i, a in enumerate(boxes):
            assert not any(a.overlaps(b) for b in boxes[:i])


def test_words_do_not_run_into_each_other_or_off_the_page():
    long = "cot-fm (labels=target, beta=12.345, learning_rate=0.0003) on tomography, observation 1"
    sinogram = np.linspace(-10, 123.4, 24).reshape(1, 2, 12)
    tiny = scene()._replace(model=scene().exact.mean + 1e-3 * scene().model)
    small = ExactImages(tiny.exact.mean, 1e-3 * tiny.exact.sd, tiny.exact.draws)
    cases = (scene(), None), (scene(), scene().exact), (tiny, small), (scene(3), None)
    for given, exact in cases:
        seen = sinogram.repeat(len(given.truth), 0)
        figure = given.drawn(exact=exact, observation=seen, title=long)
        renderer = figure._get_renderer()
        texts = [t for t in figure.texts if t.get_text()] + bar_labels(figure)
        boxes = [t.get_window_extent(renderer) for t in texts]
        for i, box in enumerate(boxes):
            assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1, texts[i].get_text()
            assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1, texts[i].get_text()
            for other in range(i):
                met = texts[i].get_text(), texts[other].get_text()
                assert not box.overlaps(boxes[other]), met


def test_psnr_is_that_of_the_means():
    given = scene()
    words = words_of(given.drawn())
    for mean in (given.exact.mean, given.model.mean(axis=0)):
        mse = (
            sum(((a - b) ** 2) for a, b in zip(mean.ravel(), given.truth.ravel(), strict=True)) / 30
        )
        assert f"PSNR {-10 * np.log10(mse):.1f} dB" in words


@pytest.mark.parametrize(("shape", "aspect"), [((6, 5), 1.0), ((8, 9), 1.0), ((2, 12), "auto")])
def test_a_sinogram_has_its_own_scale_and_fills_its_panel(shape, aspect):
    given = scene()
    y = np.random.default_rng(1).uniform(-3, 140, size=(1, *shape))
    y[0, 0, :2] = -3.04, 140.9
    figure = given.drawn(observation=y)
    image = panels(figure)[SEEN]
    assert np.array_equal(array(image), y[0])
    assert image.get_clim() == (y.min(), y.max())
    assert image.axes.get_aspect() == aspect
    assert "scale −3 to 141" in words_of(figure)


def test_a_label_is_told_and_a_vector_is_left_out():
    given = scene()
    assert "y = 7" in words_of(given.drawn(observation=np.int64(7)))
    assert SEEN not in words_of(given.drawn(observation=np.ones(4)))


@pytest.mark.parametrize("c", [1, 2, 3, 4])
@pytest.mark.parametrize("value", [0.0, 0.5, -3.0])
def test_constant_images(c, value):
    image = np.full((c, 4, 4), value)
    exact = ExactImages(image, np.zeros((c, 4, 4)), np.stack([image] * 3))
    figure = Given(np.stack([image]), image, image, exact).drawn()
    shown = panels(figure)
    assert (array(shown["model sd"]) == 0).all()
    assert (array(shown["model $-$ exact sd"]) == 0).all()
    assert "PSNR $\\infty$" in words_of(figure)
    assert (f"channel 1 of {c}" in words_of(figure).replace("\n", " ")) == (c in (2, 4))


def test_images_elsewhere_than_in_the_unit_interval_keep_their_range():
    given = scene()
    exact = ExactImages(*(2 * np.asarray(part) - 1 for part in given.exact))
    truth = 2 * given.truth - 1
    truth[0, 0, :2] = -1.26, 0.987
    figure = given.drawn(truth=truth, exact=exact)
    assert panels(figure)["model mean"].get_clim() == (truth.min(), truth.max())
    assert "−1.3 is black, 0.99 is white" in words_of(figure)
    truth = given.truth.copy()
    truth[0, 0, 0] = 1.7  # one bright pixel is clipped and changes nothing
    assert panels(given.drawn(truth=truth))["model mean"].get_clim() == (0, 1)


def test_samples_that_are_not_finite_are_left_out_and_told():
    given = scene()
    model = given.model.copy()
    model[1, 0, 2, 2], model[3] = np.nan, np.inf
    figure = given.drawn(model=model)
    left = np.delete(given.model, [1, 3], axis=0)
    assert np.allclose(grey(panels(figure)["model mean"]), left.mean(axis=0))
    assert "2 samples are not finite" in words_of(figure).replace("\n", " ")
    nothing = posterior_images(
        np.full((3, 1, 6, 5), np.nan), truth=given.truth, observation=given.truth, title="t"
    )
    assert "no finite sample" in words_of(nothing)


def test_images_of_other_shapes_are_refused():
    given = scene()
    with pytest.raises(UsageError, match=r"truth \(1, 6, 5\), model \(1, 5, 6\)"):
        given.drawn(model=given.model.transpose(0, 1, 3, 2))
    with pytest.raises(UsageError, match=r"exact sd \(6, 5\)"):
        given.drawn(exact=given.exact._replace(sd=np.ones((6, 5))))
    with pytest.raises(UsageError, match="a film needs"):
        flow_film(np.ones((5, 3, 2)), truth=given.truth, title="t")


@pytest.mark.parametrize("c", [1, 3])
def test_film_runs_from_latents_to_samples(c):
    rng = np.random.default_rng(0)
    z, x = 3 * rng.normal(size=(6, c, 4, 5)), rng.uniform(size=(6, c, 4, 5))
    times = np.linspace(0, 1, 49)[:, None, None, None, None]
    figure = rendered(flow_film((1 - times) * z + times * x, truth=x[0], title="fm"))
    columns = panels(figure)
    assert list(columns)[1:-1] == [f"$t = {t:g}$" for t in np.arange(1, 8) / 8]
    rows = sorted(figure.axes, key=lambda ax: tuple(ax.get_position().p0.round(4) * [1, -1]))
    pictures = np.reshape([grey(ax.images[0], c) for ax in rows], (9, 4, c, 4, 5))
    spread = 2 * z[:4].std()
    for index in range(9):
        t = index / 8
        state = (1 - t) * z[:4] + t * x[:4]
        low, high = (1 - t) * (z[:4].mean() - spread), (1 - t) * (z[:4].mean() + spread) + t
        if c == 3:
            state = ((state - low) / (high - low)).clip(0, 1)
        assert np.allclose(pictures[index], state)
        assert rows[4 * index].images[0].get_clim() == pytest.approx((low, high))


def test_films_of_odd_sizes():
    for steps, n in [(0, 1), (1, 2), (5, 9)]:
        rendered(flow_film(np.zeros((steps + 1, n, 2, 4, 4)), truth=np.zeros((2, 4, 4)), title="t"))
    lost = np.zeros((3, 2, 1, 4, 4))
    lost[1, 0] = np.nan
    kept = rendered(flow_film(lost, truth=np.zeros((1, 4, 4)), title="t"))
    assert len(kept.axes) == 3
    lost[:] = np.nan
    assert "no finite path" in words_of(flow_film(lost, truth=np.zeros((1, 4, 4)), title="t"))
