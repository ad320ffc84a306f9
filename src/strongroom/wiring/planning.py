"""`strongroom plan`: figures from models or columns, a portfolio through the planning room, a folder of results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
import pyarrow as pa

from strongroom.access.people import LIMIT_BYTES
from strongroom.adapters.files.safe_files import write_private
from strongroom.adapters.keys.homes import Home
from strongroom.adapters.releases.trusted_state_files import read_state
from strongroom.adapters.tables.portfolio_files import (
    EXPOSURES,
    PortfolioFile,
    Scored,
    exposures_table,
    read_answers,
)
from strongroom.adapters.tables.score_files import write_parquet
from strongroom.adapters.typst_pdf import can_print, print_paper
from strongroom.approval.evidence import Register
from strongroom.approval.release import Release
from strongroom.approval.trust_policy import PEOPLE_PATH
from strongroom.encoding import parse_as
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError, TamperedError, TooLargeError
from strongroom.planning.classes import Floats
from strongroom.planning.committee import paper_of
from strongroom.planning.drawing import pictures
from strongroom.planning.plan import Groups, Tally, document_of, rows_of
from strongroom.planning.results import Inputs, Plan, ScenarioSigned, Source, write
from strongroom.planning.rules import SIZE_LIMIT as RULES_LIMIT
from strongroom.planning.rules import in_force, read_rules
from strongroom.planning.scenario import SIZE_LIMIT as SCENARIO_LIMIT
from strongroom.planning.scenario import Document
from strongroom.planning.scenario_signature import read_signed_scenario, sign_scenario
from strongroom.planning.weighing import demand_weighable
from strongroom.vocabulary import digest_of, parse_digest
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.recorded_answers import hold_against_log
from strongroom.wiring.scoring import Job, score_file, wish_of

Figure = Literal["pd", "lgd", "ead"]
PLAN_FILE: Final = "plan.json"
PAPER_FILE: Final = "committee.pdf"
EXPOSURES_FILE: Final = "exposures.parquet"
SIGNATURE_SUFFIX: Final = ".dsse"
CURRENCY_LENGTH: Final = 3


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where and as whom models are asked.

    Attributes:
        folder, passphrase: of the node.
        credential: of the calling system.
        purpose, jurisdiction, environment: that are asserted.
        subject: column that says who a row is about.
    """

    folder: Path
    passphrase: bytes
    credential: bytes
    purpose: str
    jurisdiction: str
    subject: str
    environment: str | None = None


@dataclass(frozen=True, slots=True)
class PlanJob:
    """What is to be done.

    Attributes:
        portfolio, scenario: files.
        output: folder of the results.
        models, columns: by figure; no figure is in both.
        signature: of the scenario; beside it, with the ending `.dsse`, where none is named.
        people: the register that says whose signatures count; that of the node in `trust` where none.
        trust: folder of a node, whose register the custodians signed.
        gateway: None where no model is asked.
        rules: another rule book than the one that comes with the package.
    """

    portfolio: Path
    scenario: Path
    output: Path
    as_of: date
    regime: str
    currency: str
    models: Mapping[Figure, str]
    columns: Mapping[Figure, str]
    gateway: Gateway | None = None
    rules: Path | None = None
    signature: Path | None = None
    people: Path | None = None
    trust: Path | None = None

    def __post_init__(self) -> None:
        both = set(self.models) & set(self.columns)
        if both:
            figure = sorted(both)[0]
            raise InvalidInputError(f"`{figure}` comes from a model or from a column, not from both", field=figure)
        if not {"pd"} <= {*self.models, *self.columns}:
            raise InvalidInputError("a plan needs PDs: name a model by --pd, or a column by --pd-column", field="pd")
        if self.models and self.gateway is None:
            raise InvalidInputError("models are asked at a gateway: name its folder by --node", field="node")
        if (self.people is None) == (self.trust is None and self.gateway is None):
            raise InvalidInputError(
                "say whose signature counts under the scenario: name a gateway by --node, or the people register by "
                "--people, and not both",
                field="people",
            )  # fmt: skip
        if len(self.currency) != CURRENCY_LENGTH or not (self.currency.isascii() and self.currency.isupper()):
            raise InvalidInputError("a currency is three capital letters such as EUR", field="currency", rule="form")


def plan(
    job: PlanJob, tell: Callable[[str, int, int], None] = lambda _what, _done, _rows: None
) -> tuple[Plan, Mapping[str, Path]]:
    """Make a plan, or go on where an earlier run of the same job was stopped.

    Args:
        job: see there.
        tell: what is being done, how many rows are done, of how many.

    Returns:
        The document, and where its files lie.

    Raises:
        ConflictError: the output holds a finished plan, or parts of another.
        RefusedError: a file, a rule, the scenario's signature or a gateway says no; nothing was planned.
        TamperedError: the scenario is not the one that was signed.
        UnavailableError: something is missing just now; the same command goes on from here later.
    """
    scenario = _bounded(job.scenario, SCENARIO_LIMIT)
    rules = files("strongroom").joinpath("policies", "capital.json").read_bytes()
    if job.rules is not None:
        rules = _bounded(job.rules, RULES_LIMIT)
    people = _people(job)
    signed = read_signed_scenario(scenario, _signature(job), Register.read(people))
    document, book = signed.on(job.as_of), read_rules(rules)
    holding = in_force(book, job.regime, job.as_of)
    if (job.output / PLAN_FILE).exists():
        raise ConflictError(f"`{job.output.name}` holds a plan already; choose another output, or remove it first")
    with closing(PortfolioFile(job.portfolio, job.columns)) as portfolio:
        portfolio.check(lambda part: demand_weighable(part, holding))
        job.output.mkdir(mode=0o700, exist_ok=True)
        sources, scored = _figures(job, portfolio, tell)
        tally = Tally(holding, document)
        ead = np.zeros(portfolio.rows)
        parts = _parts(job, portfolio, document, scored, tally, ead, tell)
        _, digest = write_parquet(job.output / EXPOSURES_FILE, EXPOSURES, parts)
        portfolio.demand_unchanged()
        inputs = Inputs(
            portfolio_sha256=parse_digest(portfolio.sha256),
            exposures=portfolio.rows,
            currency=job.currency,
            as_of=job.as_of.isoformat(),
            regime=job.regime,
            rules_version=book.version,
            rules_sha256=digest_of(rules),
            rules_unchecked=holding.unchecked,
            rules_sources=holding.sources,
            scenario_sha256=signed.sha256,
            scenario_name=document.name,
            link=document.link.kind,
            sources=sources,
            scenario_signed=ScenarioSigned(
                author=signed.author,
                key_id=parse_digest(signed.key_id),
                signature_sha256=signed.signature_sha256,
                register_sha256=digest_of(people),
                effective_from=document.effective_from.isoformat(),
                effective_until=document.effective_until.isoformat(),
            ),
            columns_by_default=portfolio.by_default,
        )
        found = document_of(tally, Groups(*portfolio.groups(), ead), inputs, book, parse_digest(digest))
    return found, _written(job.output, found)


def _parts(
    job: PlanJob, portfolio: PortfolioFile, document: Document, scored: Mapping[str, Scored], tally: Tally,
    ead: Floats, tell: Callable[[str, int, int], None],
) -> Iterator[pa.Table]:  # fmt: skip
    for part, texts in portfolio.parts(scored, document.staging.default_days, factor="ead" in job.models):
        figures = tally.add(part)
        ead[part.first_row : part.first_row + len(part)] = figures.weighed.ead
        yield exposures_table(part, texts, rows_of(figures), scored)
        tell("exposures", part.first_row + len(part), portfolio.rows)


def _written(output: Path, found: Plan) -> Mapping[str, Path]:
    where = {"exposures": output / EXPOSURES_FILE}
    for picture in pictures(found):
        file = output / f"{picture.name.lower().replace(' ', '-')}.svg"
        write_private(file, picture.svg.encode())
        where[picture.name] = file
    data = write(found)
    if can_print():
        where["committee paper"] = output / PAPER_FILE
        write_private(where["committee paper"], print_paper(paper_of(found, digest_of(data))))
    # last: a folder with this file is whole
    where["plan"] = output / PLAN_FILE
    write_private(where["plan"], data)
    return where


def _people(job: PlanJob) -> bytes:
    if job.people is not None:
        return _bounded(job.people, LIMIT_BYTES)
    folder = job.trust or (job.gateway.folder if job.gateway else None)
    if folder is None:  # refused by the job already
        raise InvalidInputError("say whose signature counts under the scenario", field="people")
    found = read_state(NodeLayout(folder).trusted_state).files.get(PEOPLE_PATH)
    if found is None:
        raise TamperedError("the releases of this node name no people register; see what happened to it")
    return found


def _signature(job: PlanJob) -> bytes | None:
    file = job.signature or job.scenario.with_suffix(SIGNATURE_SUFFIX)
    if job.signature is None and not file.exists():
        return None
    return _bounded(file, SCENARIO_LIMIT * 2)


def sign(file: Path, home: Home) -> Path:
    """On the author's side: sign a scenario document; the signature lies beside it, with the ending `.dsse`.

    Raises:
        InvalidInputError: it is no scenario document.
        NotPermittedError: it names another author.
    """
    target = file.with_suffix(SIGNATURE_SUFFIX)
    target.write_bytes(sign_scenario(_bounded(file, SCENARIO_LIMIT), home, home.person))
    return target


def _bounded(path: Path, limit_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit_bytes + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file `{path.name}`") from error
    if len(data) > limit_bytes:
        raise TooLargeError(f"`{path.name}` has more than {limit_bytes} bytes", field=path.name, rule="size")
    return data


def _figures(
    job: PlanJob, portfolio: PortfolioFile, tell: Callable[[str, int, int], None]
) -> tuple[tuple[Source, ...], dict[str, Scored]]:
    _demand_kinds(job)
    sources: list[Source] = []
    scored: dict[str, Scored] = {}
    figure: Figure
    for figure in ("pd", "lgd", "ead"):
        if figure in job.columns:
            sources.append(Source(figure=figure, kind="column", name=job.columns[figure]))
        elif figure in job.models and job.gateway is not None:
            source, scored[figure] = _asked(job, job.gateway, figure, portfolio, tell)
            sources.append(source)
        else:
            name = {"lgd": "supervisory LGD", "ead": "conversion factors"}[figure]
            sources.append(Source(figure=figure, kind="rule", name=name))
    return tuple(sources), scored


def _demand_kinds(job: PlanJob) -> None:
    """An LGD in the place of a PD would be planned with like one: the kinds are held against the releases first."""
    if job.gateway is None or not job.models:
        return
    releases = read_state(NodeLayout(job.gateway.folder).trusted_state).releases
    for figure, model in job.models.items():
        for data in releases.get(model.partition("@")[0], {}).values():
            kind = parse_as(data, Release).kind
            if kind != figure:
                raise InvalidInputError(
                    f"`{model}` is a model of kind `{kind}`, and --{figure} names one of kind `{figure}`", field=figure,
                    rule="kind",
                )  # fmt: skip


def _asked(
    job: PlanJob, gateway: Gateway, figure: Figure, portfolio: PortfolioFile,
    tell: Callable[[str, int, int], None],
) -> tuple[Source, Scored]:  # fmt: skip
    model = job.models[figure]
    wish = wish_of(model, gateway.purpose, gateway.jurisdiction, gateway.environment, explain=False)
    output = job.output / f"{figure}.answers.parquet"
    asked = Job(job.portfolio, output, gateway.credential, wish, gateway.subject)
    begun = output.exists() or asked.work.exists()
    if output.exists() and not asked.work.exists():
        proof = _earlier(asked, {**msgspec.to_builtins(wish), "subject": gateway.subject}, portfolio.sha256)
    else:
        proof = score_file(
            gateway.folder, gateway.passphrase, asked, lambda done, rows: tell(f"{figure} of {model}", done, rows)
        )
    scored = read_answers(output, proof["output"]["sha256"], portfolio.rows)
    if begun:
        # whatever lay here before this process is nobody's word until the log says the same
        versions = hold_against_log(
            gateway.folder, gateway.passphrase, asked, proof,
            lambda done, rows: tell(f"earlier {figure} of {model}, held against the log", done, rows),
        )  # fmt: skip
    else:
        versions = tuple(sorted({one["model_version"] for one in proof["versions"]}))
    answered = len(scored.ids)
    source = Source(
        figure=figure,
        kind="model",
        name=model,
        answered=answered,
        refused=portfolio.rows - answered,
        proof_sha256=digest_of(asked.proof.read_bytes()),
        origin=proof["origin"],
        versions=versions,
    )
    return source, scored


def _earlier(asked: Job, options: dict[str, Any], portfolio_sha256: str) -> dict[str, Any]:
    """The proof of a model that was asked in an earlier run of the same job."""
    try:
        proof: dict[str, Any] = msgspec.json.decode(asked.proof.read_bytes(), type=dict[str, Any])
        mine = {name: value for name, value in proof["options"].items() if name != "caller"}
        same = mine == options and proof["input"]["sha256"] == portfolio_sha256
        parse_digest(proof["output"]["sha256"])
    except (
        FileNotFoundError, msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError, AttributeError,
        InvalidInputError,
    ) as error:  # fmt: skip
        raise TamperedError(f"`{asked.proof.name}` cannot be read; see what happened to it") from error
    if not same:
        raise ConflictError(
            f"`{asked.output.name}` is of another portfolio or of other options; choose another output, or remove it"
        )
    return proof
