"""Says whether this version is what it should be: here, on the remote, or still on the web.

Without an option: every file of the stages' outputs against dvc.lock and the manifest. It changes
nothing, and says of each bad, missing or extra file what to do about it.
"""

import argparse
import sys

from tqdm import tqdm

from allrounder.core.errors import DataError, run
from allrounder.core.files import stage_lock
from allrounder.history.versions import outputs, repository
from allrounder.verify import local as verifylocal
from allrounder.verify import remote as verifyremote
from allrounder.verify.drift import sample_photos, taken_photos
from allrounder.verify.findings import findings_json, findings_lines, print_json, print_lines

EPILOG = "exit codes: 0 all well; 1 something is not as it should be; 2 bad usage or params"


def main() -> None:
    """Parse, check, report."""
    args = _arguments()
    if args.web:
        _web(args.sample, args.json)
    else:
        _files(args.remote, args.json)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--remote", action="store_true", help="every object is on the DVC remote, and whole"
    )
    what.add_argument(
        "--web", action="store_true", help="ask the photos' URLs again: the same, changed, gone?"
    )
    parser.add_argument(
        "--sample",
        type=int,
        metavar="N",
        help="with --web: ask N photos only, spread over the classes, always the same ones",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    if args.sample is not None and not args.web:
        parser.error("--sample is for --web")
    if args.sample is not None and args.sample < 1:
        parser.error("--sample: must be 1 or more")
    return args


def _files(remote: bool, json: bool) -> None:
    where, unit = ("remote", "objects") if remote else ("local", "files")
    check = verifyremote.check if remote else verifylocal.check
    with (
        repository() as repo,
        tqdm(unit="B", unit_scale=True, disable=None, desc=f"verify {where}") as bar,
    ):
        reports = check(repo, outputs(repo), bar.update)
    if json:
        print_json(findings_json(where, reports, unit))
    else:
        print_lines(findings_lines(reports, unit))
    bad = sum(len(report.problems) for report in reports)
    if bad:
        raise DataError(f"{bad} {unit} are not as this version has them; see above")


def _web(count: int | None, json: bool) -> None:
    from allrounder.params.loading import load_params
    from allrounder.verify import web as verifyweb
    from allrounder.verify import webreport  # slow to import
    from allrounder.verify.web import Validators

    params = load_params()
    with stage_lock("verify") as folder:
        found = taken_photos(folder)
        asked = found if count is None else sample_photos(found, count)
        remembered = Validators(folder / "validators.json")
        with tqdm(total=len(asked), unit=" photos", disable=None, desc="verify web") as bar:
            result = verifyweb.check(params, asked, len(found), remembered, bar.update)
    if json:
        print_json(webreport.as_json(result))
    else:
        print_lines(webreport.lines(result))
    webreport.raise_if_drifted(result)


if __name__ == "__main__":
    sys.exit(run(main))
