"""A version without DVC: complete, verified, resumed; a hostile list of files does no harm."""

import errno
import hashlib
import json
import os
import re
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import fetch_version
from bucket import Bucket, Fault

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts/fetch_version.py"
FILES = {
    "README.md": b"a card",
    "train/cat/n02123394_1.jpg": b"c" * 3000,
    "train/dog/n02109961_1.jpg": b"dog",
    "val/cat/n02123394_2.jpg": b"c" * 3000,  # the same bytes: one object
    "val/dog/n02109961_2.jpg": b"d",
}


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def place(name: str) -> str:
    return f"/files/md5/{name[:2]}/{name[2:]}"


def objects(
    files: dict[str, bytes], listed: list[dict[str, str]] | None = None
) -> dict[str, bytes]:
    """The objects of a remote by path; the last one is the list."""
    entries = [{"md5": md5(body), "relpath": path} for path, body in sorted(files.items())]
    raw = json.dumps(entries if listed is None else listed).encode()
    found = {place(md5(body)): body for body in files.values()}
    return found | {place(f"{md5(raw)}.dir"): raw}


def write_lock(stored: dict[str, bytes]) -> None:
    name = next(reversed(stored)).removeprefix("/files/md5/").replace("/", "")
    out = {"path": "data/dataset", "hash": "md5", "md5": name, "size": 6013, "nfiles": 5}
    lock = {"schema": "2.0", "stages": {"split": {"cmd": "x", "outs": [out]}}}
    Path("dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))


@pytest.fixture(autouse=True)
def _quick(own_folder: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_version, "PAUSE", 0)


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    stored = objects(FILES)
    write_lock(stored)
    with Bucket(stored) as running:
        yield running


def fetch(*arguments: str, expect: int = 0) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["fetch_version.py", *arguments])
        assert fetch_version.main() == expect


def files(folder: str = "dataset") -> dict[str, bytes]:
    found = (path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_version_comes_from_a_web_server_and_only_what_is_missing_is_asked(
    bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch("dvc.lock", "--remote", bucket.base)
    assert files() == FILES
    assert len(bucket.paths()) == 5  # the list, and each content once
    Path("dataset/val/dog/n02109961_2.jpg").unlink()
    fetch("dvc.lock", "--remote", bucket.base)
    assert files() == FILES
    assert bucket.paths()[1:] == [place(md5(b"d"))]
    assert "5 files as dvc.lock says, 1 of them fetched" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--split", "val"], "README|val"),
        (["--class", "cat"], "README|cat"),
        (["--class", "n02109961", "--split", "train"], "README|train/dog"),
    ],
)
def test_a_split_or_class_comes_with_the_tables(
    bucket: Bucket, options: list[str], wanted: str
) -> None:
    fetch("dvc.lock", "--remote", f"{bucket.base}/", "--to", "part", *options)
    assert set(files("part")) == {name for name in FILES if re.match(f".*({wanted})", name)}


def test_a_reply_that_breaks_off_is_continued_and_short_failures_are_tried_again(
    bucket: Bucket,
) -> None:
    cat, dog = place(md5(b"c" * 3000)), place(md5(b"dog"))
    bucket.cuts[cat] = [1000, 500]
    bucket.faults[dog] = Fault(503, times=2)
    fetch("dvc.lock", "--remote", bucket.base, "--jobs", "1")
    assert files() == FILES
    ranges = [headers.get("Range") for path, headers in bucket.asked if path == cat]
    assert ranges == [None, "bytes=1000-", "bytes=1500-"]


def test_an_interrupted_run_goes_on_and_a_wrong_part_is_replaced(bucket: Bucket) -> None:
    work = Path("dataset") / fetch_version.WORK
    work.mkdir(parents=True)
    (work / f"{md5(b'c' * 3000)}.part").write_bytes(b"x" * 900)
    (work / f"{md5(b'dog')}.part").write_bytes(b"do")
    (work / f"{md5(b'd')}.part").write_bytes(b"much too long")  # 416
    fetch("dvc.lock", "--remote", bucket.base)
    assert files() == FILES


@pytest.mark.parametrize("body", [b"damaged", b"x" * 9000])
def test_a_damaged_or_endless_object_is_never_written(
    bucket: Bucket, body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.files[place(md5(b"dog"))] = body
    fetch("dvc.lock", "--remote", bucket.base, expect=1)
    assert "train/dog/n02109961_1.jpg" not in files()
    assert "error: 1 of 4 objects failed" in capsys.readouterr().err
    bucket.files[place(md5(b"dog"))] = b"dog"
    fetch("dvc.lock", "--remote", bucket.base)
    assert files() == FILES


def test_errors_are_one_line(bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    lock, remote = "dvc.lock", ("--remote", bucket.base)
    Path("dataset").mkdir()
    Path("dataset/README.md").write_text("mine")
    for arguments, code, words in (
        (("nowhere",), 2, "git: "),
        ((lock,), 2, "the version names no remote; name one with --remote"),
        ((lock, "--remote", "s3://bucket"), 2, "is no folder and no HTTP(S) address"),
        ((lock, "--output", "data/raw", *remote), 2, "no data/raw, but data/dataset"),
        ((lock, "--class", "lion", *remote), 2, "no class lion; this version has cat, dog"),
        ((lock, "--remote", f"{bucket.base}/x"), 1, "HTTP 404; is this the right remote?"),
        ((lock, *remote), 1, "README.md differs from this version; take another --to, or --force"),
    ):
        to = () if "--force" in words else ("--to", "other")
        fetch(*arguments, *to, expect=code)
        error = capsys.readouterr().err
        assert words in error
        assert len(error.splitlines()) == 1
    assert files()["README.md"] == b"mine"
    fetch(lock, *remote, "--force")
    assert files() == FILES


HOSTILE = [
    "../evil", "/tmp/evil", "a/../../evil", "a//b", ".", "", "C:evil", "..\\evil", "a/.GIT/x",
    "NUL", "a/con.txt", ".. /evil", "a\0b", "a\nb", f"{fetch_version.WORK}/x", None, 7,
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_list_of_files_does_no_harm(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = objects({}, [{"md5": md5(b"evil"), "relpath": name}]) | {place(md5(b"evil")): b"evil"}
    write_lock(dict(reversed(stored.items())))
    for path, body in stored.items():
        Path(f"remote{path}").parent.mkdir(parents=True, exist_ok=True)
        Path(f"remote{path}").write_bytes(body)
    before = files(".")
    fetch("dvc.lock", "--remote", "remote", expect=1)
    assert "do not trust it" in capsys.readouterr().err
    new = set(files(".")) - set(before)
    assert all(path.startswith(f"dataset/{fetch_version.WORK}/") for path in new)


@given(st.text("a./\\:\0 ~gitGIT"))
def test_a_path_that_is_accepted_stays_in_its_folder(text: str) -> None:
    try:
        parts = fetch_version.safe_parts(text)
    except fetch_version.VersionError:
        return
    assert "/".join(parts) == text == os.path.normpath(text)
    assert not Path(text).is_absolute()
    assert ".git" not in text.lower().split("/")


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[1]", b'[{"relpath": "a", "md5": "../../x"}]', b"[" * 9**5]
)
def test_a_list_that_is_none_is_refused(raw: bytes) -> None:
    if raw != b"{}":
        with pytest.raises(fetch_version.VersionError):
            fetch_version.listed_files(raw)
    else:
        assert fetch_version.listed_files(raw) == {}


REPLIES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\nhello",
    b"HTTP/1.1 302 X\r\nLocation: http://[::1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n\xff",
    b'HTTP/1.1 200 OK\r\n\r\n    outs:\n    - path: "x\n',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nxx",
    b"garbage",
]


@pytest.mark.parametrize("reply", REPLIES)
def test_a_server_that_speaks_no_http_is_one_line(
    reply: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(2**16)
            self.request.sendall(reply)

    write_lock(objects(FILES))
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        base = f"http://127.0.0.1:{server.server_address[1]}"
        fetch("dvc.lock", "--remote", base, expect=1)
        fetch(f"{base}/dvc.lock", "--remote", base, expect=2 if b"abc" in reply else 1)
        server.shutdown()
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_full_disk_is_no_fault_of_the_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    stored = objects(FILES)
    write_lock(stored)
    for name, body in stored.items():
        Path(f"remote{name}").parent.mkdir(parents=True, exist_ok=True)
        Path(f"remote{name}").write_bytes(body)
    monkeypatch.setattr(fetch_version, "_append", full)
    fetch("dvc.lock", "--remote", "remote", expect=1)
    assert capsys.readouterr().err == "error: [Errno 28] No space left on device\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_a_remote_is_no_object(capsys: pytest.CaptureFixture[str]) -> None:
    stored = objects(FILES)
    write_lock(stored)
    pipe = Path(f"remote{next(reversed(stored))}")
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    fetch("dvc.lock", "--remote", "remote", expect=1)
    assert "is no regular file" in capsys.readouterr().err


def test_the_lock_is_read_as_yaml_has_it() -> None:
    text = (ROOT / "dvc.lock").read_text(encoding="utf-8")
    outs = [out for stage in yaml.safe_load(text)["stages"].values() for out in stage["outs"]]
    assert list(fetch_version.locked_outputs(text).values()) == [
        (out["path"], out["md5"], out["size"]) for out in outs
    ]


def test_a_revision_of_a_git_repository_comes_without_dvc(origin: Path, tmp_path: Path) -> None:
    """As on a machine that has nothing but Python and git."""
    command = [sys.executable, "-IS", str(SCRIPT), str(origin), "--rev", "main", "--split", "val"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    manifest = (tmp_path / "dataset/manifest.csv").read_text(encoding="utf-8")
    assert manifest.count(",val,") == len(list((tmp_path / "dataset/val").glob("*/*.jpg"))) == 40


def test_a_remote_beside_a_local_repository_is_found(tmp_path: Path) -> None:
    stored = objects(FILES)
    for path, body in stored.items():
        target = tmp_path / f"remote{path}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)
    repository = tmp_path / "repository"
    (repository / ".dvc").mkdir(parents=True)
    config = "[core]\n    remote = mine\n['remote \"mine\"']\n    url = ../../remote\n"
    (repository / ".dvc/config").write_text(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(repository)
        write_lock(stored)
    git = ("git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b.c")
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "a version")):
        subprocess.run([*git, *command], check=True)
    fetch(str(repository), "--rev", "HEAD")
    assert files() == FILES


def test_a_git_server_that_cannot_send_a_part_gives_all(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def git(*arguments: str) -> str:
        asked.append(arguments)
        if "--depth=1" in arguments:
            raise fetch_version.VersionError("dumb http transport does not support shallow", 2)
        return ""

    monkeypatch.setattr(fetch_version, "_git", git)
    fetch_version._clone("https://host/cats.git", "v1", "folder")
    assert ("-C", "folder", "fetch", "-q", "--", "https://host/cats.git", "v1") in asked
    assert "checkout" in asked[-1]
