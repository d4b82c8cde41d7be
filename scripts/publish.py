"""Publishes the dataset on the Hugging Face Hub: only what has changed, one commit a version.

Card and Croissant metadata are included. The tag is the git tag of the commit that data/dataset was
built from, or the version that the card names.
"""

import argparse
import sys
from pathlib import Path

from allrounder.core.commands import new_parser
from allrounder.core.errors import DataError, run
from allrounder.core.files import remove_tree, stage_lock
from allrounder.core.paths import DATASET
from allrounder.publish import files, parquet
from allrounder.publish.hub import Hub, compare, is_published


def main() -> None:
    """Parse, compare, publish."""
    parser = new_parser(__doc__, "0 published, or it was before; 1 refused or failed")
    parser.add_argument("where", choices=["hf"], help="hf: the Hugging Face Hub")
    parser.add_argument("name", help="owner/name")
    parser.add_argument("--dry-run", action="store_true", help="only say what would change")
    parser.add_argument("--tag", default="", help="the tag on the Hub, instead of the git tag")
    parser.add_argument("--private", action="store_true", help="create a private repository")
    form = parser.add_mutually_exclusive_group()
    words = "photos in Parquet, for more than 100,000, or 10,000 in a folder"
    form.add_argument("--parquet", action="store_true", help=words)
    words = "publish recipe.csv and the card, no photo"
    form.add_argument("--recipe-only", action="store_true", help=words)
    words = "also publish photos under these licences, for which you have permission, e.g. unknown"
    parser.add_argument(
        "--allow-licenses", "--allow-licences", nargs="+", default=[], metavar="LICENSE", help=words
    )
    args = parser.parse_args()
    hub = Hub(args.name, needs_token=not args.dry_run)
    local = files.local_files(DATASET)
    if not args.recipe_only:
        files.check_licences(DATASET, args.allow_licenses)
    account = "" if args.dry_run else hub.account()
    with stage_lock("publish") as work:
        try:
            publish(hub, _chosen(local, work / "new", args), work / "new", account, args)
        finally:
            remove_tree(work / "new")


def _chosen(local: dict[str, Path], work: Path, args: argparse.Namespace) -> dict[str, Path]:
    """The files to publish, by their path in the repository. Raises DataError for too many."""
    if args.recipe_only:
        return {name: path for name, path in local.items() if name in files.RECIPE}
    if args.parquet:
        tables = {name: path for name, path in local.items() if name in files.TABLES}
        local = tables | parquet.pack(DATASET, work)
    files.check_limits(local)
    return local


def publish(
    hub: Hub, local: dict[str, Path], work: Path, account: str, args: argparse.Namespace
) -> None:
    """Publish the files, or say what would change. Raises DataError for a tag of other content.

    The texts that are written for the Hub go to `work`.
    """
    git_tag, date = files.commit_facts()
    tag = args.tag or git_tag or files.version_of(DATASET)
    doi = files.stated_doi(Path("CITATION.cff"))
    owner = hub.name.partition("/")[0]
    facts = files.Publication(hub.url, owner, owner == account, date, doi)
    work.mkdir(exist_ok=True)
    for name, text in files.published_texts(local, facts).items():
        local[name] = work / name
        local[name].write_bytes(text)
    remote = hub.remote()
    if tag in remote.tags:
        if not is_published(local, hub.remote(tag).files):
            raise DataError(f"{hub.name} has another version under the tag {tag}; choose a --tag")
        print(f"{tag} is published already: {hub.url}/tree/{tag}")
        return
    changes = compare(local, remote.files)
    print(f"{hub.name} {tag}: {changes.line()}")
    if args.dry_run:
        return
    if not remote.head:
        hub.create(args.private)
        remote = hub.remote()
    commit = remote.head
    if changes:
        commit = hub.commit(changes, local, f"Version {tag}", remote.head)
    hub.tag(tag, commit)
    print(f"published: {hub.url}/tree/{tag}")


if __name__ == "__main__":
    sys.exit(run(main))
