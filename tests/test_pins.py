"""What dvc.lock pins is reused, only the difference is fetched; against a real web server."""

import io
import json
import random
import re
import tarfile
from collections.abc import Iterable

import pytest

from allrounder.core.files import remove_tree
from allrounder.core.rows import RawRow, Status
from allrounder.core.tables import read_csv
from photoserver import PhotoServer
from project import Project, of_class

HUSKY, CAT, PLANE = "n02109961", "n02123394", "n02690373"
TWO, THREE = {HUSKY: "dog", CAT: "cat"}, {HUSKY: "dog", CAT: "cat", PLANE: "aeroplane"}
KINDS = ("imagenet-api", "url-list", "synset-tar")


def use(clone: Project, server: PhotoServer, kind: str, **changes: object) -> None:
    """Point the clone's params at the server, with few photos of two classes."""
    location = server.base
    if kind == "url-list":
        location += "/urls/list.txt"
    elif kind == "synset-tar":
        location += "/tars/{wnid}.tar"
    settings = {"classes": TWO, "per_class": 8, "min_per_class": 5}
    network = {"allow_private": ["127.0.0.1"], "backoff": 0.01, "tries": 2}
    source = {"kind": kind, "location": location}
    clone.edit(**(settings | {"sources": [source], "network": network} | changes))


def tried(clone: Project, classes: Iterable[str]) -> list[RawRow]:
    rows = (read_csv(clone.folder / f"data/raw/{wnid}.csv", RawRow) for wnid in classes)
    return [
        row for part in rows for row in part if row.status not in (Status.UNUSED, Status.ARCHIVE)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_difference_is_fetched(clone: Project, server: PhotoServer, kind: str) -> None:
    use(clone, server, kind)
    clone.repro("download")
    before = clone.files("data/raw")

    server.asked.clear()
    use(clone, server, kind, classes=THREE)
    clone.repro("download")
    assert server.asked
    of_hosts = "/robots.txt$|/tdmrep.json$"
    assert all(re.search(f"{PLANE}|/urls/|{of_hosts}", path) for path in server.asked)
    assert of_class(clone.files("data/raw"), f"{HUSKY}|{CAT}") == before

    # Photos beyond the quota were discarded as `unused`.
    taken = {row.url.removeprefix(server.base) for row in tried(clone, THREE)}
    server.asked.clear()
    server.ranges.clear()
    use(clone, server, kind, classes=THREE, per_class=12)
    clone.repro("download")
    assert not taken & set(server.photos_asked)
    if kind == "synset-tar":
        assert len(server.ranges) == 3  # each archive is read on from where the first run stopped
    more = clone.files("data/raw")

    server.asked.clear()
    use(clone, server, kind)
    clone.rebuild("fetch_urls", "download")  # back to the first params
    assert not server.asked
    assert clone.files("data/raw") == before

    use(clone, server, kind, classes=THREE, per_class=12)
    clone.rebuild("fetch_urls", "download", ALLROUNDER_PINS="ignore")
    assert server.asked
    assert clone.files("data/raw") == more


def test_a_fresh_clone_has_the_same_after_the_web_has_changed(
    clone: Project, server: PhotoServer, tmp_path: object
) -> None:
    use(clone, server, "imagenet-api")
    clone.repro("download")
    clone.dvc("push", "--with-deps", "download")
    clone.commit("first")
    built = clone.files("data/raw")
    other = Project.cloned(clone.folder, clone.folder.parent / "other")
    other.dvc("remote", "add", "-f", "store", str(clone.folder / "store"))

    server.gone = re.compile(f"/img/({HUSKY}|{CAT})/|geturls.*({HUSKY}|{CAT})")
    other.repro("--force", "download")  # without dvc pull: the pins come straight from the remote
    assert other.files("data/raw") == built
    use(other, server, "imagenet-api", classes=THREE)
    other.repro("download")
    assert of_class(other.files("data/raw"), f"{HUSKY}|{CAT}") == built


def test_answers_in_another_order_give_the_same_files(clone: Project, server: PhotoServer) -> None:
    built = []
    for seed, connections in ((0, 1), (1, 3), (2, 40)):
        server.jitter = random.Random(seed) if seed else None
        server.asked.clear()
        network = {"allow_private": ["127.0.0.1"], "connections": connections, "per_host": 40}
        use(clone, server, "imagenet-api", network=network)
        remove_tree(clone.folder / ".allrounder")
        clone.rebuild("fetch_urls", "download")
        assert server.photos_asked
        built.append(clone.files("data/urls", "data/raw"))
    assert built[0] == built[1] == built[2]


def test_a_pin_that_is_nowhere_fails_loudly(clone: Project, server: PhotoServer) -> None:
    use(clone, server, "imagenet-api")
    clone.repro("download")
    for path in (clone.folder / ".dvc/cache").rglob("*.dir"):
        path.unlink()
    remove_tree(clone.folder / ".allrounder/fetch_urls")
    use(clone, server, "imagenet-api", classes=THREE)
    output = clone.rebuild("fetch_urls", expect=1)
    assert "error: dvc.lock names data/urls, but neither DVC's cache nor its remote" in output
    assert "ALLROUNDER_PINS=ignore" in output
    clone.rebuild("fetch_urls", "download", ALLROUNDER_PINS="ignore")


def test_a_damaged_pin_fails_loudly(clone: Project, server: PhotoServer) -> None:
    use(clone, server, "imagenet-api")
    clone.repro("download")
    for path in (clone.folder / ".dvc/cache/files/md5").glob("??/*"):
        body = path.read_bytes()
        if body.startswith(b"image_id,url,status"):
            path.chmod(0o644)
            path.write_bytes(body.replace(b"127.0.0.1", b"127.0.0.9"))
    use(clone, server, "imagenet-api", classes=THREE)
    output = clone.rebuild("fetch_urls", "download", expect=1)
    assert re.search(r"error: data/raw/\w+\.csv: DVC's copy \(\w+\) is damaged; ", output)


def test_drift_under_a_lock_stops_the_build_and_names_the_photos(
    clone: Project, server: PhotoServer
) -> None:
    use(clone, server, "imagenet-api")
    clone.repro("download")
    lock = clone.read("dvc.lock")
    (tar,) = [md5 for path, md5 in raw_hashes(clone).items() if path == f"{HUSKY}.tar"]
    for store in (clone.folder / "store", clone.folder / ".dvc/cache"):
        (store / "files/md5" / tar[:2] / tar[2:]).unlink(missing_ok=True)
    remove_tree(clone.folder / ".allrounder")
    output = clone.rebuild("download", expect=1)
    assert "ALLROUNDER_PINS=confirm dvc repro --force, which stops if it gives other" in output
    clone.repro("--force", "download", ALLROUNDER_PINS="confirm")
    assert clone.read("dvc.lock") == lock

    changed, gone = server.paths(HUSKY)[1], server.paths(HUSKY)[3]
    other = server.photos[server.paths(PLANE)[0]]
    server.instead = {changed: [(200, other, {})], gone: [(404, b"", {})]}
    output = clone.rebuild("download", expect=1, ALLROUNDER_PINS="confirm")
    assert re.search(rf"{HUSKY}.csv: {server.base}{changed}: ok \w+, now ok \w+", output)
    assert re.search(rf"{HUSKY}.csv: {server.base}{gone}: ok \w+, now http_error 404", output)
    assert "error: the web no longer gives what dvc.lock pins in data/raw (" in output
    del server.instead[changed]
    output = clone.rebuild("download", expect=1, ALLROUNDER_PINS="confirm")
    assert changed not in output  # it was asked for again
    assert f"{gone}: ok" in output
    assert clone.read("dvc.lock") == lock
    server.asked.clear()
    clone.repro("--force", "download", ALLROUNDER_PINS="ignore")
    assert not server.photos_asked  # the run before has them
    assert clone.read("dvc.lock") != lock


def raw_hashes(clone: Project) -> dict[str, str]:
    md5 = str(clone.locked("download")["outs"][0]["md5"])
    listing = clone.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    return {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_text())}


def test_the_switch_takes_three_values_only(clone: Project, server: PhotoServer) -> None:
    use(clone, server, "imagenet-api")
    output = clone.script("fetch_urls", expect=2, ALLROUNDER_PINS="1")
    assert "neither use nor ignore" in output


def test_transient_failures_are_tried_again_only_when_photos_are_needed(
    clone: Project, server: PhotoServer
) -> None:
    use(clone, server, "imagenet-api")
    lost = server.photos.pop(server.paths(HUSKY)[2])
    clone.repro("download")
    row = clone.read(f"data/raw/{HUSKY}.csv").splitlines()
    server.asked.clear()
    use(clone, server, "imagenet-api", classes=THREE)
    clone.rebuild("fetch_urls", "download")
    assert not any(HUSKY in path for path in server.asked)
    assert clone.read(f"data/raw/{HUSKY}.csv").splitlines() == row
    assert lost


def test_make_repro_tries_failures_that_may_pass_again(clone: Project, server: PhotoServer) -> None:
    use(clone, server, "imagenet-api", per_class=100)
    path = server.paths(HUSKY)[2]
    server.instead[path] = [(503, b"", {})]
    clone.repro("download")
    assert f"{HUSKY} may get more photos" in clone.script("check_params", "--retry", expect=1)
    del server.instead[path]
    server.asked.clear()
    clone.repro("--force", "--single-item", "download")
    assert set(server.photos_asked) == {path}
    assert clone.script("check_params", "--retry") == ""


def folders_tar(server: PhotoServer, wnid: str) -> bytes:
    """The photos of a class, each in a folder of its own."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for number, path in enumerate(server.paths(wnid)):
            folder, photo = tarfile.TarInfo(f"{number}"), tarfile.TarInfo(f"{number}/photo.jpg")
            folder.type, photo.size = tarfile.DIRTYPE, len(server.photos[path])
            tar.addfile(folder)
            tar.addfile(photo, io.BytesIO(server.photos[path]))
    return out.getvalue()


def test_fewer_photos_of_an_archive_of_folders_are_as_requested_again(
    clone: Project, server: PhotoServer
) -> None:
    for wnid in TWO:
        server.instead[f"/tars/{wnid}.tar"] = [(200, folders_tar(server, wnid), {})]
    use(clone, server, "synset-tar", per_class=12)
    clone.repro("download")
    use(clone, server, "synset-tar")
    server.asked.clear()
    clone.repro("download")
    assert not server.asked
    pinned = clone.files("data/raw")
    clone.rebuild("fetch_urls", "download", ALLROUNDER_PINS="ignore")
    assert clone.files("data/raw") == pinned


def test_archives_here_may_be_called_as_you_like(clone: Project, server: PhotoServer) -> None:
    (clone.folder / "tars").mkdir()
    for wnid in TWO:
        (clone.folder / f"tars/all of {wnid}.tar").write_bytes(server.tar(wnid))
    location = "tars/all of {wnid}.tar"
    use(clone, server, "synset-tar", sources=[{"kind": "synset-tar", "location": location}])
    clone.stage("fetch_urls")
    clone.stage("download")
    assert {row.status for row in tried(clone, TWO)} == {Status.OK}
