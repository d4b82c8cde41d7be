"""Compares scripts/verify.py with md5sum and sha256sum on the same files; see README.md.

Exits 1 when the target is missed, 2 when the benchmark itself cannot run.
"""

import argparse
import hashlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from contenders import SCRIPTS
from download import PARAMS, machine
from measure import BenchError, Run, Target, ratios, table, timed

PHOTO_BYTES = 100_000
SHARE = 1.0
"""Of the rate of the two tools, whose hashes ours looks at: DVC's and the manifest's."""
_COLUMNS = (
    "file,split,class_index,wnid,label,voc,synset,image_id,url,source,sha256,width,height,"
    "license,author,landing_url"
)
_WNID = "n02109961"
_STAGES = """stages:
  split:
    cmd: "true"
    outs: [data/dataset]
"""


def main() -> int:
    """Set up, compare, report."""
    options = _options()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=options.out) as name:
            project = _project(Path(name) / "project", options.photos, options.scripts.resolve())
            rounds = [_round(project, options.photos, n) for n in range(options.rounds)]
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    mine, theirs = ([runs[place].seconds for runs in rounds] for place in (0, 1))
    spread = ratios(theirs, mine)
    target = Target("verify: rate / md5sum and sha256sum", spread["median"], SHARE, spread=spread)
    read = options.photos * PHOTO_BYTES / statistics.median(mine) / 1e6
    print(f"\nours reads {read:.0f} MB/s\n{target.line()}")
    if options.json:
        runs = [[run.row() for run in pair] for pair in rounds]
        report = {"machine": machine(), "target": vars(target) | {"met": target.met}, "runs": runs}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if target.met else 1


def _round(project: Path, photos: int, number: int) -> tuple[Run, Run]:
    ours = [sys.executable, "scripts/verify.py"]
    find = "find data/dataset -type f -print0 | xargs -0 -P 2 -n 500"  # two at a time, as cores
    words = f"{find} md5sum > /dev/null && {find} sha256sum > /dev/null"
    turns = [("ours", ours), ("tools", ["sh", "-c", words])]
    runs = {
        name: timed(name, photos, command, project)
        for name, command in turns[:: 1 - number % 2 * 2]
    }
    pair = runs["ours"], runs["tools"]
    print(f"round {number + 1}\n{table(pair)}")
    return pair


def _project(folder: Path, photos: int, scripts: Path) -> Path:
    """A project whose one output is a dataset of random bytes, with its manifest and lock."""
    dataset = folder / "data/dataset"
    (dataset / "train/husky").mkdir(parents=True)
    rng, rows = random.Random(1), [_COLUMNS]
    for number in range(photos):
        body, file = rng.randbytes(PHOTO_BYTES), f"train/husky/{number:06}.jpg"
        (dataset / file).write_bytes(body)
        digest = hashlib.sha256(body).hexdigest()
        rows.append(f"{file},train,0,{_WNID},husky,dog,{_WNID},{number},u,csv,{digest},9,9,,,")
    (dataset / "manifest.csv").write_text("\n".join([*rows, ""]), encoding="utf-8")
    (folder / "scripts").symlink_to(scripts)
    (folder / "params.yaml").write_bytes(PARAMS.read_bytes())
    (folder / "dvc.yaml").write_text(_STAGES, encoding="utf-8")
    dvc = [sys.executable, "-m", "dvc"]
    for command in (["git", "init", "-q"], [*dvc, "init", "-q"], [*dvc, "commit", "-f", "-q"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"{' '.join(command)}: {done.stderr.strip()}")
    return folder


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="500 photos instead of 10,000, one round")
    add("--rounds", type=int, help="turns of the comparison (default: 5, quick: 1)")
    add("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    add("--out", type=Path, metavar="DIR", help="where the project goes (default: a fresh folder)")
    add("--scripts", type=Path, default=SCRIPTS, help="the scripts folder to measure")
    options = parser.parse_args()
    options.photos = 500 if options.quick else 10_000
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.out = options.out or Path(tempfile.gettempdir())
    return options


if __name__ == "__main__":
    sys.exit(main())
