"""How fast does verify.py check a dataset, compared with md5sum and sha256sum on its files?"""

import hashlib
import random
import subprocess
import sys
from pathlib import Path

from harness import BenchError, Report, main, project, ratios, timed

PHOTO_BYTES = 100_000
SHARE = 1.0  # of the rate of the two tools, whose hashes verify.py compares
WNID = "n02109961"
COLUMNS = (
    "file,split,class_index,wnid,label,voc,synset,image_id,url,source,sha256,width,height,"
    "license,author,landing_url"
)


def measure(report: Report, folder: Path) -> None:
    """Compare the two on the same files, two at a time."""
    count = 500 if report.options.quick else 10_000
    place = _made(folder / "project", count, report.options.scripts)
    find = "find data/dataset -type f -print0 | xargs -0 -P 2 -n 500"
    tools = f"{find} md5sum > /dev/null && {find} sha256sum > /dev/null"

    mine, other = report.turns(
        "verify",
        lambda: timed("verify", count, [sys.executable, "scripts/verify.py"], place),
        lambda: timed("md5sum, sha256sum", count, ["sh", "-c", tools], place),
    )
    report.target("verify: rate / md5sum and sha256sum", ratios(mine, other), SHARE)


def _made(folder: Path, photos: int, scripts: Path) -> Path:
    """A project whose one output is a dataset of random bytes, with its manifest and lock."""
    project(folder, scripts, classes={WNID: "dog"})
    dataset = folder / "data/dataset"
    (dataset / "train/husky").mkdir(parents=True)
    rng, rows = random.Random(1), [COLUMNS]
    for number in range(photos):
        body, file = rng.randbytes(PHOTO_BYTES), f"train/husky/{number:06}.jpg"
        (dataset / file).write_bytes(body)
        digest = hashlib.sha256(body).hexdigest()
        rows.append(f"{file},train,0,{WNID},husky,dog,{WNID},{number},u,csv,{digest},9,9,,,")
    (dataset / "manifest.csv").write_text("\n".join([*rows, ""]), encoding="utf-8")
    stages = 'stages:\n  split:\n    cmd: "true"\n    outs: [data/dataset]\n'
    (folder / "dvc.yaml").write_text(stages, encoding="utf-8")
    dvc = [sys.executable, "-m", "dvc"]
    for command in (["git", "init", "-q"], [*dvc, "init", "-q"], [*dvc, "commit", "-f", "-q"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"{' '.join(command)}: {done.stderr.strip()}")
    return folder


if __name__ == "__main__":
    sys.exit(main(str(__doc__), measure))
