"""Makes the folders of all stages for a dataset of any size, from a few grainy pictures."""

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image

from allrounder.core.rows import Candidate, CleanRow, ManifestRow, RawRow, Status
from allrounder.core.tables import write_csv
from allrounder.core.tars import atomic_tar

PICTURES = 30
DEAD = (Status.HTTP_ERROR, Status.CONNECTION_ERROR, Status.REDIRECT_ERROR, Status.NOT_IMAGE)


def crowd(sample: Path, data: Path, wnids: list[str], kept: int, surplus: int, dead: int) -> None:
    """Each class gets so many photos in the dataset, beyond it, and dead URLs."""
    bodies = [_busy(path, seed) for seed, path in enumerate(sorted(sample.glob("*/*_00[1-3].jpg")))]
    for folder in ("urls", "raw", "clean", "dataset"):
        (data / folder).mkdir(parents=True)
    manifest: list[ManifestRow] = []
    for index, wnid in enumerate(wnids):
        manifest += _one_class(data, index, wnid, bodies[:PICTURES], (kept, surplus, dead))
    write_csv(data / "dataset/manifest.csv", ManifestRow, manifest)


def _one_class(
    data: Path, index: int, wnid: str, bodies: list[bytes], counts: tuple[int, int, int]
) -> list[ManifestRow]:
    kept, surplus, dead = counts
    listed, raw, clean, manifest = [], [], [], []
    with (
        atomic_tar(data / f"raw/{wnid}.tar") as taken,
        atomic_tar(data / f"clean/{wnid}.tar") as final,
    ):
        for number in range(kept + surplus + dead):
            url = (
                f"http://farm{number % 9}.static.flickr.example/{number}/{wnid}_{number:06}_a1b.jpg"
            )
            listed.append(Candidate(f"{wnid}_{number}", url, author=f"author {number}"))
            if number >= kept + surplus:
                raw.append(RawRow(f"{wnid}_{number}", url, DEAD[number % len(DEAD)], "404", url))
                continue
            body = bodies[number % len(bodies)]
            digest = hashlib.sha256(f"{wnid}{number}".encode()).hexdigest()
            raw.append(RawRow(f"{wnid}_{number}", url, Status.OK, "", url, len(body), digest))
            taken.add(f"{wnid}_{number}.jpg", body)
            status = Status.KEPT if number < kept else Status.SURPLUS
            name = f"{wnid}_{digest[:16]}.jpg" if number < kept else ""
            clean.append(
                CleanRow(raw[-1].image_id, status, "", 320, 240, digest, digest[:16], "", name)
            )
            if name:
                final.add(name, body)
                side = "val" if number % 5 == 0 else "train"
                manifest.append(
                    ManifestRow(
                        f"{side}/{wnid}/{name}", side, index, wnid, wnid, "", wnid,
                        raw[-1].image_id, url, "url-list", digest, 320, 240, "", "", "",
                    )
                )  # fmt: skip
    write_csv(data / f"urls/{wnid}.csv", Candidate, listed)
    write_csv(data / f"raw/{wnid}.csv", RawRow, raw)
    write_csv(data / f"clean/{wnid}.csv", CleanRow, clean)
    return manifest


def _busy(path: Path, seed: int) -> bytes:
    """A cartoon with the size and the grain of a photo."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB").resize((320, 240)), np.int16)
    grain = np.random.default_rng(seed).normal(0, 12, (60, 80, 3)).repeat(4, 0).repeat(4, 1)
    out = io.BytesIO()
    Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=75)
    return out.getvalue()
