"""What each study left in `bench/<name>.json`, and the bars that it is held against. Pure but for reading and keeping.

A study prints its own figures for whoever runs it; this module takes one or two of them for the page.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.processes import HERE
from bench.ratios import Bar

Figures = dict[str, Any]


def keep(name: str, figures: Figures, folder: Path = HERE) -> None:
    """Leave a study's figures, with what they were measured on.

    Args:
        name: of the study.
        figures: as JSON has them.
        folder: `bench`.

    Raises:
        KeyError: a figure that the page looks for is not among them; nothing was kept.
    """
    for held in HELD:
        if held.study == name:
            held.of(figures)
    about = {
        "machine": {"cpus": os.cpu_count(), "arch": platform.machine(), "system": platform.release()},
        "python": platform.python_version(), "load_average": round(os.getloadavg()[0], 2),
    }  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps({**about, **figures}, indent=1) + "\n")


@dataclass(frozen=True, slots=True)
class Held:
    """A figure of a study.

    Attributes:
        study: its name.
        bar: what the figure is, and what it must come to.
        of: finds it in the study's figures.
    """

    study: str
    bar: Bar
    of: Callable[[Figures], float]


def _least_share(found: Figures) -> float:
    # of what grows by itself and is asked as before: the combined size has a line of its own
    return min(float(one["share"]) for one in found["points"] if one["asked"] == 1 and _grown(one) == 1)


def _all_at_once(found: Figures) -> float:
    return min(float(one["share"]) for one in found["points"] if _grown(one) == 4)


def _grown(point: Figures) -> int:
    usual = {"models": 1, "policies": 36, "principals": 1000, "entries": 0}
    return sum(point[name] != value for name, value in usual.items())


def _largest_rss(found: Figures) -> float:
    return max(float(one["worker_rss_mib"]["largest"]) for one in found["runs"].values())


HELD: Final = (
    Held(
        "ledger", Bar("append_per_s", "ledger: records appended a second in batches, one core", at_least=150_000),
        lambda found: float(max(one["records_per_cpu_s"] for one in found["append"])),
    ),
    Held(
        "ledger", Bar("verify_per_s", "ledger: leaves verified a second, one core", at_least=300_000),
        lambda found: float(found["check"]["verify_leaves_per_cpu_s"]),
    ),
    Held(
        "ledger", Bar("proof_ms", "ledger: inclusion proof at 50 million entries by a new reader, ms", at_most=1.0),
        lambda found: float(found["prove"]["new_reader_ms"]["median"]),
    ),
    Held(
        "ledger", Bar("proof_warm_ms", "ledger: the same by a reader that has proven others, ms", at_most=1.0),
        lambda found: float(found["prove"]["same_reader_ms"]["median"]),
    ),
    Held(
        "ledger", Bar("record_bytes", "ledger: bytes a record on disk, payload (700) and published hashes included"),
        lambda found: float(found["storage_bytes_per_record"]["total"]),
    ),
    Held(
        "explain", Bar("with_codes", "reason codes: decisions a second, of those without them", at_least=0.25),
        lambda found: float(found["interventional"]["ratio"]),
    ),
    Held(
        "explain", Bar("with_codes_path", "reason codes, path-dependent: the same", at_least=0.25),
        lambda found: float(found["path-dependent"]["ratio"]),
    ),
    Held(
        "parquet", Bar("known", "a Parquet file, subjects known: rows a second, of plain onnxruntime", 0.5),
        lambda found: float(found["known"]["of_plain"]),
    ),
    Held(
        "parquet", Bar("new", "a Parquet file, every subject new: the same"),
        lambda found: float(found["new"]["of_plain"]),
    ),
    Held(
        "scaling", Bar("alone", "one thing grown at a time: least share of a small node's throughput", 0.9),
        _least_share,
    ),
    Held("scaling", Bar("all", "all of them grown at once: the same", 0.9), _all_at_once),
    Held(
        "halt", Bar("repository_s", "halt through the repository: longest time to the last answer, s", at_most=2.0),
        lambda found: float(found["repository"]["max_s"]),
    ),
    Held(
        "halt", Bar("file_s", "halt by a file: the same", at_most=2.0), lambda found: float(found["file"]["max_s"])
    ),
    Held("overload", Bar("memory_mib", "memory of a worker under ten times overload, MiB (RSS)"), _largest_rss),
    Held(
        "battery", Bar("battery_s", "PD battery with report, 30,000 rows, s by the clock", at_most=60.0),
        lambda found: float(found["ours"]["wall_s"]),
    ),
    Held(
        "battery", Bar("beside_script", "PD battery: processor time of a notebook script over ours"),
        lambda found: float(found["ratio_processor"]),
    ),
    Held(
        "battery-million", Bar("million_s", "PD battery with report, 1,000,000 rows, s by the clock", at_most=300.0),
        lambda found: float(found["ours"]["wall_s"]),
    ),
    Held(
        "plan", Bar("plan_s", "capital plan of 1,000,000 exposures beyond scoring, s of processor", at_most=60.0),
        lambda found: float(found["processor_s"]),
    ),
)  # fmt: skip


def kept(folder: Path = HERE) -> list[tuple[Held, float]]:
    """Every figure whose study was run, in the order of `HELD`."""
    files = {name: folder / f"{name}.json" for name in dict.fromkeys(one.study for one in HELD)}
    found = {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}
    return [(one, one.of(found[one.study])) for one in HELD if one.study in found]
