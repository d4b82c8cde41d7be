"""Chooses classes: searches synsets, lists subtrees and VOC labels, edits params.yaml."""

import argparse
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from allrounder.catalogue.synsets import wnid_of
from allrounder.classes import views as classviews
from allrounder.classes.search import resolve, search
from allrounder.classes.views import screen, walk_subtree
from allrounder.core.errors import run
from allrounder.core.paths import PARAMS
from allrounder.core.text import print_json, print_lines

if TYPE_CHECKING:
    from allrounder.classes.change import Change


def main() -> None:
    """Parse, look up or edit, print."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is not an error
    args = _parser().parse_args()
    args.act(args)


def _search(args: argparse.Namespace) -> None:
    query = " ".join(args.query)
    found = search(query)
    if args.json:
        print_json([{**classviews.fields(m.synset), "match": m.rank.name.lower()} for m in found])
    else:
        print_lines(classviews.matches_table(query, found, screen(sys.stdout, args.all)))


def _tree(args: argparse.Namespace) -> None:
    nodes = walk_subtree(wnid_of(resolve(" ".join(args.query))))
    if args.json:
        counts = ("depth", "below", "ilsvrc_below")
        print_json(
            [
                classviews.fields(node.synset) | {name: getattr(node, name) for name in counts}
                for node in nodes
            ]
        )
    else:
        print_lines(classviews.tree_table(nodes, screen(sys.stdout, args.all)))


def _voc(args: argparse.Namespace) -> None:
    from allrounder.params.loading import load_params

    classes = load_params(args.params).classes
    on = screen(sys.stdout, args.all)
    if args.label and args.json:
        print_json([classviews.fields(synset) for synset in classviews.of_voc(args.label)])
    elif args.label:
        print_lines(classviews.voc_table(args.label, classes, on))
    elif args.json:
        print_json(classviews.coverage(classes))
    else:
        print_lines(classviews.coverage_table(classes, on))


def _add(args: argparse.Namespace) -> None:
    from allrounder.classes.change import add  # takes 0.3 s to import

    _print_change(add(args.params, " ".join(args.query), args.voc), args)


def _remove(args: argparse.Namespace) -> None:
    from allrounder.classes.change import remove

    _print_change(remove(args.params, " ".join(args.query)), args)


def _print_change(change: "Change", args: argparse.Namespace) -> None:
    if args.json:
        print_json(asdict(change))
    else:
        print_lines(change.lines)


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="everything, for programs")
    shared.add_argument("--all", action="store_true", help="more than a screen")
    shared.add_argument("--params", type=Path, default=PARAMS, metavar="FILE")
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, act, words in (
        ("search", _search, "search synsets by name, synonym, misspelling, wnid or ILSVRC index"),
        ("tree", _tree, "list a synset and all synsets below it, with counts"),
        ("voc", _voc, "list synsets for a VOC label, or which labels the params cover"),
        ("add", _add, "add a class to the params: a wnid or name, with + its whole subtree"),
        ("remove", _remove, "remove a class from the params"),
    ):
        command = commands.add_parser(name, help=words, description=words, parents=[shared])
        command.set_defaults(act=act)
        if name == "voc":
            command.add_argument("label", nargs="?", help="one of VOC's 20, e.g. dog")
        else:
            command.add_argument("query", nargs="+", help="a name or a wnid")
        if name == "add":
            command.add_argument(
                "--voc", default="", metavar="LABEL", help="the VOC label, or null for none"
            )
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
