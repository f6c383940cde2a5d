"""GitHub's interface as far as the comment needs it, on this machine."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlparse

SHA, TOKEN = "a" * 40, "secret-token"
BOT = {"login": "github-actions[bot]"}


def archive(content: Mapping[str, str | bytes]) -> bytes:
    """A ZIP archive of files by name."""
    sink = BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in content.items():
            made.writestr(name, text)
    return sink.getvalue()


@dataclass
class Hub:
    """A repository with one pull request, from a fork; what was written to it, and asked for."""

    artifact: bytes | None
    number: int = 7
    head: str = SHA
    files: list[str] = field(default_factory=lambda: ["results/runs/x/record.json"])
    comments: list[dict[str, Any]] = field(default_factory=list)
    written: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and text of each comment that was posted or changed."""
    asked: list[str] = field(default_factory=list)
    stored_for: list[str | None] = field(default_factory=list)
    """The authorisation of each request to the store of artifacts, which is another server."""
    size: int | None = None
    """Of the artifact, as it is said."""
    url: str = ""

    def pull(self) -> dict[str, Any]:
        return {"number": self.number, "state": "open", "head": {"sha": self.head}}

    def answer(self, path: str, query: Mapping[str, list[str]]) -> Any:
        """JSON, by path below the repository."""
        if path == "pulls":
            assert query["head"] == ["somebody:a branch&x=/y"]
            return [self.pull()]
        if path == f"pulls/{self.number}":
            return self.pull()
        if path == f"pulls/{self.number}/files":
            return self.page([{"filename": name} for name in self.files], query)
        if path == f"issues/{self.number}/comments":
            return self.page(self.comments, query)
        assert path == "actions/runs/55/artifacts", path
        size = self.size if self.size is not None else len(self.artifact or b"")
        there = [{"id": 9, "size_in_bytes": size}] if self.artifact is not None else []
        return {"artifacts": there}

    @staticmethod
    def page(items: list[Any], query: Mapping[str, list[str]]) -> list[Any]:
        each, page = int(query["per_page"][0]), int(query["page"][0])
        return items[each * (page - 1) : each * page]

    def event(self, *, named: bool = False, **changes: Any) -> dict[str, Any]:
        """What GitHub tells the workflow; forks' pull requests are not named."""
        base = {"base": {"repo": {"id": 1}}, "number": self.number}
        elsewhere = {"base": {"repo": {"id": 2}}, "number": 99}
        run = {
            "id": 55, "head_sha": SHA, "conclusion": "success", "event": "pull_request",
            "head_branch": "a branch&x=/y",
            "head_repository": {"owner": {"login": "somebody"}},
            "pull_requests": [elsewhere, base] if named else [],
        }  # fmt: skip
        return {"repository": {"id": 1}, "workflow_run": run | changes}


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The interface on one port, the store of artifacts on another."""

    class Store(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.stored_for.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(hub.artifact or b"")

        def log_message(self, *_: Any) -> None:
            pass

    class Interface(Store):
        def do_GET(self) -> None:
            assert self.headers["Authorization"] == f"Bearer {TOKEN}"
            place = urlparse(self.path)
            path = place.path.removeprefix("/repos/us/suite/")
            hub.asked.append(path)
            if path == "actions/artifacts/9/zip":
                self.send_response(302)
                self.send_header("Location", store_url)
                self.end_headers()
                return
            self.say(hub.answer(path, parse_qs(place.query)))

        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            path = self.path.removeprefix("/repos/us/suite/")
            hub.written.append((self.command, path, content["body"]))
            self.say({})

        do_PATCH = do_POST  # noqa: N815

        def say(self, answer: Any) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), kind) for kind in (Interface, Store)]
    hub.url, store_url = (f"http://127.0.0.1:{one.server_port}" for one in servers)
    threads = [threading.Thread(target=one.serve_forever, args=(0.01,)) for one in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
