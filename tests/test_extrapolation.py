"""The pairs that the network of `ot-fm` saw are told from those it is asked for."""

from __future__ import annotations

import sys

import pytest
import torch

import cwbench
from benchmarks import extrapolation
from cwbench.ot.coupling import MinibatchOT


def test_latents_get_the_condition_of_the_point_they_are_assigned_to() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 2, generator=generator)
    first, second = torch.randperm(6, generator=generator), torch.randperm(6, generator=generator)
    order = torch.cat([first, 6 + second])  # inside batches of six
    y = torch.arange(12.0)[:, None]
    assert torch.equal(extrapolation.assigned(x[order], x, y, 6, MinibatchOT()), y[order])


def test_a_real_run_is_read_and_asked_both_ways(tmp_path, monkeypatch, capsys) -> None:
    run = {"task": "eight-gaussians-moons", "method": "ot-fm", "preset": "smoke"}
    record = cwbench.run(
        **run, settings={"preset.steps": 300}, results=tmp_path, figures=False, quiet=True
    )
    floor, found = extrapolation.distances(record, 200)
    assert list(found) == [1, "adaptive"]
    free, known = found[1]
    assert 0 < floor < known < free / 2  # the prior is skewed: most free pairs were never seen
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path), "--points", "200"])
    extrapolation.main()
    assert f"{free:.3f} from free latents, {known:.3f}" in capsys.readouterr().out


def test_without_a_model_it_says_how_to_make_one(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path)])
    with pytest.raises(SystemExit, match="cwbench run --task eight-gaussians-moons"):
        extrapolation.main()
