"""Says below a pull request what its records change: one comment, which is written anew each time.

    python -m results.comment

`.github/workflows/comment.yml` runs it when `verify.yml` is done, with a token that may write. So
it needs nothing but Python and believes nothing that was left for it: whoever opens a pull request
may have changed the workflow that made the report. The number of the pull request is GitHub's, and
its head has to be the commit that was checked; the report is text in a fence, without what could
end the fence, cut where it is long; and a pull request that changes workflows is named as that.

Read from the environment: `GITHUB_EVENT_PATH`, `GITHUB_API_URL`, `GITHUB_SERVER_URL`,
`GITHUB_REPOSITORY` and `GITHUB_TOKEN`, as GitHub's runners set them.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
import urllib.request
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

ARTIFACT, REPORT = "report", "report.md"
MARKER = "<!-- cwbench: the records of a pull request -->"
AUTHOR = "github-actions[bot]"
LONGEST = 60_000
"""Characters of the report that are shown; GitHub takes 65,536 a comment."""
LARGEST = 2_000_000
"""Bytes that are read of anything."""
PAGES, A_PAGE = 30, 100
"""What GitHub lists: 3,000 files of a pull request at most."""
CONCLUSIONS = {"success": "nothing speaks against them", "failure": "**refused**"}


class GitHub:
    """The interface of one repository."""

    def __init__(self, api: str, repository: str, token: str) -> None:
        self.root, self.token = f"{api}/repos/{repository}", token

    def call(self, path: str, method: str = "GET", body: object = None) -> Any:
        """What is answered, read as JSON."""
        return json.loads(self.content(path, method, body))

    def content(self, path: str, method: str = "GET", body: object = None) -> bytes:
        """What is answered, cut where it is large; the token stays with GitHub's interface."""
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{self.root}/{path}", data, method=method)  # noqa: S310
        asked.add_unredirected_header("Authorization", f"Bearer {self.token}")
        asked.add_header("Accept", "application/vnd.github+json")
        with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310 - GitHub's own
            found: bytes = answer.read(LARGEST)
            return found

    def listed(self, path: str) -> Iterator[dict[str, Any]]:
        """The pages of a list, one after the other."""
        for page in range(1, PAGES + 1):
            found = self.call(f"{path}?per_page={A_PAGE}&page={page}")
            yield from found
            if len(found) < A_PAGE:
                return


def pull_request(event: dict[str, Any], github: GitHub) -> int | None:
    """The number of the open pull request whose head was checked; None where it is not one.

    GitHub names none in the event where the head is in a fork; then its branch is looked up.
    """
    run, here = event["workflow_run"], event["repository"]["id"]
    numbers = [p["number"] for p in run["pull_requests"] if p["base"]["repo"]["id"] == here]
    if not numbers and run["head_repository"]:
        head = f"{run['head_repository']['owner']['login']}:{run['head_branch']}"
        found = github.call(f"pulls?state=open&head={quote(head, safe='')}")
        numbers = [one["number"] for one in found]
    alike = []
    for number in map(whole, numbers):
        pull = github.call(f"pulls/{number}")
        if pull["state"] == "open" and pull["head"]["sha"] == run["head_sha"]:
            alike.append(number)
    return alike[0] if len(alike) == 1 else None


def whole(number: object) -> int:
    """A number that is one.

    Raises:
        ValueError: if it is none.
    """
    if type(number) is not int or not 0 < number < 2**53:
        raise ValueError(f"no number: {number!r}")
    return number


def changes_workflows(number: int, github: GitHub) -> bool:
    """Whether a pull request changes what checks it, or so much that GitHub does not list it."""
    files = list(github.listed(f"pulls/{number}/files"))
    names = [one.get(key) or "" for one in files for key in ("filename", "previous_filename")]
    return len(files) >= PAGES * A_PAGE or any(name.startswith(".github/") for name in names)


def report(run: int, github: GitHub) -> str:
    """What a run of the workflow left, empty where that is nothing that can be read."""
    found = github.call(f"actions/runs/{run}/artifacts?name={ARTIFACT}")["artifacts"]
    numbers = [whole(one["id"]) for one in found if one["size_in_bytes"] < LARGEST]
    if not numbers:
        return ""
    content = github.content(f"actions/artifacts/{max(numbers)}/zip")
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive, archive.open(REPORT) as file:
            return file.read(LARGEST).decode(errors="replace")
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it is no report
        return ""


def harmless(text: str) -> str:
    """Text for inside a fence of backticks: none of them, nothing hidden, and no more than fits."""
    lines = text.replace("\r\n", "\n").replace("`", "'")
    shown = "".join(
        c if c == "\n" or unicodedata.category(c)[0] not in "CZ" or c == " " else "?"
        for c in lines[: LONGEST + 1]
    )
    return shown if len(shown) <= LONGEST else shown[:LONGEST] + "\n... (cut)"


def comment(run: dict[str, Any], url: str, text: str, *, own_workflow: bool) -> str:
    """The comment in Markdown; the only text of others in it is inside the fence."""
    (sha,) = re.findall(r"\A[0-9a-f]{40}\Z", run["head_sha"])
    said = CONCLUSIONS.get(run["conclusion"], "not checked to the end")
    lines = [MARKER, f"The records of this pull request at {sha}: {said} ([the check]({url}))."]
    if own_workflow:
        lines.append(
            "**This pull request changes `.github`, and with it the check: what follows may be "
            "anybody's words.**"
        )
    body = harmless(text).strip("\n")
    lines.append(f"````text\n{body}\n````" if body else "It left no report.")
    return "\n\n".join(lines) + "\n"


def post(number: int, body: str, github: GitHub) -> None:
    """Write the comment, over the one that was there before."""
    ours = [
        whole(one["id"])
        for one in github.listed(f"issues/{number}/comments")
        if one["user"]["login"] == AUTHOR and one["body"].startswith(MARKER)
    ]
    if ours:
        github.call(f"issues/comments/{ours[0]}", "PATCH", {"body": body})
    else:
        github.call(f"issues/{number}/comments", "POST", {"body": body})


def main() -> None:
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text())
    server, repository = os.environ["GITHUB_SERVER_URL"], os.environ["GITHUB_REPOSITORY"]
    github = GitHub(os.environ["GITHUB_API_URL"], repository, os.environ["GITHUB_TOKEN"])
    run, number = event["workflow_run"], pull_request(event, github)
    if number is None:
        print("no open pull request has this head: it was closed, or has a newer one")
        return
    made = whole(run["id"])
    text = report(made, github)
    if not text and run["conclusion"] == "success":
        print("it changes no run")
        return
    url, own = f"{server}/{repository}/actions/runs/{made}", changes_workflows(number, github)
    post(number, comment(run, url, text, own_workflow=own), github)
    print(f"commented on {number}")


if __name__ == "__main__":
    main()
