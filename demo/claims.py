"""What the demo claims, each as a computation over what is there; for each a sabotage test makes it false.

Every function returns whether the claim holds, and how that was computed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo.story import NOT_REFUSED, WRONGLY

Held = tuple[bool, str]
WINDOW = 48


def offline(*words: str) -> subprocess.CompletedProcess[str]:
    """Run verify.py alone: isolated, without site packages, so that nothing of ours can help it."""
    script = str(files("strongroom") / "verify.py")
    return subprocess.run([sys.executable, "-I", "-S", script, *words], capture_output=True, text=True)  # noqa: S603 - ours


def admitted(found: Sequence[object], expected: object) -> Held:
    """Judged as a gateway judges, the repository gives this version and no other first."""
    return list(found[:1]) == [
        expected
    ], f"fifteen checks from TUF root to plaintext digest; admitted: {found[0] if found else 'nothing'}"


def receipts_verify(receipts: Sequence[Path], policy: Path, openings: Path) -> Held:
    """Every receipt verifies offline."""
    trust = ["--policy", str(policy), "--openings", str(openings)]
    failed = [path.name for path in receipts if offline("receipt", str(path), *trust).returncode != 0]
    how = f"verify.py, standard library only, on {len(receipts)} receipts"
    return bool(receipts) and not failed, how if not failed else f"{how}; failed: {failed[0]}"


def receipt_binds_answer(receipt: Path, answer: Mapping[str, Any], policy: Path, openings: Path, folder: Path) -> Held:
    """A receipt holds for its own answer and fails for another one."""
    own, other = folder / "answer.json", folder / "other-answer.json"
    own.write_text(json.dumps(answer))
    changed = json.loads(json.dumps(answer))
    for output in changed["outputs"]:
        if output["datatype"] == "FP32":
            output["data"] = [float(np.nextafter(np.float32(output["data"][0]), np.float32(1)))]
    other.write_text(json.dumps(changed))
    trust = ["--policy", str(policy), "--openings", str(openings)]
    codes = [offline("receipt", str(receipt), *trust, "--answer", str(path)).returncode for path in (own, other)]
    return codes == [0, 4], f"verify.py --answer: exit {codes[0]} for the answer, {codes[1]} for one with a bit changed"


def cosigned(code: int, receipt: Path, policy: Path, openings: Path) -> Held:
    """A past decision's receipt now carries the cosignature that the trust policy demands."""
    if code != 0 or not receipt.exists():
        return False, f"the receipt could not be had: exit {code}"
    words = ["--policy", str(policy), "--openings", str(openings), "--cosigned"]
    checked = offline("receipt", str(receipt), *words).returncode
    return checked == 0, f"verify.py --cosigned: exit {checked}; the witness is a process with a key of its own"


def same_scores(answered: NDArray[np.float64], source: NDArray[np.float64], tolerance: float) -> Held:
    """The gateway's scores are the source model's."""
    gap = float(np.max(np.abs(answered - source))) if len(answered) == len(source) and len(source) else float("inf")
    return gap <= tolerance, f"largest distance {gap:.2g} over {len(source)} applicants (tolerance {tolerance:g})"


def replays(runs: Sequence[tuple[int, int, str]], expected: Mapping[str, float]) -> Held:
    """Decisions came out again, bit for bit, in fresh processes.

    Args:
        runs: exit code, batch size and standard output of each `strongroom replay --json`.
        expected: the score that the caller got, by decision id.
    """
    seen = 0
    for code, _, output in runs:
        if code != 0:
            return False, f"a replay ended with exit code {code}"
        for one in json.loads(output):
            if expected.get(one["decision_id"]) != one["score"]:
                return False, f"decision {one['decision_id']} came out differently"
            seen += 1
    sizes = sorted({batch for _, batch, _ in runs})
    return seen > 0 and len(sizes) > 1, f"{seen} decisions in {len(runs)} fresh processes, batches of {sizes}"


def all_refused(refused: Sequence[Mapping[str, Any]]) -> Held:
    """Everything that must not work was refused, with a reason and an entry."""
    wrong = (NOT_REFUSED, WRONGLY)
    bad = [one["what"] for one in refused if one["reason"].startswith(wrong) or not one["entry"]]
    how = f"{len(refused)} attempts, each with its reason and its place in a log"
    return bool(refused) and not bad, how if not bad else f"without the right refusal or its entry: {bad[0]}"


def drift_shows(before: Mapping[str, Any], after: Mapping[str, Any], column: str) -> Held:
    """PSI is quiet on held-out applicants and alerts on drifted ones."""
    quiet = [row for row in before["drift"] if row["verdict"] == "alert"]
    loud = [row for row in after["drift"] if row["column"] == column and row["verdict"] == "alert"]
    figure = loud[0]["psi"] if loud else None
    held = not quiet and bool(loud) and bool(after["alerts"])
    return held, f"no alert on {before['rows']} applicants; PSI of {column} {figure} after the shift, alert recorded"


def erased(
    found_before: int, found_after: int, replay_code: int, replay_output: str, log_code: int, same_past: bool
) -> Held:
    """The key was on disk and is gone, the record is unreadable, the log still verifies."""
    error = json.loads(replay_output).get("error") if replay_output.startswith("{") else None
    held = (
        found_before > 0 and found_after == 0 and replay_code == 3 and error == "erased" and log_code == 0 and same_past
    )
    return held, (
        f"wrapped key found {found_before} time(s) before, {found_after} after; replay: exit {replay_code}, {error}; "
        f"verify.py log: exit {log_code}, past {'unchanged' if same_past else 'CHANGED'}"
    )


def occurrences(folders: Iterable[Path], needle: bytes) -> int:
    """How often a byte string stands in any file below these folders."""
    count = 0
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                count += path.read_bytes().count(needle)
    return count


def no_plaintext(folders: Sequence[Path], model: bytes, control: Path) -> Held:
    """No window of the model's plaintext stands in any file of room and node; the search itself is shown to work."""
    windows = [model[at : at + WINDOW] for at in range(0, len(model) - WINDOW, max(1, len(model) // 24))]
    # windows of zeroes or repeats stand in many files
    telling = [window for window in windows if len(set(window)) > WINDOW // 4]
    found = sum(occurrences(folders, window) for window in telling)
    caught = sum(control.read_bytes().count(window) for window in telling)
    held = found == 0 and bool(telling) and caught >= len(telling)
    return (
        held,
        f"{len(telling)} windows of the ONNX file: {found} in room and node, {caught} in the author's own package",
    )


def public_tool_accepts(code: int, changed_code: int) -> Held:
    """`model_signing verify` accepts the unsealed model, and refuses it with a byte changed."""
    return (
        code == 0 and changed_code != 0,
        f"model_signing verify: exit {code}; with a changed byte: exit {changed_code}",
    )


def went_back(champions: Sequence[str], first: str, second: str, history: str | None) -> Held:
    """The second version answered, then after the roll-back the first one again, and history says so."""
    held = list(champions) == [first, second, first] and history == second
    return held, f"answers came from {' > '.join(c[:8] for c in champions)}; history names the second in between"


def halted(answers: Sequence[int]) -> Held:
    """One person halts, one lift is not enough, two are.

    Args:
        answers: HTTP statuses before the halt, after it, after one lift, after two.
    """
    held = len(answers) == 4 and answers[0] == answers[3] == 200 and answers[1] != 200 and answers[2] != 200
    return held, f"statuses before, halted, one lift, two lifts: {list(answers)}"


def whole(fsck_code: int, fsck_output: str) -> Held:
    """Nothing that is stored differs from what was signed."""
    try:
        found = json.loads(fsck_output)
    except ValueError:
        return False, "fsck gave no readable answer"
    held = fsck_code == 0 and found["findings"] == 0 and len(found["checked"]) > 3
    return held, f"fsck: {found['findings']} findings in {len(found['checked'])} places"


def accounted(code: int, lines: str) -> Held:
    """Shards and governance log account for each other."""
    return code == 0 and bool(
        lines.strip()
    ), f"verify.py shards: exit {code}; {lines.strip().splitlines()[0] if lines.strip() else ''}"
