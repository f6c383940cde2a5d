"""`cwbench doctor`: what is broken is found and named; nothing is created or changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cwbench import registry
from cwbench.check import doctor
from cwbench.check.doctor import Finding, findings, report

Store = Callable[..., Path]


def found(results: Path) -> dict[tuple[str, str], Finding]:
    return {(each.topic, each.name): each for each in findings(results, plugins=[])}


def test_here_everything_is_in_order(results: Path, store: Store) -> None:
    store(0)
    seen = found(results)
    assert not [each for each in seen.values() if each.state == "broken"]
    assert seen["versions", "torch"].detail.startswith("2.")
    assert "cores" in seen["devices", "cpu"].detail
    assert seen["results", "directory"].detail == str(results)
    assert seen["results", "runs"].detail == "1"
    assert seen["weights", "files"].detail.endswith("none needed unless FID or KID is asked for")


def test_nothing_is_created(results: Path) -> None:
    seen = found(results)
    assert seen["results", "directory"] == Finding(
        "results", "directory", "ok", f"{results}, does not exist yet"
    )
    assert not results.exists()


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    seen = found(tmp_path / "file")["results", "directory"]
    assert seen.state == "broken"
    assert "cannot be written" in seen.detail
    assert "--results DIR" in seen.detail


def test_records_that_cannot_be_read(results: Path, store: Store) -> None:
    bad = store(0, text="{")
    seen = found(results)["results", "record"]
    assert seen.state == "broken"
    assert str(bad) in seen.detail


def test_packages_that_are_absent_or_too_old(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ["torch>=99", "no-such-package>=1", 'no-such-extra; extra == "nice"', "click>=8",
              'no-such-tool; extra == "dev"']  # fmt: skip
    monkeypatch.setattr(doctor, "requires", lambda _: wanted)
    seen = {each.name: each for each in doctor.versions()}
    assert seen["torch"].state == "broken"
    assert seen["torch"].detail.endswith("wanted torch>=99; pip install 'torch>=99'")
    assert seen["no-such-package"].state == "broken"
    assert "pip install 'no-such-package>=1'" in seen["no-such-package"].detail
    assert seen["no-such-extra"] == Finding(
        "versions", "no-such-extra", "note", "not installed; for pip install 'cwbench[nice]'"
    )
    assert seen["click"].state == "ok"
    assert "no-such-tool" not in seen


def test_weights_that_are_there(
    results: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "weights_directory", lambda: tmp_path)
    (tmp_path / "inception.pt").write_bytes(b"x" * 2048)
    assert doctor.weights().detail.startswith("inception.pt (2.0 KiB) in")


def broken_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> registry.Plugin:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "outside.py").write_text("raise RuntimeError('no licence')")
    info = tmp_path / "outside-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text("[cwbench.methods]\noutside-method = outside:Method\n")
    registry.plugins.cache_clear()
    return registry.find("method", "outside-method")


@pytest.mark.slow
def test_a_broken_plugin_is_named_with_its_reason_and_exits_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable
) -> None:
    cached = registry.plugins
    try:
        plugin = broken_plugin(tmp_path, monkeypatch)
        monkeypatch.setattr(registry, "plugins", lambda: (plugin,))
        result = cli("doctor", "--json")
        text = cli("doctor")
    finally:
        cached.cache_clear()
    assert result.exit_code == text.exit_code == 1
    assert result.stderr == "cwbench: 1 broken\n"
    (broken,) = [each for each in json.loads(result.stdout) if each["state"] == "broken"]
    assert (broken["topic"], broken["name"]) == ("plugins", "outside-method")
    assert "method of outside 1.5" in broken["detail"]
    assert "RuntimeError: no licence" in broken["detail"]
    assert max(map(len, text.stdout.splitlines())) <= 100


def test_a_name_claimed_twice_is_a_finding_beside_all_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "refused", lambda: {"fm": "the name 'fm' is claimed twice"})
    monkeypatch.setattr(doctor, "import_errors", lambda chosen: {p.name: None for p in chosen})
    first, *others = doctor.plugin_findings(None)
    assert first == Finding("plugins", "fm", "broken", "the name 'fm' is claimed twice")
    assert [(each.name, each.state) for each in others] == [
        ("tasks", "ok"), ("methods", "ok"), ("metrics", "ok"),
    ]  # fmt: skip


def test_a_torch_that_does_not_work_stops_nothing_else() -> None:
    def look() -> None:
        raise ImportError("libcudart.so: cannot open")

    assert list(doctor._survived("devices", look)) == [
        Finding("devices", "torch", "broken", "ImportError: libcudart.so: cannot open")
    ]


def test_the_report_names_each_topic_once(results: Path) -> None:
    seen = list(found(results).values())
    assert report(seen).row_count == len(seen)


@pytest.mark.slow
def test_every_plugin_that_ships_imports(results: Path) -> None:
    shipped = [p for p in registry.plugins() if p.distribution == "cwbench"]
    assert not [each for each in doctor.plugin_findings(shipped) if each.state == "broken"]
