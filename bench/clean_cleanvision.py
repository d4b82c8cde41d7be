"""Finds duplicates with cleanvision, in whose environment it runs: FOLDER, then the JSON file.

Used by clean.py and duplicates.py; it prints nothing of interest.
"""

import json
import sys
from pathlib import Path

from cleanvision import Imagelab

if __name__ == "__main__":
    folder, out = map(Path, sys.argv[1:])
    lab = Imagelab(data_path=str(folder))
    lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, verbose=False)
    found = {
        name: [[str(Path(path).relative_to(folder.absolute())) for path in part] for part in parts]
        for name in ("exact_duplicates", "near_duplicates")
        for parts in [lab.info[name]["sets"]]
    }
    found["photos"] = len(lab.issues)
    out.write_text(json.dumps(found), encoding="utf-8")
