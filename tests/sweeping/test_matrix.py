"""What a sweep spans: commas, lists, quotes, seeds, and settings that only some methods have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cwbench.errors import UsageError
from cwbench.sweeping import file as sweep_file
from cwbench.sweeping.matrix import (
    Matrix,
    alternatives,
    assignments,
    seeds_of,
    split_at_commas,
)
from cwbench.sweeping.request import bytes_of, overridden, sweep_request

WORDS = {"task": "gaussian-linear", "preset": "smoke"}


def spanned(*typed: str, method: str = "cot-fm", **words: Any) -> list[dict[str, Any]]:
    """The settings of each combination for `--set` typed so."""
    request = sweep_request(WORDS | {"method": method, "set": assignments(typed)} | words)
    return [one.settings for one in request.matrix.combinations()]


def test_commas_are_alternatives() -> None:
    assert spanned("method.beta=1,10,100") == [{"method.beta": b} for b in ("1", "10", "100")]


def test_alternatives_of_several_keys_are_crossed() -> None:
    found = spanned("beta=1,10", "preset.steps=5,6")
    assert [(s["beta"], s["preset.steps"]) for s in found] == [
        ("1", "5"), ("1", "6"), ("10", "5"), ("10", "6"),
    ]  # fmt: skip


def test_commas_belong_to_a_key_that_holds_a_list() -> None:
    assert spanned("preset.nfe=1,3") == [{"preset.nfe": "1,3"}]


def test_repetition_gives_alternatives_for_every_key() -> None:
    assert spanned("beta=1", "beta=10,100") == [{"beta": b} for b in ("1", "10", "100")]


@pytest.mark.parametrize("key", ["preset.nfe=1,3", "preset.metrics=c2st,mmd-sbibm"])
def test_what_is_measured_from_one_fit_has_no_alternatives(key: str) -> None:
    assert len(spanned(key)) == 1
    with pytest.raises(UsageError, match=r"make no run of their own.*--set preset\.nfe=1,3,10"):
        spanned(key, key.partition(",")[0])


def test_what_stands_in_quotes_is_one_value() -> None:
    assert split_at_commas("k", '"a,b",c') == ["a,b", "c"]
    for broken in ('"a,b', "a,,b", "", ","):
        with pytest.raises(UsageError, match=r"k = .*"):
            split_at_commas("k", broken)


@pytest.mark.parametrize(
    ("given", "runs"),
    [
        ({"method.beta": [1, 10]}, 2),
        ({"method.beta": 1}, 1),
        ({"method.beta": "1,10"}, 2),
        ({"preset.nfe": [1, 3]}, 1),
        ({"preset.steps": (5, 6, 7), "method.beta": [1, 10]}, 6),
    ],
)
def test_lists_from_python_and_toml(given: dict[str, Any], runs: int) -> None:
    assert (
        len(sweep_request(WORDS | {"method": "cot-fm", "set": given}).matrix.combinations()) == runs
    )


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ([1, 3], [[1, 3]]),
        (1, [[1]]),
        ("1,3", ["1,3"]),
        ([[1, 3], [10]], [[1, 3], [10]]),
        (assignments(["k=1,3", "k=10"])["k"], ["1,3", "10"]),
    ],
)
def test_alternatives_of_a_key_that_holds_a_list(given: Any, values: list[Any]) -> None:
    assert alternatives("k", given, holds_list=True) == values


def test_a_setting_applies_to_the_methods_that_have_it() -> None:
    found = spanned("method.beta=1,10", method="fm,cot-fm,prior")
    assert found == [{}, {"method.beta": "1"}, {"method.beta": "10"}, {}]


def test_a_setting_of_one_method_goes_before_that_of_all() -> None:
    given = {"steps": [7], "mmps.steps": [20, 50], "method.alpha_min": 0.1, "dps.zeta": 1.5}
    request = sweep_request(
        WORDS | {"method": "dps,pigdm,mmps,fm", "set": given | {"preset.steps": 3}}
    )
    with pytest.raises(UsageError, match="ambiguous"):  # `steps` alone, as for a single run
        request.matrix.combinations()
    given = {"method.steps": [7], **{k: v for k, v in given.items() if k != "steps"}}
    request = sweep_request(WORDS | {"method": "dps,pigdm,mmps,fm", "set": given})
    found = [(one.method, one.settings) for one in request.matrix.combinations()]
    alpha = {"method.alpha_min": 0.1}
    assert found == [
        ("dps", {"method.steps": 7, "method.zeta": 1.5} | alpha),
        ("pigdm", {"method.steps": 7} | alpha),
        ("mmps", {"method.steps": 20} | alpha),
        ("mmps", {"method.steps": 50} | alpha),
        ("fm", {}),
    ]
    assert [one["task.noise"] for one in spanned("gaussian-linear.noise=.1,.2")] == [".1", ".2"]


def test_a_setting_that_nothing_has_is_refused_with_the_near_one() -> None:
    with pytest.raises(UsageError, match=r"unknown setting 'method.betta'.*method.beta'"):
        spanned("method.betta=1", method="fm,cot-fm")


def test_flags_that_narrow_a_file_leave_out_the_settings_of_what_they_leave_out() -> None:
    file = {
        "task": "gaussian-mixture",
        "method": ["fm", "cot-fm"],
        "set": {"method.beta": "1", "preset.steps": "7"},
    }
    assert overridden(file, {"seeds": "1"}) == file | {"seeds": "1"}
    assert overridden(file, {"method": "cot-fm"})["set"] == file["set"]
    narrow = overridden(file, {"method": "fm"})
    assert narrow == file | {"method": "fm", "set": {"preset.steps": "7"}}
    assert len(sweep_request(narrow).matrix.combinations()) == 1
    misspelt = overridden(file | {"set": {"method.betta": "1"}}, {"method": "fm"})
    with pytest.raises(UsageError, match=r"unknown setting 'method.betta'"):
        sweep_request(misspelt).matrix.combinations()
    with pytest.raises(UsageError, match="unknown method 'fn'"):
        overridden(file, {"method": "fn"})


def test_equal_combinations_are_one_run() -> None:
    assert len(spanned("method.beta=10,10.0,1e1")) == 1
    assert len(spanned(method="fm,fm", seeds="0,0-1,1")) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"method": "cot-fn"}, "unknown method 'cot-fn'.*'cot-fm'"),
        ({"task": "gaussian-linear,nope"}, "unknown task 'nope'"),
        ({"preset": "huge"}, "unknown preset"),
        ({"method": ""}, "--method names nothing"),
        ({"set": {"method.beta": ["1", "x"]}}, "method.beta = 'x'"),
        ({"set": {"width": [64, -1]}}, "preset.width = -1"),
        ({"retry": "broken"}, "unknown status to retry 'broken'.*failed"),
        ({"engine": "slrum"}, None),
        ({"jobs": 0}, "--jobs must be above 0"),
        ({"timeout": -1}, "--timeout must be above 0"),
        ({"memory": "4 lots"}, "--memory is '4 lots'.*4GiB"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"nfe": "0"}, "NFE '0'"),
    ],
)
def test_bad_words_are_refused_before_anything_starts(
    words: dict[str, Any], told: str | None, tmp_path: Path
) -> None:
    told = told or "unknown engine 'slrum'.*'slurm'"
    results = tmp_path / "results"
    with pytest.raises(UsageError, match=told):
        sweep_request(WORDS | {"method": "cot-fm", "results": results} | words).carry_out()
    assert not list(tmp_path.rglob("record.json"))


def test_seeds() -> None:
    assert seeds_of("0-4") == (0, 1, 2, 3, 4)
    assert seeds_of("0,2,5") == (0, 2, 5)
    assert seeds_of("7,0-2") == (7, 0, 1, 2)
    assert seeds_of(3) == (3,)
    assert seeds_of([1, 1, 2]) == (1, 2)
    for broken in ("4-0", "-1", "a", "", "0-", "1.5", True):
        with pytest.raises(UsageError, match="--seeds 0-4"):
            seeds_of(broken)


def test_memory() -> None:
    assert bytes_of("4GiB") == 4 * 2**30
    assert bytes_of("1.5 MB") == 1_500_000
    assert bytes_of(1000) == bytes_of("1000") == 1000


KEYS = ("task", "method", "seeds", "set", "jobs", "force", "slurm")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    return path


def test_a_file_has_the_flags_as_keys(tmp_path: Path) -> None:
    text = """
    task = ["gaussian-linear"]
    method = "fm,cot-fm"
    seeds = "0-1"
    [set]
    "method.beta" = [1, 10]
    [set.preset]
    steps = 5
    """
    words = sweep_file.read(written(tmp_path, text), KEYS)
    assert words["set"] == {"method.beta": [1, 10], "preset.steps": 5}
    runs = sweep_request(words | {"preset": "smoke"}).matrix.combinations()
    assert len(runs) == 2 * (1 + 2)
    assert {one.settings["preset.steps"] for one in runs} == {5}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tsak = 'a'", "unknown key in sweep.toml 'tsak'.*'task'"),
        ("jobs = [2]", r"jobs in sweep.toml is \[2\]; a text or a number is needed"),
        ("force = 'yes'", "force in sweep.toml is 'yes'; true or false is needed"),
        ("jobs = true", "jobs in sweep.toml is True"),
        ("set = 3", r"set in sweep.toml is 3; a table, \[set\], is needed"),
        ("task = ", "cannot be read as a TOML file"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        sweep_file.read(written(tmp_path, text), KEYS)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        sweep_file.read(tmp_path / "none.toml", KEYS)


def test_no_seed_is_refused() -> None:
    with pytest.raises(UsageError, match="--seeds names nothing"):
        Matrix(("gaussian-linear",), ("fm",), seeds=()).combinations()
