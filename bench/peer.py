"""Finds duplicates with cleanvision, in its own environment: `peer.py OUT.json FOLDER`."""

import json
import sys
from pathlib import Path

from cleanvision import Imagelab

if __name__ == "__main__":
    lab = Imagelab(data_path=sys.argv[2])
    lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, verbose=False)
    names = ("exact_duplicates", "near_duplicates")
    found = {name: lab.info[name]["sets"] for name in names} | {"photos": len(lab.issues)}
    Path(sys.argv[1]).write_text(json.dumps(found, default=str), encoding="utf-8")
