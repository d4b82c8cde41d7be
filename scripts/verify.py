"""Checks this version: its local files, its DVC remote, or its URLs on the web.

Without an option it compares every file of the outputs with dvc.lock and the manifest, and prints
how to fix each bad, missing or extra file. It changes no file of the version, cache or remote.
"""

import argparse
import sys
import time

from allrounder.core.class_cache import drop_trusted_caches
from allrounder.core.commands import new_parser
from allrounder.core.errors import DataError, run
from allrounder.core.files import stage_lock
from allrounder.core.progress import progress
from allrounder.core.text import print_json, print_lines
from allrounder.history.versions import outputs, repository
from allrounder.verify import local as verifylocal
from allrounder.verify import remote as verifyremote
from allrounder.verify.drift import sample_photos, taken_photos
from allrounder.verify.findings import Kind, findings_json, findings_lines


def main() -> None:
    """Parse, check, report."""
    args = _arguments()
    if args.web:
        _web(args.sample, args.json)
    else:
        _files(args)


def _arguments() -> argparse.Namespace:
    parser = new_parser(__doc__, "0 no problem; 1 problems found")
    what = parser.add_mutually_exclusive_group()
    words = "check that every object is on the DVC remote and intact"
    what.add_argument("--remote", action="store_true", help=words)
    words = "request the photos' URLs again: same, changed, gone?"
    what.add_argument("--web", action="store_true", help=words)
    words = "with --web: request only N photos, spread over the classes, the same ones in every run"
    parser.add_argument("--sample", type=int, metavar="N", help=words)
    words = "with --remote: read the Kth of N parts of the objects, e.g. another one every day"
    parser.add_argument("--subset", type=_subset, metavar="K/N", help=words)
    words = "with --remote: start to read no further object after S seconds"
    parser.add_argument("--max-seconds", type=int, metavar="S", help=words)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    if not args.remote and (args.subset or args.max_seconds is not None):
        parser.error("--subset and --max-seconds are for --remote")
    if (args.max_seconds or 0) < 0:
        parser.error("--max-seconds must be at least 0")
    if args.sample is not None and not args.web:
        parser.error("--sample is for --web")
    if args.sample is not None and args.sample < 1:
        parser.error("--sample: must be 1 or more")
    return args


def _subset(text: str) -> verifyremote.Subset:
    number, _, parts = text.partition("/")
    if not (number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts)):
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N with K from 1 to N, e.g. 1/7")
    return verifyremote.Subset(int(number), int(parts))


def _files(args: argparse.Namespace) -> None:
    where, unit = ("remote", "objects") if args.remote else ("local", "files")
    end = None if args.max_seconds is None else time.monotonic() + args.max_seconds
    with repository() as repo, progress(unit="B", unit_scale=True, desc=f"verify {where}") as bar:
        if args.remote:
            subset = args.subset or verifyremote.Subset()
            reports = verifyremote.check(
                repo,
                outputs(repo),
                bar.update,
                subset,
                lambda: end is not None and time.monotonic() >= end,
            )
        else:
            reports = verifylocal.check(repo, outputs(repo), bar.update)
    if args.json:
        print_json(findings_json(where, reports, unit))
    else:
        print_lines(findings_lines(reports, unit))
    if bad := [problem for report in reports for problem in report.problems]:
        if not args.remote and any(problem.kind is Kind.BAD for problem in bad):
            drop_trusted_caches()  # they may have the same damage
        pulls = any("dvc pull" in problem.fix for problem in bad)
        more = "; if dvc pull fails: python scripts/doctor.py" if pulls else ""
        raise DataError(f"{len(bad)} {unit} do not match this version; see above{more}")


def _web(count: int | None, json: bool) -> None:
    from allrounder.params.loading import load_params
    from allrounder.verify import web  # slow to import

    params = load_params()
    with stage_lock("verify") as folder:
        found = taken_photos(folder)
        chosen = found if count is None else sample_photos(found, count)
        remembered = web.Validators(folder / "validators.json")
        with progress(total=len(chosen), unit=" photos", desc="verify web") as bar:
            result = web.check(params, chosen, len(found), remembered, bar.update)
    if json:
        print_json(web.web_json(result))
    else:
        print_lines(web.web_lines(result))
    web.raise_if_drifted(result)


if __name__ == "__main__":
    sys.exit(run(main))
