"""A capital plan of a million exposures, beyond scoring: processor time and memory of one core.

    python -m bench.plan [--rows 1000000] [--keep FOLDER]

PD, LGD and EAD stand in columns, so that no model is asked: what is measured is reading, checking, weighing by IRB and
by the standardised approach, the floor, ECL over three scenarios of three years, stress, concentration, the repayment
forecast, a row for each exposure, pictures and (with the extra `report`) the paper. Exposures are of every class, with
terms of up to 30 years and groups of connected clients. The file is made by another process, so that its memory is not
counted. Processor time of user and kernel, all threads together; arrow writes and reads with one thread here.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.studies import keep
from strongroom.access.people import PeopleRegister, Person, person_key
from strongroom.planning.classes import CLASSES
from strongroom.planning.scenario_signature import sign_scenario
from strongroom.sealing.keys import EcSigner
from strongroom.vocabulary import PersonId

MILLION = 1_000_000
SCENARIO = """
v = 1
name = "bench"
purpose = "a million exposures"
author = "bench"
effective_from = 2026-01-01
effective_until = 2030-01-01
prepayment_rate = 0.05
[variables.unemployment]
unit = "percent"
mean = 5.0
sd = 1.5
weight = -1.0
source = "made up"
[scenarios.up]
weight = 0.25
values = { unemployment = [4.0, 4.0, 4.5] }
[scenarios.base]
weight = 0.5
values = { unemployment = [5.0, 5.0, 5.0] }
[scenarios.down]
weight = 0.25
values = { unemployment = [8.0, 8.5, 7.0] }
[link]
kind = "vasicek"
source = "made up"
rho = { default = 0.15 }
lgd_slope = { default = 0.02 }
[own_funds]
cet1 = 30_000_000_000.0
"""


def portfolio(rows: int) -> pa.Table:
    """Exposures of every class; the same for the same number."""
    random = np.random.default_rng(20261126)
    shares = [0.01, 0.02, 0.12, 0.3, 0.2, 0.1, 0.19, 0.01, 0.005, 0.01, 0.005, 0.01, *[0.005] * 4]
    classes = np.array(CLASSES)[random.choice(len(CLASSES), rows, p=shares)]
    drawn = np.round(random.lognormal(10, 1.2, rows), 2)
    homes, firms = classes == "residential-mortgage", classes == "corporate"
    cards = np.char.startswith(classes, "qrre")
    lines = np.where(cards, 2.5 * drawn, drawn)
    defaulted = random.random(rows) < 0.02
    return pa.table(
        {
            "exposure": np.char.add("loan-", np.arange(rows).astype(str)),
            "class": classes,
            "drawn": drawn,
            "limit": lines,
            "commitment": np.where(cards, "cancellable", "commitment"),
            "remaining_months": np.where(homes, random.integers(24, 360, rows), random.integers(3, 84, rows)),
            "eir": random.uniform(0.01, 0.09, rows),
            "turnover_m": pa.array(np.where(firms, random.lognormal(2.5, 1.4, rows), np.nan), from_pandas=True),
            "ltv": pa.array(np.where(homes, random.uniform(0.2, 1.1, rows), np.nan), from_pandas=True),
            "collateral": np.where(homes, "real-estate", "none"),
            "collateral_share": homes.astype(float),
            "maturity_years": random.uniform(1, 5, rows),
            "defaulted": defaulted,
            "elbe": pa.array(np.where(defaulted, 0.35, np.nan), from_pandas=True),
            "provisions": np.where(defaulted, 0.3, 0.004) * drawn,
            "origination_pd": random.uniform(0.001, 0.02, rows),
            "group": np.char.add("g-", random.integers(0, max(1, rows // 3), rows).astype(str)),
            "segment": np.char.add("sector-", random.integers(0, 40, rows).astype(str)),
            "pd": np.clip(random.lognormal(-4.5, 1.0, rows), 1e-5, 0.9),
            "lgd": np.where(homes, 0.15, 0.45),
            "ead": lines,
        }
    )


def prepare(folder: Path, rows: int) -> None:
    """Portfolio, scenario with its author's signature, register."""
    pq.write_table(portfolio(rows), folder / "portfolio.parquet", row_group_size=131_072)
    author = EcSigner.from_scalar(7)
    person = Person(
        person_id=PersonId("bench"), kind="Person", keys=(person_key(author.public.spki, 0),), roles=("risk",)
    )
    (folder / "people.json").write_bytes(PeopleRegister(1, (person,)).encode())
    (folder / "scenario.toml").write_text(SCENARIO)
    (folder / "scenario.dsse").write_bytes(sign_scenario(SCENARIO.encode(), author, person.person_id))


def measured(folder: Path) -> dict[str, float]:
    """Processor seconds and the most memory of this process, for the plan of a prepared folder."""
    from strongroom.wiring.planning import PlanJob, plan

    job = PlanJob(
        portfolio=folder / "portfolio.parquet", scenario=folder / "scenario.toml", output=folder / "plan",
        as_of=date(2026, 12, 31), regime="EU", currency="EUR", models={},
        columns={"pd": "pd", "lgd": "lgd", "ead": "ead"}, people=folder / "people.json",
    )  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    found, _ = plan(job)
    return {
        "exposures": found.total.exposures,
        "processor_s": round(time.process_time() - begin, 2),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "of_it_imports_mib": round(before / 1024),
        "rwa": float(found.total.rwa),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=MILLION)
    parser.add_argument("--keep", type=Path, help="a folder for the files, which stay there")
    parser.add_argument("--step", choices=("prepare", "plan"), help="one step alone, for this script itself")
    options = parser.parse_args()
    if options.step == "prepare":
        prepare(options.keep, options.rows)
    elif options.step == "plan":
        found = measured(options.keep)
        if options.rows == MILLION:
            keep("plan", found)
        print(json.dumps(found))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            folder = options.keep or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            for step in ("prepare", "plan"):
                words = ["--rows", str(options.rows), "--keep", str(folder), "--step", step]
                subprocess.run([sys.executable, "-m", "bench.plan", *words], check=True)


if __name__ == "__main__":
    main()
