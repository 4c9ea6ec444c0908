"""The corpus of public captures with ground truth: nothing that was right may become wrong.

``baseline.json`` holds what is not right yet, as the scoring tool beside the corpus wrote it
(``--json``, the paths of this machine left out).
"""

import json
import subprocess
import sys
from pathlib import Path

BASELINE = Path(__file__).parent / "baseline.json"


def test_nothing_that_was_right_is_wrong(corpus: Path, tmp_path: Path) -> None:
    tool = corpus.parent / "tools" / "score_corpus.py"
    assert tool.is_file(), f"the scoring tool is missing: {tool}"
    command = f"{sys.executable} -m sniffer.cli.main"
    result = tmp_path / "result.json"
    done = subprocess.run(
        [
            sys.executable,
            str(tool),
            *("--command", command, "--corpus", str(corpus), "--jobs", "2"),
            *("--baseline", str(BASELINE), "--json", str(result)),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    # A run that scored nothing would also find nothing wrong.
    before, now = json.loads(BASELINE.read_text()), json.loads(result.read_text())
    assert len(now["files"]) >= before["captures"]
    for row, (right, total) in before["totals"].items():
        assert now["totals"][row][0] >= right, (row, now["totals"][row], [right, total])
