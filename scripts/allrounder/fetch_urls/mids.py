"""Looks up the Open Images class of a synset: tables/openimages.csv.

Not for how the table was made (tables/README.md) or for reading Open Images (sources/).
"""

import csv
from functools import cache
from pathlib import Path

TABLE = Path(__file__).parent.parent / "tables" / "openimages.csv"


@cache
def mids() -> dict[str, str]:
    """The machine id (MID, e.g. /m/0bt9lr) of each wnid in the table."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["wnid"]: row["mid"] for row in csv.DictReader(file)}
