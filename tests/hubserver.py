"""A Hub on loopback: repositories of datasets, their commits and tags; LFS on a host of its own."""

import base64
import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from loopback import Handler, Loopback

TOKEN = "hf_secretsecret"


@dataclass(frozen=True)
class Commit:
    """A commit: its files by path, each (whether in LFS, body)."""

    message: str = "initial commit"
    files: dict[str, tuple[bool, bytes]] = field(default_factory=dict)

    @property
    def oid(self) -> str:
        return hashlib.sha1(repr(self).encode()).hexdigest()


class HubServer(Loopback):
    """`commits` are those of main, by repository.

    `refuse` answers some paths with a status and an error; for 307, with the place to go to.
    """

    def __init__(self) -> None:
        self.commits: dict[str, list[Commit]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.stored: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()  # by "METHOD path"
        self.authorizations: dict[str, set[str]] = {"hub": set(), "store": set()}
        self.refuse: dict[str, tuple[int, str]] = {}  # by a part of "METHOD path"
        super().__init__(_hub(self), _store(self))

    def files(self, name: str, number: int = -1) -> dict[str, bytes]:
        return {path: body for path, (_, body) in self.commits[name][number].files.items()}


def _answer(handler: Handler, status: int, value: Any, code: str = "") -> None:
    body = json.dumps(value).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    if status == 307:
        handler.send_header("Location", value["error"])
    handler.send_header("Content-Length", str(len(body)))
    if code:
        handler.send_header("X-Error-Code", code)
    handler.end_headers()
    handler.wfile.write(body)


def _body(handler: Handler) -> bytes:
    if handler.headers.get("Transfer-Encoding") == "chunked":
        found = b""
        while size := int(handler.rfile.readline(), 16):
            found += handler.rfile.read(size)
            handler.rfile.readline()
        handler.rfile.readline()
        return found
    return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))


def _store(server: HubServer) -> type[Handler]:
    class Store(Handler):
        def get(self) -> None:
            server.authorizations["store"].add(self.headers.get("Authorization", ""))
            _answer(self, 200, {"name": "store"})

        def do_PUT(self) -> None:  # noqa: N802
            server.asked["PUT store"] += 1
            server.authorizations["store"].add(self.headers.get("Authorization", ""))
            body = _body(self)
            assert hashlib.sha256(body).hexdigest() == self.path[1:]
            server.stored[self.path[1:]] = body
            _answer(self, 200, {})

    return Store


def _hub(server: HubServer) -> type[Handler]:
    class HubHandler(Handler):
        def get(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:  # noqa: N802
            self._serve("POST")

        def _serve(self, method: str) -> None:
            path, body = self.path.partition("?")[0], _body(self)
            server.asked[f"{method} {path}"] += 1
            authorization = self.headers.get("Authorization", "")
            server.authorizations["hub"].add(authorization)
            for part, (status, said) in server.refuse.items():
                if part in f"{method} {path}":
                    return _answer(self, status, {"error": said})
            if authorization not in (f"Bearer {TOKEN}", ""):
                return _answer(self, 401, {"error": "Invalid credentials"})
            _answer(self, *_reply(server, path, body))

    return HubHandler


Reply = tuple[int, Any] | tuple[int, Any, str]


def _reply(server: HubServer, path: str, body: bytes) -> Reply:
    if path == "/api/whoami-v2":
        return 200, {"name": "me", "type": "user"}
    if path == "/api/validate-yaml":
        return 200, {"errors": [], "warnings": []}
    if path == "/api/repos/create":
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] != "me":
            return 403, {"error": "no rights"}
        server.commits[name], server.tags[name] = [Commit()], {}
        return 200, {"url": f"{server.base}/datasets/{name}", "id": name}
    if found := re.fullmatch(r"/datasets/([^/]+/[^/]+)\.git/info/lfs/objects/(\w+)", path):
        return _lfs(server, found[1], json.loads(body))
    found = re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(?:/(\w+)(?:/(.*))?)?", path)
    assert found, path
    name, call, rest = found.groups()
    if name not in server.commits:
        return 404, {"error": "Repository not found"}, "RepoNotFound"
    return _of_repository(server, name, call, unquote(rest or ""), body)


def _of_repository(server: HubServer, name: str, call: str, rest: str, body: bytes) -> Reply:
    commits, tags = server.commits[name], server.tags[name]
    if call == "refs":
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": commits[-1].oid}
        tagged = [
            {"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": oid}
            for tag, oid in tags.items()
        ]
        return 200, {"branches": [main], "converts": [], "tags": tagged}
    if call == "tree":
        wanted = tags.get(rest, commits[-1].oid)
        commit = next(one for one in commits if one.oid == wanted)
        return 200, [_entry(path, *file) for path, file in commit.files.items()]
    if call == "preupload":
        files = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if one["path"].endswith(".jpg") else "regular",
                "shouldIgnore": False,
            }
            for one in json.loads(body)["files"]
        ]
        return 200, {"files": files}
    if call == "tag":
        tags[json.loads(body)["tag"]] = rest
        return 200, {}
    assert call == "commit"
    lines = [json.loads(line) for line in body.splitlines()]
    if lines[0]["value"].get("parentCommit", commits[-1].oid) != commits[-1].oid:
        return 412, {"error": "A commit has happened since"}
    commits.append(_applied(server, commits[-1], lines))
    url = f"{server.base}/datasets/{name}/commit/{commits[-1].oid}"
    return 200, {"success": True, "commitOid": commits[-1].oid, "commitUrl": url}


def _applied(server: HubServer, before: Commit, lines: list[dict[str, Any]]) -> Commit:
    head, *changes = lines
    files = dict(before.files)
    for change in changes:
        value = change["value"]
        if change["key"] == "file":
            files[value["path"]] = (False, base64.b64decode(value["content"]))
        elif change["key"] == "lfsFile":
            files[value["path"]] = (True, server.stored[value["oid"]])
        else:
            del files[value["path"]]
    return replace(before, message=head["value"]["summary"], files=files)


def _entry(path: str, in_lfs: bool, body: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
    sha256 = hashlib.sha256(body).hexdigest()
    lfs = {"lfs": {"oid": sha256, "size": len(body), "pointerSize": 130}} if in_lfs else {}
    return {"type": "file", "path": path, "size": len(body), "oid": blob} | lfs


def _lfs(server: HubServer, name: str, asked: dict[str, Any]) -> Reply:
    if "objects" not in asked:
        return 200, {}
    objects = []
    for one in asked["objects"]:
        upload = {"href": f"{server.bases[1]}/{one['oid']}", "header": {}}
        missing = one["oid"] not in server.stored
        objects.append(one | ({"actions": {"upload": upload}} if missing else {}))
    return 200, {"transfer": "basic", "objects": objects}
