"""The results for people: tables for a terminal, and the page and the plot in `docs/`.

python -m bench.report            writes docs/reference/benchmarks.md and docs/benchmarks.svg from bench/results.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from typing import Any, Final

from markupsafe import escape
from rich.table import Table

from bench.processes import HERE, ROOT
from bench.ratios import BARS, Bar, Run, median, pick
from bench.studies import kept

PAGE: Final = ROOT / "docs" / "reference" / "benchmarks.md"
PLOT: Final = ROOT / "docs" / "benchmarks.svg"
BEGIN: Final = "<!-- from bench/results.json: begin (python -m bench.report) -->"
END: Final = "<!-- from bench/results.json: end -->"
NAMES: Final = {
    "strongroom": "Strongroom, all controls on", "bare": "bare limit (granian)", "bare_direct": "bare limit 2 (uvloop)",
    "fastapi": "FastAPI by hand", "mlserver": "MLServer", "kserve": "KServe", "bentoml": "BentoML", "mlflow": "MLflow",
    "litserve": "LitServe", "ray": "Ray Serve", "onedal": "ours with oneDAL", "xgboost": "ours with native XGBoost",
    "notebook": "the notebook script beside our PD battery",
}  # fmt: skip
COLUMNS: Final = ((1, 8), (1, 64), (32, 32), (1000, 8))
LOAD_LIMIT: Final = 3.0
LEAST_US: Final = 0.05
Row = list[str]


def servers(document: dict[str, Any]) -> list[str]:
    """Those that ran, in a fixed order."""
    ran = {run["server"] for run in document["runs"]}
    return [name for name in NAMES if name in ran]


def number(value: float | None, digits: int = 0) -> str:
    """For a table."""
    return "" if value is None else f"{value:,.{digits}f}"


def steady(runs: list[Run], name: str, rows: int, connections: int) -> list[Run]:
    """A server's usual runs; those of the session in which the core ran side by side, where it took part."""
    found = pick(
        runs, server=name, rows=rows, connections=connections, subjects="known", encoding="json", load="full",
        runtime="onnxruntime",
    )  # fmt: skip
    return pick(found, session="core") or found


def server_rows(document: dict[str, Any]) -> list[Row]:
    """One row a server: requests/s (p99 in ms) for each kind of request, start, memory."""
    rows = []
    runs: list[Run] = document["runs"]
    for name in servers(document):
        row = [NAMES[name]]
        for count, connections in COLUMNS:
            found = steady(runs, name, count, connections)
            rate, p99 = median(found), median(found, "p99_ms")
            row.append("" if rate is None else f"{number(rate)} ({number(p99, 1)})")
        starts = document["start_s"].get(name)
        row.append(number(statistics.median(starts), 2) if starts else "")
        row.append(number(document["memory"].get(name, {}).get("pss_mib")))
        rows.append(row)
    return rows


HEADS: Final = (
    "server", "1 row, 8 connections", "1 row, 64 connections", "32 rows, 32 connections", "1,000 rows, 8 connections",
    "start, s", "memory, MiB",
)  # fmt: skip


def figure(value: float) -> str:
    """With as many digits as are of use."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"


def judged(bar: Bar, value: float) -> Row:
    """One ratio beside its bar."""
    limit = ""
    if bar.at_least is not None:
        limit = f"at least {bar.at_least:,g}"
    elif bar.at_most is not None:
        limit = f"at most {bar.at_most:g}"
    met = bar.met(value)
    return [bar.words, figure(value), limit, {True: "met", False: "not met", None: ""}[met], bar.name]


def ratio_rows(document: dict[str, Any]) -> list[Row]:
    """Every ratio that was measured; those with a bar that were not, say so."""
    rows = []
    for bar in BARS:
        value = document["ratios"].get(bar.name)
        if value is not None:
            rows.append(judged(bar, value))
        elif bar.at_least is not None or bar.at_most is not None:
            limit = f"at least {bar.at_least:g}" if bar.at_least is not None else f"at most {bar.at_most:g}"
            rows.append([bar.words, "", limit, "not measured", bar.name])
    return rows


def study_rows() -> list[Row]:
    """What the studies found, each beside its bar."""
    return [[*judged(held.bar, value)[:4], f"`bench/{held.study}.json`"] for held, value in kept()]


SIDES: Final = {"ours": "our battery, in the sandbox, with its report", "script": "the script, without a report"}


def battery_part(found: dict[str, Any]) -> list[str]:
    """Our PD battery beside the notebook script: times, and which of our tests the script has done.

    Args:
        found: `bench/battery.json`.
    """
    rows = [
        [words, number(found[side]["wall_s"], 2), number(found[side]["processor_s"], 2)]
        for side, words in SIDES.items()
    ]
    rows.append(["the script over ours", figure(found["ratio_wall"]), figure(found["ratio_processor"])])
    tests = found["tests"]
    other = ", ".join(f"`{name}`" for name in tests["other_figure"])
    left_out = "\n".join(f"- `{name}`: {why}" for name, why in tests["not_done"].items())
    return [
        "## The PD battery beside a notebook script",
        f"{found['rows']:,} rows, 23 features, medians of {found['rounds']}: `bench/peers/notebook/script.py` does the "
        "same tests with public libraries ("
        + ", ".join(f"{name} {at}" for name, at in found["libraries"].items())
        + "). It isolates, signs, draws and documents nothing.",
        markdown(("", "by the clock, s", "processor, s"), rows),
        f"Of our {tests['ours']} answers the script gives {tests['script']}; {tests['same_figure']} of its figures are "
        f"ours to six digits. Draws of its own, or another method, give it other figures for {other}.",
        f"Not done by the script:\n\n{left_out}",
    ]


STEPS: Final = {
    "loop": "uvloop: polling, reading from sockets, calling back",
    "http": "reading the head and the body", "route": "which model and verb", "authenticate": "who asks",
    "authorise": "may they, by policy, limits included", "decode": "JSON to numbers, held against the protocol",
    "batch": "joining the requests that wait", "check": "input contract and input guard", "predict": "the model",
    "document": "the answer as it is kept", "keys": "keys of data subjects", "records": "laying out the records",
    "seal": "AES-GCM and the commitment", "leaf": "leaves of the log and their hashes", "tree": "the Merkle tree",
    "sign": "the checkpoint of the batch", "append": "frames and checksums", "write": "writing", "sync": "syncing",
    "hand over": "between the loop and the committing thread", "encode": "the answer as it is sent",
    "send": "to the socket", "count": "drift counters and metrics",
    "background": "publishing tiles, preparing segments, asking witnesses",
}  # fmt: skip


def step_rows(found: dict[str, Any]) -> list[Row]:
    """Where the microseconds of an answer go."""
    rows = [[name, STEPS[name], f"{us:.1f}"] for name, us in found["steps_us"].items() if us >= LEAST_US]
    rows.append(["the worker as it is", "not timed step by step", f"{found['worker_cpu_us']:.1f}"])
    return rows


def server_table(document: dict[str, Any]) -> Table:
    """For a terminal."""
    table = Table(*HEADS, title="requests/s (p99 in ms), medians")
    for row in server_rows(document):
        table.add_row(*row)
    return table


def ratio_table(document: dict[str, Any]) -> Table:
    """For a terminal."""
    table = Table("ours over ...", "measured", "bar", "", title="ratios within one run")
    colours = {"met": "green", "not met": "red"}
    for words, value, limit, verdict, _ in ratio_rows(document):
        table.add_row(words, value, limit, verdict, style=colours.get(verdict))
    return table


def busy(document: dict[str, Any]) -> str:
    """A warning when others used the machine at the time; the bench itself keeps two cores busy."""
    load = statistics.median(run.get("load_average", 0.0) for run in document["runs"])
    if document["settings"]["rounds"] < 3:
        return (
            " **Short runs on a shared machine, to show that it works**: do not quote these figures; run `make bench`."
        )
    if load <= LOAD_LIMIT:
        return ""
    return (
        f" **The machine was busy with other work** (load average {load:.1f} in the median): do not quote these "
        "figures; run `make bench` on a quiet one."
    )


def markdown(heads: tuple[str, ...], rows: list[Row]) -> str:
    """A table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def generated(document: dict[str, Any], steps: dict[str, Any] | None, battery: dict[str, Any] | None = None) -> str:
    """What stands between the marks on the page.

    Args:
        document: `bench/results.json`.
        steps: `bench/profile.json`, if there is one.
        battery: `bench/battery.json`, likewise.
    """
    machine, settings = document["machine"], document["settings"]
    errors = sum(run["errors"] for run in document["runs"])
    known = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    parts = [
        f"Measured on {machine['cpus']} cores of {machine['processor']} ({machine['arch']}, "
        f"Linux {machine['system']}): "
        f"{len(document['runs'])} runs of {settings['seconds']:g} s, medians of {settings['rounds']}; "
        f"{settings['principals']:,} principals; "
        f"{'SCHED_BATCH' if settings['batch_scheduling'] else 'the usual scheduling'} for ours and the bare servers "
        f"alike; {errors} errors in all runs." + busy(document),
        "## Servers",
        "Requests a second, and in brackets the 99th percentile in milliseconds. Start: from the start of the process "
        "to the first right answer, for ours to the first whose receipt has been verified. Memory at rest: "
        "proportional set size of everything that the server started.",
        markdown(HEADS, server_rows(document)),
        "![requests a second by server](../benchmarks.svg)",
        "## Ratios and bars",
        markdown(
            ("ours over ...", "measured", "bar", "", "name in results.json"),
            [[*row[:4], f"`{row[4]}`"] for row in ratio_rows(document)],
        ),
    ]
    studies = study_rows()
    if studies:
        parts += [
            "## Studies and bars",
            "Each study by itself (`make bench-studies`); when and on what is in its file.",
            markdown(("what", "measured", "bar", "", "file"), studies),
        ]
    if battery is not None:
        parts += battery_part(battery)
    if steps is not None:
        parts += [
            "## Where the time goes",
            f"Microseconds of processor time of one answer with one row at {steps['connections']} connections, "
            f"{steps['subjects']} subjects (`make bench-steps`): functions are wrapped from outside and timed by lot, "
            "and what the timing costs is taken off.",
            markdown(("step", "what", "us"), step_rows(steps)),
        ]
    if document["missing"]:
        left_out = "\n".join(f"- {NAMES[name]}: {why}" for name, why in sorted(document["missing"].items()))
        parts.append(f"Left out on this machine:\n\n{left_out}")
    parts += ["## Versions and settings", known + "."]
    parts.append("\n".join(f"- {NAMES[name]}: {how}" for name, how in sorted(settings["peers"].items())))
    return "\n\n".join(parts)


WIDTH: Final = 860
LEFT, RIGHT, TOP, STEP = 230, 120, 64, 34
STYLE: Final = (
    "text{font:14px system-ui,sans-serif;fill:#1f2937}.title{font-size:17px;font-weight:600}.small{font-size:12px;"
    "fill:#4b5563}.ours{fill:#0f766e}.limit{fill:#94a3b8}.other{fill:#b45309}"
)


def plot(document: dict[str, Any]) -> str:
    """Requests a second at one row and 64 connections, one bar a server; text stays text, no script."""
    found = {
        name: rate
        for name in servers(document)
        if (
            rate := median(steady(document["runs"], name, 1, 64))
        )
        is not None
    }  # fmt: skip
    highest = max(found.values(), default=1.0)
    height = TOP + STEP * len(found) + 40
    words = "; ".join(f"{NAMES[name]} {number(rate)}" for name, rate in found.items())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>Requests a second, one row, 64 connections</title><desc>{escape(words)}</desc>",
        f'<style>{STYLE}</style><rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        '<text class="title" x="20" y="30">Requests a second: one row, 64 connections, one core</text>',
        '<text class="small" x="20" y="50">Only Strongroom has controls on: every one of them.</text>',
    ]
    for place, (name, rate) in enumerate(sorted(found.items(), key=lambda one: -one[1])):
        y = TOP + STEP * place
        length = max(1.0, rate / highest * (WIDTH - LEFT - RIGHT))
        kind = {"strongroom": "ours", "bare": "limit", "bare_direct": "limit"}.get(name, "other")
        parts.append(f'<text x="{LEFT - 10}" y="{y + 17}" text-anchor="end">{escape(NAMES[name])}</text>')
        parts.append(f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{length:.1f}" height="24" rx="3"/>')
        parts.append(f'<text x="{LEFT + length + 8:.1f}" y="{y + 17}">{number(rate)}</text>')
    parts.append(
        f'<text class="small" x="20" y="{height - 14}">green: ours; grey: bare limits without any control; brown: what '
        "others build with. Medians; ratios count, not figures.</text></svg>"
    )
    return "\n".join(parts) + "\n"


def left(name: str) -> dict[str, Any] | None:
    """What a study left last (`profile`: the steps), if it was run."""
    file = HERE / f"{name}.json"
    found: dict[str, Any] | None = json.loads(file.read_text()) if file.exists() else None
    return found


def page_part(document: dict[str, Any]) -> str:
    """`generated` of what lies in `bench`."""
    return generated(document, left("profile"), left("battery"))


def write_page(document: dict[str, Any]) -> None:
    """Put the results between the marks of the page, and draw the plot."""
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{page_part(document)}\n\n{END}{after}")
    PLOT.write_text(plot(document))


def main() -> int:
    """From the results that are there."""
    argparse.ArgumentParser(prog="bench.report", description=(__doc__ or "").splitlines()[0]).parse_args()
    write_page(json.loads((HERE / "results.json").read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
