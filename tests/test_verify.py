"""Checking a version: what was damaged is named, and what it says to do mends it."""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allrounder.core.files import hash_files
from allrounder.history.versions import Output, output_md5, parse_folder_object
from allrounder.verify.drift import Form, TakenPhoto, sample_photos
from allrounder.verify.web import Validators
from photoserver import PhotoServer
from project import Project

HUSKY, CAT = "n02109961", "n02123394"
PHOTO = "data/dataset/train/eskimo_dog/n02109961_046a31bbec0bb16e.jpg"
MANIFEST = "data/dataset/manifest.csv"
OUTS = ("data/urls", "data/raw", "data/clean", "data/dataset", "reports")


ROOT = Path(__file__).resolve().parent.parent


def verify(project: Project, *options: str, expect: int, **environment: Any) -> dict[str, Any]:
    """What `verify.py --json` prints."""
    out = project.folder.parent / "verify.json"
    output = project.script("verify", *options, "--json", expect=expect, out=out, **environment)
    found = json.loads(out.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    assert found["ok"] is (expect == 0)
    assert len(output.splitlines()) == (expect != 0), output
    return found


def problems(found: dict[str, Any]) -> dict[str, str]:
    return {one["path"]: one["kind"] for one in found["problems"]}


def flip(path: Path) -> None:
    """Change one byte as a failing disk does: size and time stay."""
    info = path.stat()
    body = bytearray(path.read_bytes())
    if info.st_nlink > 1:  # an object of other clones too
        path.unlink()
    else:
        path.chmod(0o644)
    body[len(body) // 2] ^= 1
    path.write_bytes(body)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def follow(project: Project, *fixes: str) -> None:
    """Do what the `fix` of problems says, each command once."""
    commands = []
    for fix in fixes:
        remove, _, command = fix.rpartition("then ")
        for path in re.findall(r"\S*/\S*[^\s,]", remove):
            (project.folder / path).unlink(missing_ok=True)
        commands.append(command)
    for program, *arguments in map(str.split, dict.fromkeys(commands)):
        if program == "dvc":
            project.dvc(*arguments)
        elif program == "python":
            project.script(Path(arguments[0]).stem, *arguments[1:])
        elif program == "git":
            project.git(*arguments)


# Here


def test_a_whole_version_is_whole(pulled: Project) -> None:
    found = verify(pulled, expect=0)
    assert found["problems"] == []
    assert found["outs"]["data/dataset"]["files"] == 206
    assert sum(out["bytes_read"] for out in found["outs"].values()) > 3_000_000
    output = pulled.script("verify")
    files = sum(out["files"] for out in found["outs"].values())
    assert output.splitlines()[-1] == f"all {files} files match dvc.lock"
    assert pulled.changes == ""


def test_every_fault_is_named_with_a_fix_that_works(pulled: Project) -> None:
    folder = pulled.folder
    flipped, cut, missing, tar = (
        PHOTO,
        next(path.relative_to(folder).as_posix() for path in folder.glob("data/dataset/val/*/*")),
        "data/urls/n02123394.csv",
        "data/raw/n02109961.tar",
    )
    pulled.dvc("status")  # notes time and size of every file
    flip(folder / flipped)
    flip(folder / tar)
    assert "data/" not in pulled.dvc("status")  # which is why this check is needed
    (folder / cut).chmod(0o644)
    os.truncate(folder / cut, 100)
    (folder / missing).unlink()
    extra = "data/dataset/train/eskimo_dog/\x1b[31mno photo.txt"
    (folder / extra).write_text("?")
    flip(folder / "data/metrics.json")
    found = verify(pulled, expect=1)
    assert problems(found) == {
        flipped: "bad", cut: "bad", missing: "missing", tar: "bad", extra: "extra",
        "data/metrics.json": "bad",
    }  # fmt: skip

    output = pulled.script("verify", expect=1)
    assert "\x1b" not in output
    assert "error: 6 files do not match this version" in output
    for path in problems(found):
        assert path.replace("\x1b", "?") in output

    for one in found["problems"]:
        if one["fix"].startswith("remove it"):
            (folder / one["path"]).unlink()
    follow(pulled, *(one["fix"] for one in found["problems"]))
    assert verify(pulled, expect=0)["problems"] == []
    assert pulled.changes == ""


def test_a_file_that_is_damaged_in_the_cache_too_is_restored_from_the_remote(
    pulled: Project,
) -> None:
    place = hashlib.md5((pulled.folder / PHOTO).read_bytes()).hexdigest()
    flip(pulled.folder / PHOTO)
    cached = pulled.folder / ".dvc/cache/files/md5" / place[:2] / place[2:]
    if not cached.samefile(pulled.folder / PHOTO):
        flip(cached)
    (one,) = verify(pulled, expect=1)["problems"]
    assert place[2:] in one["fix"]
    assert one["fix"].endswith("then dvc pull data/dataset")
    (pulled.folder / PHOTO).unlink()
    follow(pulled, one["fix"])
    verify(pulled, expect=0)


def test_what_was_never_pulled_is_one_line_an_output(clone: Project) -> None:
    found = verify(clone, expect=1)
    assert {one["path"]: one["fix"] for one in found["problems"]} == {
        path: f"dvc pull {path}" for path in OUTS
    }


def test_without_a_cache_the_folder_is_hashed_and_the_manifest_names_photos(
    pulled: Project,
) -> None:
    shutil.rmtree(pulled.folder / ".dvc/cache")
    verify(pulled, expect=0)
    (pulled.folder / PHOTO).unlink()
    found = verify(pulled, expect=1)
    assert problems(found) == {PHOTO: "missing"}  # by the remote's list
    shutil.move(pulled.folder / "store", pulled.folder / "away")
    found = verify(pulled, expect=1)
    assert problems(found) == {"data/dataset": "bad", PHOTO: "missing"}
    shutil.move(pulled.folder / "away", pulled.folder / "store")
    follow(pulled, found["problems"][1]["fix"])
    verify(pulled, expect=0)


def test_a_list_of_the_remote_that_is_not_the_version_s_is_blamed_on_the_remote(
    clone: Project,
) -> None:
    place = listing(clone, "split")
    entries = json.loads(place.read_text())
    cats = next(one for one in entries if CAT in one["relpath"])
    next(one for one in entries if one["relpath"] in PHOTO)["md5"] = cats["md5"]
    place.unlink()
    place.write_text(json.dumps(entries))
    (one,) = verify(clone, "--remote", expect=1)["problems"]
    assert (one["path"], one["kind"]) == (str(place), "bad")
    assert "not the list that dvc.lock names" in one["detail"]
    clone.dvc("pull")
    one, photo = verify(clone, expect=1)["problems"]
    assert (one["path"], photo["path"]) == ("data/dataset", PHOTO)
    assert f"its files (the remote's, {place}) is not the one that dvc.lock names" in one["detail"]
    shutil.rmtree(clone.folder / "data/dataset")
    output = clone.script("diff", "HEAD", expect=1)
    assert "is not the one that revision HEAD names" in output


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"


def test_a_pointer_or_page_in_place_of_a_file_is_named(pulled: Project) -> None:
    remote = stored(pulled, PHOTO)
    remote.unlink()
    remote.write_bytes(LFS)
    for name, body in ((PHOTO, LFS), ("data/raw/n02109961.tar", b"<!doctype html>")):
        (pulled.folder / name).unlink()
        (pulled.folder / name).write_bytes(body)
    (one,) = verify(pulled, "--remote", expect=1)["problems"]
    assert one["detail"].startswith("damaged on the remote: a Git LFS pointer")
    found = {one["path"]: one["detail"] for one in verify(pulled, expect=1)["problems"]}
    assert "(it is a Git LFS pointer; git lfs pull" in found[PHOTO]
    assert "(it is a web page (HTML)" in found["data/raw/n02109961.tar"]


def test_an_empty_folder_is_extra(pulled: Project) -> None:
    (pulled.folder / "data/dataset/train/new class/inner").mkdir(parents=True)
    (pulled.folder / "data/raw/photos").mkdir()
    assert problems(verify(pulled, expect=1)) == {
        "data/dataset/train/new class": "extra",
        "data/raw/photos": "extra",
    }
    shutil.rmtree(pulled.folder / "data/dataset/train/eskimo_dog")
    found = problems(verify(pulled, expect=1))
    assert "data/dataset/train" not in found
    assert found[PHOTO] == "missing"
    (pulled.folder / "data/dataset/train/eskimo_dog").mkdir()
    assert problems(verify(pulled, expect=1)) == found


def test_a_manifest_that_is_not_the_version_s_is_blamed_itself(pulled: Project) -> None:
    path = pulled.folder / MANIFEST
    path.chmod(0o644)
    path.write_text(path.read_text()[:5000])
    assert problems(verify(pulled, expect=1)) == {MANIFEST: "bad"}


@pytest.mark.parametrize(
    ("change", "named", "words"),
    [
        (
            lambda text: text.replace("046a31bbec0bb16e32", "0" * 18),
            PHOTO,
            "do not match manifest.csv",
        ),
        (lambda text: text[:-50], MANIFEST, "line 201: bad row"),
        (lambda text: text.replace("file,split", "file,\0split"), MANIFEST, "unknown column"),
    ],
)
def test_a_version_whose_manifest_is_wrong_is_not_intact(
    pulled: Project, change: Callable[[str], str], named: str, words: str
) -> None:
    """Someone committed it so: dvc.lock agrees with every file."""
    path = pulled.folder / MANIFEST
    path.chmod(0o644)
    path.write_text(change(path.read_text()))
    pulled.dvc("commit", "--force", "split")
    (one,) = verify(pulled, expect=1)["problems"]
    assert (one["path"], one["fix"]) == (named, "dvc repro --force split")
    assert words in one["detail"]


@pytest.mark.skipif(os.name == "nt", reason="no named pipes")
def test_a_pipe_in_place_of_a_photo_does_not_hang(pulled: Project) -> None:
    (pulled.folder / PHOTO).unlink()
    os.mkfifo(pulled.folder / PHOTO)
    assert problems(verify(pulled, expect=1)) == {PHOTO: "unreadable"}


def test_a_broken_lock_and_no_project_are_reported_in_one_line(clone: Project) -> None:
    (clone.folder / "dvc.lock").write_text("stages: [")
    output = clone.script("verify", expect=2)
    assert len(output.splitlines()) == 1
    assert "git checkout dvc.yaml dvc.lock" in output
    (clone.folder / "dvc.lock").unlink()
    output = clone.script("verify", expect=1)
    assert "dvc.lock names no outputs" in output
    output = clone.script("verify", "--sample", "3", expect=2)
    assert "--sample is for --web" in output
    shutil.rmtree(clone.folder / ".dvc")
    output = clone.script("verify", expect=2)
    assert output.startswith("error: this folder is no DVC project")


def test_a_reader_that_hangs_up_gets_no_traceback(clone: Project) -> None:
    command = f'"{sys.executable}" scripts/verify.py | true'
    assert "Traceback" not in clone.run("sh", "-c", command)


@given(st.dictionaries(st.text("abcé/", min_size=1), st.binary(max_size=3)))
def test_a_folder_s_hash_is_that_of_its_list(files: dict[str, bytes]) -> None:
    named = {f"out/{path}": hashlib.md5(body).hexdigest() for path, body in files.items()}
    out = Output("out", output_md5(Output("out", "", 0, True, None), named), len(named), True, None)
    entries = [{"md5": named[path], "relpath": path.removeprefix("out/")} for path in sorted(named)]
    assert parse_folder_object(json.dumps(entries).encode(), out) == named
    assert (
        parse_folder_object(json.dumps([*entries, {"md5": "", "relpath": "x"}]).encode(), out)
        is None
    )


def test_many_files_keep_their_order(tmp_path: Path) -> None:
    bodies = [b"x" * size for size in (0, 1, 2**20, 2**20 + 1, 3, *range(100))]
    paths = [tmp_path / str(number) for number in range(len(bodies))]
    for path, body in zip(paths, bodies, strict=True):
        path.write_bytes(body)
    paths[7].unlink()
    found = list(hash_files(paths))
    assert found[7].error == "No such file or directory"
    for number, (one, body) in enumerate(zip(found, bodies, strict=True)):
        if number != 7:
            assert (one.md5, one.sha256, one.size) == (
                hashlib.md5(body).hexdigest(), hashlib.sha256(body).hexdigest(), len(body),
            )  # fmt: skip


# On the remote


def stored(project: Project, name: str) -> Path:
    """The object of a file, in the folder remote."""
    md5 = hashlib.md5((project.folder / name).read_bytes()).hexdigest()
    return project.folder / "store/files/md5" / md5[:2] / md5[2:]


def listing(project: Project, stage: str) -> Path:
    """The object that lists a stage's output, in the folder remote."""
    md5 = project.locked(stage)["outs"][0]["md5"]
    return project.folder / "store/files/md5" / str(md5)[:2] / str(md5)[2:]


def test_a_whole_remote_is_whole_without_a_pull(clone: Project) -> None:
    found = verify(clone, "--remote", expect=0)
    assert found["outs"]["data/dataset"]["objects"] == 207
    assert "data/metrics.json" not in found["outs"]  # git keeps it
    assert clone.changes == ""
    assert not (clone.folder / ".dvc/cache").exists()


def test_a_part_of_the_remote_is_read(clone: Project) -> None:
    parts = [verify(clone, "--remote", "--subset", f"{k}/3", expect=0)["outs"] for k in (1, 2, 3)]
    for path, out in parts[0].items():
        read = sum(part[path]["objects"] - part[path]["unread"] for part in parts)
        assert read == out["objects"] + 2  # its list is read each time
    output = clone.script("verify", "--remote", "--max-seconds", "0")
    assert output.splitlines()[-1] == "5 of 293 objects read; they match dvc.lock"
    for options in (
        ("--subset", "4/3", "--remote"),
        ("--subset", "1/3"),
        ("--max-seconds", "1"),
        ("--max-seconds", "-1", "--remote"),
        ("--max-seconds", "nan", "--remote"),
    ):
        assert "verify.py: error: " in clone.script("verify", *options, expect=2)


def test_damaged_and_missing_objects_are_named_with_a_fix_that_works(pulled: Project) -> None:
    flip(stored(pulled, PHOTO))
    stored(pulled, "data/raw/n02109961.tar").unlink()
    flip(listing(pulled, "clean"))
    stored(pulled, "data/clean/n02109961.tar").unlink()
    found = verify(pulled, "--remote", expect=1)
    wanted = {
        str(stored(pulled, PHOTO)): "bad",
        str(stored(pulled, "data/raw/n02109961.tar")): "missing",
        str(listing(pulled, "clean")): "bad",
        str(stored(pulled, "data/clean/n02109961.tar")): "missing",
    }
    assert problems(found) == wanted
    assert stored(pulled, PHOTO).exists()  # nothing was changed there
    details = {one["path"]: one["detail"] for one in found["problems"]}
    assert details[str(stored(pulled, PHOTO))] == f"damaged on the remote ({PHOTO})"
    follow(pulled, *(one["fix"] for one in found["problems"]))
    verify(pulled, "--remote", expect=0)


def test_a_list_that_is_gone_hides_the_files_unless_the_cache_knows(pulled: Project) -> None:
    listing(pulled, "split").unlink()
    stored(pulled, PHOTO).unlink()
    found = verify(pulled, "--remote", expect=1)
    assert problems(found) == {
        str(listing(pulled, "split")): "missing",
        str(stored(pulled, PHOTO)): "missing",
    }
    follow(pulled, found["problems"][0]["fix"])
    verify(pulled, "--remote", expect=0)


def test_what_was_never_pushed_is_one_line_an_output(pulled: Project) -> None:
    shutil.rmtree(pulled.folder / "store")
    found = verify(pulled, "--remote", expect=1)
    assert {one["path"]: one["fix"] for one in found["problems"]} == {
        path: f"python scripts/push.py {path}" for path in OUTS
    }
    follow(pulled, found["problems"][3]["fix"])
    assert list(problems(verify(pulled, "--remote", expect=1))) == [
        "data/urls",
        "data/raw",
        "data/clean",
        "reports",
    ]


def test_no_remote_is_reported_in_one_line(clone: Project) -> None:
    clone.dvc("remote", "remove", "store")
    output = clone.script("verify", "--remote", expect=2)
    assert len(output.splitlines()) == 1
    assert "no default DVC remote is configured: dvc remote add" in output


# On the web


@pytest.fixture(scope="module")
def host() -> Iterator[PhotoServer]:
    with PhotoServer(ROOT / "data" / "sample") as running:
        yield running


@pytest.fixture(scope="module")
def built_once(
    origin: Path, host: PhotoServer, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Builds a version from the server, once for each kind of source."""
    folder = tmp_path_factory.mktemp("built")

    def build(kind: str) -> Path:
        if not (folder / kind).exists():
            _build(Project.cloned(origin, folder / kind), host, kind)
        return folder / kind

    return build


@pytest.fixture
def server(host: PhotoServer) -> Iterator[PhotoServer]:
    """The server as it was when the version was built; a test may change it."""
    photos = dict(host.photos)
    host.asked.clear()
    yield host
    host.photos, host.instead, host.etags, host.gone = photos, {}, False, re.compile(r"(?!)")
    host.unmodified.clear()


@pytest.fixture
def built(
    request: pytest.FixtureRequest, built_once: Callable[[str], Path], tmp_path: Path
) -> Project:
    """A version of the test's own, from the web; of the kind that the test is parametrized with."""
    made = built_once(getattr(request, "param", "imagenet-api"))
    return Project.copied(made, tmp_path / "clone")


def _build(project: Project, server: PhotoServer, kind: str) -> None:
    """Build two classes of few photos from the server."""
    location = server.base + ("/tars/{wnid}.tar" if kind == "synset-tar" else "")
    project.edit(
        sources=[{"kind": kind, "location": location}],
        classes={HUSKY: "dog", CAT: "cat"},
        per_class=8,
        min_per_class=5,
        network={"allow_private": ["127.0.0.1"], "backoff": 0.01, "tries": 3},
    )
    project.repro("download")


def web(project: Project, *options: str, expect: int) -> dict[str, Any]:
    return verify(project, "--web", *options, expect=expect)


def drifts(found: dict[str, Any], server: PhotoServer) -> dict[str, str]:
    """The drift of each photo that is not the same, by path."""
    return {one["url"].removeprefix(server.base): one["drift"] for one in found["problems"]}


def counts(found: dict[str, Any]) -> dict[str, int]:
    return {drift: count for drift, count in found["counts"].items() if count}


def taken(project: Project, wnid: str) -> list[str]:
    """The URLs of the photos that the download took."""
    rows = project.read(f"data/raw/{wnid}.csv").splitlines()
    return [row.split(",")[1] for row in rows if ",ok," in row]


def test_every_drift_of_the_web_is_distinguished(built: Project, server: PhotoServer) -> None:
    first = web(built, expect=0)
    total = first["photos"]
    assert counts(first) == {"same": total}
    assert first["hosts"] == {"127.0.0.1": {"same": total}}
    paths = [url.removeprefix(server.base) for url in taken(built, HUSKY) + taken(built, CAT)]
    assert sorted(paths) == server.photos_asked
    assert max(server.asked.values()) == 1

    (changed, gone, page, robots, moved, unavailable, busy, down, etag), rest = paths[:9], paths[9:]
    other = server.photos[server.paths("n02690373")[0]]
    body = {path: server.photos[path] for path in paths}
    server.instead = {
        changed: [(200, other, {})],
        gone: [(410, b"", {})],
        page: [(200, b"<html>parked</html>", {})],
        robots: [(200, body[robots], {"X-Robots-Tag": "noai"})],
        moved: [(301, b"", {"Location": f"/elsewhere{moved}"})],
        f"/elsewhere{moved}": [(200, body[moved], {})],
        unavailable: [
            (302, b"", {"Location": "https://s.yimg.com/pw/images/en-us/photo_unavailable.png"})
        ],
        busy: [(429, b"", {"Retry-After": "0"}), (200, body[busy], {})],
        down: [(500, b"", {})],
        etag: [(200, body[etag], {"ETag": '"a7cb396d0db6af2e63870985cb086fa1"'})],
    }
    server.asked.clear()
    found = web(built, expect=1)
    assert drifts(found, server) == {
        changed: "changed", gone: "gone", page: "changed", robots: "opted_out",
        unavailable: "placeholder", down: "unreachable", etag: "placeholder",
    }  # fmt: skip
    assert counts(found)["same"] == len(rest) + 2
    details = {one["url"].removeprefix(server.base): one["detail"] for one in found["problems"]}
    assert details[gone] == "http_error 410"
    assert details[page] == "not_image a web page (HTML)"
    assert details[down] == "http_error 500"
    assert server.asked[down] == 3
    assert server.asked[busy] == 2
    assert found["classes"][HUSKY]["gone"] == 1
    assert found["hosts"]["127.0.0.1"]["placeholder"] == 2

    output = built.script("verify", "--web", expect=1)
    for path in drifts(found, server):
        assert f"{server.base}{path}" in output
    assert f"error: of {total} photos: 2 changed, 1 gone, 2 placeholder, 1 opted_out" in output

    built.edit(download={"honour_opt_out": False})
    assert robots not in drifts(web(built, expect=1), server)


def test_the_same_new_picture_behind_many_urls_is_a_placeholder(
    built: Project, server: PhotoServer
) -> None:
    paths = [url.removeprefix(server.base) for url in taken(built, HUSKY)]
    notice = server.photos[server.paths("n02690373")[0]]
    server.instead = {path: [(200, notice, {})] for path in paths[:5]}
    found = web(built, expect=1)
    assert drifts(found, server) == dict.fromkeys(paths[:5], "placeholder")
    assert found["problems"][0]["detail"] == "the same behind 5 URLs"


@pytest.mark.parametrize("built", ["imagenet-api", "synset-tar"], indirect=True)
def test_what_has_an_etag_is_requested_in_a_few_bytes(built: Project, server: PhotoServer) -> None:
    server.etags = True
    first = web(built, expect=0)
    assert (first["unmodified"], first["bytes"] > 0) == (0, True)
    server.asked.clear()
    again = web(built, expect=0)
    assert again["unmodified"] == again["photos"] == counts(again)["same"]
    assert again["bytes"] == 0
    rules = server.asked["/robots.txt"] + server.asked["/.well-known/tdmrep.json"]
    assert sum(server.unmodified.values()) + rules == again["requests"]

    changed = taken(built, HUSKY)[0].removeprefix(server.base)
    if "#" in changed:
        name = changed.partition("#")[2].replace(".JPEG", ".jpg")
        server.photos[f"/img/{HUSKY}/{name}"] = server.photos[server.paths(CAT)[-1]]
    else:
        server.photos[changed] = server.photos[server.paths(CAT)[-1]]
    assert drifts(web(built, expect=1), server) == {changed: "changed"}

    path = built.folder / ".allrounder/verify/validators.json"
    path.write_text(path.read_text().replace('\\"', '\\"\\r\\nX: y'))
    assert web(built, expect=1)["unmodified"] == 0  # a damaged memory is none
    assert built.git("status", "--porcelain", "--ignored", ".allrounder").startswith("!!")


@pytest.mark.parametrize("built", ["synset-tar"], indirect=True)
def test_an_archive_is_requested_once_and_only_as_far_as_needed(
    built: Project, server: PhotoServer
) -> None:
    found = web(built, expect=0)
    assert found["photos"] > 16
    assert server.asked == {f"/tars/{HUSKY}.tar": 1, f"/tars/{CAT}.tar": 1}

    members = taken(built, HUSKY)
    photo = members[1].partition("#")[2].replace(".JPEG", "")
    del server.photos[next(path for path in server.paths(HUSKY) if photo in path)]
    server.gone = re.compile(CAT)
    found = web(built, expect=1)
    rows = {one["url"]: one["detail"] for one in found["problems"]}
    assert rows == {members[1]: "not in the archive"} | dict.fromkeys(
        taken(built, CAT), "http_error 404"
    )
    assert set(drifts(found, server).values()) == {"gone"}

    server.gone = re.compile(r"(?!)")
    server.instead = {
        f"/tars/{CAT}.tar": [(200, b"<html>" * 1000, {})],
        f"/tars/{HUSKY}.tar": [(200, b"<html>" * 1000, {"X-Robots-Tag": "noai"})],
    }
    found = web(built, expect=1)
    assert found["classes"][HUSKY] == {"opted_out": len(members)}
    details = {one["detail"] for one in found["problems"] if CAT in one["url"]}
    assert [words.partition(":")[0] for words in details] == ["no longer a tar"]


def test_files_of_this_machine_are_compared_and_unknown_forms_are_counted(pulled: Project) -> None:
    clone = pulled
    wnid = "n02109961"
    table = clone.folder / f"data/raw/{wnid}.csv"
    table.chmod(0o644)
    first, second, third = taken(clone, wnid)[:3]
    text = table.read_text().replace(third, "https://example.invalid/all.tar#10+20#part")
    table.write_text(text)
    clone.dvc("commit", "--force", "download")
    (clone.folder / first).unlink()
    flip(clone.folder / second)
    found = web(clone, expect=1)
    assert {one["url"]: one["drift"] for one in found["problems"]} == {
        first: "gone",
        second: "changed",
    }
    assert found["counts"]["not_asked"] == 1
    assert found["requests"] == 0


def test_the_web_is_requested_without_local_photos(clone: Project) -> None:
    found = web(clone, "--sample", "25", expect=0)
    assert found["checked"] == 25
    assert sorted(row["same"] for row in found["classes"].values()) == [2] * 5 + [3] * 5
    assert not (clone.folder / "data/raw").exists()
    assert web(clone, "--sample", "25", expect=0) == found


def test_nothing_reached_is_no_drift(built: Project, server: PhotoServer) -> None:
    built.edit(network={"tries": 1})
    output = built.script("verify", "--web", "--sample", "4", expect=1)
    assert "error: nothing could be reached" in output
    assert "network.allow_private" in output


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("http://a.example/b.jpg", Form.PAGE),
        ("http://a.example/b.jpg#c", Form.UNKNOWN),
        ("http://a.example/b.tar#c.jpg", Form.ARCHIVE),
        ("http://a.example/b.tar?c=d#c.jpg", Form.ARCHIVE),
        ("http://a.example/b.tar#c.tar#d.jpg", Form.UNKNOWN),
        ("http://a.example/b.parquet#1", Form.UNKNOWN),
        ("http://a.example/b.tar#", Form.UNKNOWN),
        ("photos/b.jpg", Form.FILE),
        ("photos/b.tar#c.jpg", Form.ARCHIVE),
        ("photos/b.parquet#1", Form.UNKNOWN),
        ("photos/\0#", Form.UNKNOWN),
    ],
)
def test_forms_of_urls(url: str, form: Form) -> None:
    assert TakenPhoto("n00000001", "1", url, "", 0).form is form


@st.composite
def lists(draw: st.DrawFn) -> list[TakenPhoto]:
    sizes = draw(st.lists(st.integers(0, 6), max_size=5))
    return [
        TakenPhoto(f"n{number:08}", str(rank), f"http://h/{number}/{rank}", "", 0)
        for number, size in enumerate(sizes)
        for rank in range(size)
    ]


@given(lists(), st.integers(1, 30), st.randoms(use_true_random=False))
def test_a_sample_is_even_nested_and_the_same_for_everybody(
    photos: list[TakenPhoto], count: int, rng: Any
) -> None:
    chosen = sample_photos(photos, count)
    assert len(chosen) == len(set(chosen)) == min(count, len(photos))
    shuffled = list(photos)
    rng.shuffle(shuffled)
    assert sample_photos(shuffled, count) == chosen
    assert sample_photos(photos, count + 1)[: len(chosen)] == chosen
    per_class = {photo.key: 0 for photo in photos}
    for photo in chosen:
        per_class[photo.key] += 1
    left = {
        p.key: n for p in photos if (n := per_class[p.key]) < sum(q.key == p.key for q in photos)
    }
    assert not left or max(per_class.values()) - min(left.values()) <= 1


@pytest.mark.parametrize(
    ("etag", "modified", "lines"),
    [
        (b'"a"', b"", ('If-None-Match: "a"',)),
        (b'W/"a"', b"", ('If-None-Match: W/"a"',)),
        (
            b"",
            b"Wed, 21 Oct 2015 07:28:00 GMT",
            ("If-Modified-Since: Wed, 21 Oct 2015 07:28:00 GMT",),
        ),
        (b"a", b"", None),
        (b'"a"\r\nX: y', b"", None),
        (b'"' + b"a" * 300 + b'"', b"\0", None),
    ],
)
def test_only_proper_validators_are_remembered(
    tmp_path: Path, etag: bytes, modified: bytes, lines: tuple[str, ...] | None
) -> None:
    kept = Validators(tmp_path / "v.json")
    kept.keep("u", "c", "http://f/", {b"etag": [etag], b"last-modified": [modified]})
    kept.save()
    again = Validators(tmp_path / "v.json")
    assert again.headers("u", "c") == (lines and {"http://f/": lines})
    assert again.headers("u", "other bytes") is None


@pytest.mark.parametrize(
    "text", ["", "[1]", "{}", '{"u": 1}', '{"u": ["c", "f", ["X: y"]]}', '{"u": {"content": "c"}}']
)
def test_damaged_validators_are_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "v.json").write_text(text)
    assert Validators(tmp_path / "v.json").headers("u", "c") is None
