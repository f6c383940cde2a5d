"""The steps of `comment.yml`: one comment, below the right pull request, of harmless text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from workflows.hub import BOT, SHA, TOKEN, Hub, archive, serving
from workflows.steps import ROOT, Ran, carry_out, programs

from results.comment import MARKER

REPORT = "Runs: 1 new, 0 changed, 0 gone; 0 refused.\n\n| new | knn |\n"
HOSTILE = {
    "fences": "````\n@everyone <script>f()</script>\n````\n~~~\n# a\n```",
    "markup": "<img src=x onerror=f()> ![a](http://b/c.png) [a](javascript:f()) <!-- a -->",
    "mentions": "@everyone cc @torvalds, closes #1, http://example.org www.example.org",
    "hidden": "a\u202eb\u2066c\x1b[31m\x00\r\n\r# d\u2028# e\u200b",
    "long": "`" * 10_000_000,
    "lines": "\n" * 10_000_000,
}


def commented(hub: Hub, place: Path, event: dict[str, Any] | None = None) -> Ran:
    """Carry out the workflow in a folder that has its file and no more."""
    checkout = place / "checkout"
    (checkout / "results").mkdir(parents=True)
    (checkout / "results" / "comment.py").write_bytes((ROOT / "results/comment.py").read_bytes())
    (place / "event.json").write_text(json.dumps(event or hub.event()))
    with serving(hub):
        return carry_out(
            "comment.yml", "comment", checkout, context={"github.token": TOKEN},
            variables={
                "PATH": f"{programs(place / 'bin')}:/usr/bin:/bin", "PYTHONNOUSERSITE": "1",
                "GITHUB_EVENT_PATH": str(place / "event.json"), "GITHUB_API_URL": hub.url,
                "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "us/suite",
            },
        )  # fmt: skip


def the_comment(hub: Hub, ran: Ran) -> str:
    assert ran.status == 0, ran.output
    ((_, _, body),) = hub.written
    return body


@pytest.mark.parametrize("named", [False, True])
def test_the_report_stands_in_a_fence(tmp_path: Path, *, named: bool) -> None:
    """Below the pull request that GitHub names, or whose branch in a fork has this head."""
    hub = Hub(archive({"report.md": REPORT}))
    body = the_comment(hub, commented(hub, tmp_path, hub.event(named=named)))
    assert hub.written[0][:2] == ("POST", "issues/7/comments")
    assert body == (
        f"{MARKER}\n\nThe records of this pull request at {SHA}: nothing speaks against them "
        "([the check](https://github.com/us/suite/actions/runs/55)).\n\n"
        f"````text\n{REPORT}````\n"
    )
    assert ("pulls" in hub.asked) != named
    assert hub.stored_for == [None], "the token stays with GitHub's interface"


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_is_harmless(kind: str, tmp_path: Path) -> None:
    hub = Hub(archive({"report.md": f"begin\n{HOSTILE[kind]}\nend\n"}))
    body = the_comment(hub, commented(hub, tmp_path))
    assert len(body) < 65_536, "what GitHub takes"
    tokens = MarkdownIt("commonmark").parse(body)
    assert [t.type for t in tokens] == [
        "html_block", "paragraph_open", "inline", "paragraph_close", "fence",
    ]  # fmt: skip
    ours, fence = tokens[0].content + tokens[2].content, tokens[-1].content
    assert fence.startswith("begin\n")
    assert not set("@#`") & set(ours.replace(MARKER, ""))
    assert all(c == "\n" or c.isprintable() for c in fence)
    assert "example" not in ours


def test_a_second_comment_is_written_over_the_first(tmp_path: Path) -> None:
    """The bot's own, on whatever page it is; not one of others that looks alike."""
    others = [{"id": n, "user": {"login": "somebody"}, "body": MARKER} for n in range(1, 131)]
    ours = {"id": 500, "user": BOT, "body": f"{MARKER}\n\nold"}
    hub = Hub(archive({"report.md": REPORT}), comments=[*others, ours])
    the_comment(hub, commented(hub, tmp_path))
    assert hub.written[0][:2] == ("PATCH", "issues/comments/500")


@pytest.mark.parametrize(
    ("conclusion", "said"),
    [("failure", "**refused**"), ("cancelled", "not checked"), ("@all", "not checked")],
)
def test_how_the_check_ended_is_said(conclusion: str, said: str, tmp_path: Path) -> None:
    hub = Hub(archive({"report.md": REPORT}))
    body = the_comment(hub, commented(hub, tmp_path, hub.event(conclusion=conclusion)))
    assert said in body
    assert "@" not in body


@pytest.mark.parametrize(
    "files", [["README.md", ".github/workflows/verify.yml"], [f"{n}" for n in range(3_000)]]
)
def test_who_changes_the_check_is_named(files: list[str], tmp_path: Path) -> None:
    """Or changes so many files that GitHub does not list them all."""
    hub = Hub(archive({"report.md": REPORT}), files=files)
    assert "changes `.github`" in the_comment(hub, commented(hub, tmp_path))


def test_another_head_since_has_its_own_comment(tmp_path: Path) -> None:
    hub = Hub(archive({"report.md": REPORT}), head="b" * 40)
    ran = commented(hub, tmp_path)
    assert ran.status == 0
    assert not hub.written


@pytest.mark.parametrize(
    "changes",
    [{"id": "55/../../../x"}, {"head_sha": "a" * 39 + "\n"}, {"head_repository": None}],
)
def test_what_is_no_number_or_hash_is_not_used(changes: dict[str, Any], tmp_path: Path) -> None:
    hub = Hub(archive({"report.md": REPORT}), head=changes.get("head_sha", SHA))
    commented(hub, tmp_path, hub.event(**changes))
    assert not hub.written
    assert not [path for path in hub.asked if ".." in path]


@pytest.mark.parametrize(
    ("artifact", "size"),
    [(None, None), (b"no archive", None), (archive({"other": "x"}), None),
     (archive({"report.md": REPORT}), 3_000_000)],
)  # fmt: skip
def test_without_a_report_nothing_is_said_but_a_refusal(
    artifact: bytes | None, size: int | None, tmp_path: Path
) -> None:
    hub = Hub(artifact, size=size)
    assert commented(hub, tmp_path / "one").status == 0
    assert not hub.written
    failed = hub.event(conclusion="failure")
    assert "It left no report." in the_comment(hub, commented(hub, tmp_path / "two", failed))
