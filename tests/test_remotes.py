"""Why a remote cannot be used, in one line with a command: real clients against real faults."""

import asyncio
import contextlib
import re
import shutil
import threading
from collections.abc import Coroutine, Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from fsspec.implementations.http import HTTPFileSystem  # type: ignore[import-untyped]

import tiny
import verify
from allrounder.history.remotes import remote_fault
from allrounder.verify.remote import Subset
from loopback import Handler, Loopback

DENIED = b"<?xml version='1.0'?><Error><Code>InvalidAccessKeyId</Code></Error>"
DEAD = "http://127.0.0.1:1"


class _Refusing(Handler):
    def get(self) -> None:
        status = 404 if "/missing/" in self.path else 403
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(DENIED)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(DENIED)

    def do_HEAD(self) -> None:  # noqa: N802
        self.get()


@pytest.fixture(scope="module")
def refusing() -> Iterator[str]:
    with Loopback(_Refusing) as server:
        yield server.base


@pytest.mark.parametrize(
    ("url", "endpoint", "key", "words"),
    [
        ("s3://b/x", "", "k", "access is denied (ClientError: "),
        ("s3://b/x", "", "", "give DVC your login: dvc remote modify --local r access_key_id KEY"),
        ("s3://b/x", DEAD, "k", "cannot be reached (ConnectionRefusedError: "),
        ("http", "", "", "give DVC your login: dvc remote modify --local r user NAME"),
        (f"{DEAD}/x", "", "", "cannot be reached (ConnectionRefusedError: "),
        ("gs://b/x", "", "", "DVC needs the package dvc-gs for it; install it: pip install dvc-gs"),
    ],
)
@pytest.mark.usefixtures("own_folder")
def test_a_remote_that_cannot_be_used_is_one_line(
    refusing: str, url: str, endpoint: str, key: str, words: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    tiny.environment(monkeypatch)
    tiny.make()
    url = f"{refusing}/x" if url == "http" else url
    options = {"endpointurl": endpoint or refusing} if url.startswith("s3") else {}
    login = {"access_key_id": key, "secret_access_key": "wrong"} if key else {}
    tiny.remote(url, **options, **login)
    tiny.call(verify.main, "--remote", expect=2 if url.startswith("gs") else 1)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "verify remote" not in line]
    assert line.startswith(f"error: remote r ({url}): ")
    assert words in line


class _Folder(SimpleHTTPRequestHandler):
    """Serves the folder `store`, for reading only."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, directory="store")

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.mark.usefixtures("own_folder")
def test_the_recipe_of_read_only_http_works_as_written() -> None:
    tiny.make("store")
    shutil.rmtree("data")
    with Loopback(_Folder) as server:  # type: ignore[arg-type]
        for command in tiny.commands("https://host/path", server.base):
            assert tiny.dvc(command) == 0
    assert Path("data/dataset/val/cat/2.jpg").read_bytes() == b"two"


@pytest.mark.usefixtures("own_folder")
def test_the_recipe_of_ssh_works_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))
    Path(".ssh").mkdir()
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(".ssh/id_ed25519")
    tiny.make(".dvc/cache")
    with _sftp(".ssh/id_ed25519") as port:
        where = f"ssh://127.0.0.1:{port}{Path.cwd()}/remote"
        for command in tiny.commands("ssh://host/path", where):
            assert tiny.dvc(command) == 0
        tiny.call(verify.main, "--remote")
        tiny.check_pull()


@contextlib.contextmanager
def _sftp(key: str) -> Iterator[int]:
    """An SFTP server on loopback that lets the owner of a key in; yields its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def call(task: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(task, loop).result(30)

    connections: list[asyncssh.SSHServerConnection] = []

    async def listen() -> Any:
        public = asyncssh.read_private_key(key).export_public_key().decode()
        return await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            authorized_client_keys=asyncssh.import_authorized_keys(public), sftp_factory=True,
            acceptor=connections.append,
        )  # fmt: skip

    server = call(listen())
    yield server.get_port()

    async def end() -> None:
        for connection in connections:
            connection.abort()
            await connection.wait_closed()
        server.close()
        await server.wait_closed()

    call(end())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.usefixtures("own_folder")
def test_python_reads_a_revision_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    tiny.make("store")
    shutil.rmtree("data")
    (code,) = re.findall(
        r"^```python\n(.*?)^```$", tiny.PAGE.read_text(encoding="utf-8"), re.M | re.S
    )
    exec(code.replace("persian_cat", "cat").replace("../", ""), {})
    assert capsys.readouterr().out == tiny.MANIFEST.decode() + "\n"
    assert Path("cats-of-val/2.jpg").read_bytes() == b"two"


@pytest.mark.usefixtures("own_folder")
def test_editing_a_linked_file_by_mistake_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    tiny.make("store")
    shutil.rmtree("data")
    assert tiny.dvc(["pull"]) == 0
    for command in tiny.commands("cache.type hardlink,copy", "cache.type hardlink"):
        assert tiny.dvc(command) == 0
    photo = Path("data/dataset/train/cat/1.jpg")
    assert photo.samefile(tiny.place(tiny.md5(b"one")))
    assert not photo.stat().st_mode & 0o222  # others than root cannot write it
    photo.chmod(0o644)
    photo.write_bytes(b"edited")
    cached = Path(".allrounder/split/classes/n02123394")
    cached.mkdir(parents=True)
    tiny.call(verify.main, expect=1)
    assert not cached.exists()  # it may have the same damage
    (line,) = [line for line in capsys.readouterr().out.splitlines() if str(photo) in line]
    assert "which is damaged too, then dvc pull data/dataset" in line
    tiny.dvc(["status"])
    assert "data/dataset" in capsys.readouterr().err


def test_a_missing_object_is_no_fault_of_the_remote(refusing: str, tmp_path: Path) -> None:
    for place in (f"{refusing}/missing/x", f"{refusing}/x"):
        with pytest.raises(FileNotFoundError) as caught:
            HTTPFileSystem(skip_instance_cache=True).open(place).read()
        assert bool(remote_fault(caught.value, "r", refusing)) is ("missing" not in place)
    said = str(remote_fault(PermissionError(13, "Permission denied"), "r", "../store"))
    assert said.endswith("give yourself access: ls -ld ../store")
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "none").read_bytes()
    assert remote_fault(caught.value, "r", str(tmp_path)) is None


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_the_parts_of_a_rotating_check_have_every_object_once(parts: int) -> None:
    names = [f"{number * 2654435761 % 2**32:08x}" + "0" * 24 for number in range(200)]
    found = [[n for n in names if Subset(k, parts).has(n)] for k in range(1, parts + 1)]
    assert sorted(name for part in found for name in part) == sorted(names)
    assert all(len(part) > 100 / parts for part in found)
