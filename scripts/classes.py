"""Chooses classes: searches synsets, lists subtrees and VOC labels, edits params.yaml."""

import argparse
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from allrounder.catalogue.synsets import wnid_of
from allrounder.classes import views
from allrounder.classes.search import resolve, search
from allrounder.core.commands import new_parser
from allrounder.core.errors import run
from allrounder.core.paths import PARAMS
from allrounder.core.text import print_json, print_lines


def main() -> None:
    """Parse, look up or edit, print."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is not an error
    args = _parser().parse_args()
    values, lines = args.act(args)
    if args.json:
        print_json(values)
    else:
        print_lines(lines)


Output = tuple[object, list[str]]
"""What a command prints: values for programs, lines for people."""


def _search(args: argparse.Namespace) -> Output:
    query = " ".join(args.query)
    found = search(query)
    values = [{**views.fields(match.synset), "match": match.rank.name.lower()} for match in found]
    return values, views.matches_table(query, found, _screen(args))


def _tree(args: argparse.Namespace) -> Output:
    nodes = views.walk_subtree(wnid_of(resolve(" ".join(args.query))))
    counts = ("depth", "below", "ilsvrc_below")
    values = [
        views.fields(node.synset) | {name: getattr(node, name) for name in counts} for node in nodes
    ]
    return values, views.tree_table(nodes, _screen(args))


def _voc(args: argparse.Namespace) -> Output:
    from allrounder.params.loading import load_params

    classes = load_params(args.params).classes
    if args.label:
        values = [views.fields(synset) for synset in views.of_voc(args.label)]
        return values, views.voc_table(args.label, classes, _screen(args))
    return views.coverage(classes), views.coverage_table(classes, _screen(args))


def _add(args: argparse.Namespace) -> Output:
    from allrounder.classes.change import add  # takes 0.3 s to import

    change = add(args.params, " ".join(args.query), args.voc)
    return asdict(change), change.lines


def _remove(args: argparse.Namespace) -> Output:
    from allrounder.classes.change import remove

    change = remove(args.params, " ".join(args.query))
    return asdict(change), change.lines


def _screen(args: argparse.Namespace) -> views.Screen:
    return views.screen(sys.stdout, args.all)


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="everything, for programs")
    shared.add_argument("--all", action="store_true", help="more than a screen")
    words = "params file (default: %(default)s)"
    shared.add_argument("--params", type=Path, default=PARAMS, metavar="FILE", help=words)
    parser = new_parser(__doc__)
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
