"""Commands around a model's report: write words for it, keep findings, draw it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from strongroom.cli.context import (
    HomeOption,
    HomePassphrase,
    ModelArgument,
    Reason,
    RoomOption,
    RoomPassphrase,
    at_desk,
    find_version,
    moment_of,
)
from strongroom.cli.output import Json, command, console, save, table, tell
from strongroom.errors import InvalidInputError

if TYPE_CHECKING:
    from strongroom.validation.findings import Finding

findings = typer.Typer(no_args_is_help=True, help="Keep findings about a model: who mends what by when.")

Name = Annotated[str, typer.Argument(help="Name of the finding, such as f-1.", show_default=False)]
SEVERITIES = ("low", "medium", "high")


@command
def write(
    model: ModelArgument,
    section: Annotated[str, typer.Option(help="Section of the report, such as intended-use.", show_default=False)],
    role: Annotated[str, typer.Option(help="Your role in which you write, such as author.", show_default=False)],
    file: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="Text; an empty line parts paragraphs.", show_default=False),
    ],
    room: RoomOption,
    home: HomeOption,
    materiality: Annotated[
        str | None, typer.Option(help="With section identity: level of the policy's table of tiers.")
    ] = None,
    complexity: Annotated[
        str | None, typer.Option(help="With section identity: level of the policy's table of tiers.")
    ] = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Sign words for a section of a model's report. The latest words of a role count; earlier ones stay on record.

    Example: strongroom write pd-cards --section intended-use --role author --file use.txt --room credit --home ~/ann
    """
    from strongroom.validation.sections import TITLES
    from strongroom.wiring import reporting

    known = {str(key): key for key in TITLES}
    if section not in known:
        raise InvalidInputError(f"a section is one of {', '.join(known)}", field="section", rule="choice")
    try:
        text = file.read_bytes().decode().replace("\r\n", "\n").strip()
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"`{file.name}` is not UTF-8 text", field="file", rule="text") from error
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        version = reporting.write(
            desk,
            find_version(desk.room, model).ref,
            known[section],
            role,
            text,
            materiality=materiality,
            complexity=complexity,
        )
    statement = version.papers[-1].statement
    tell(
        as_json,
        {"model": str(version.ref), "section": section, "role": role, "statement": statement},
        [f"signed for section `{section}` of {version.ref}, statement {statement[:12]}"],
    )


@command
def report(
    model: ModelArgument,
    room: RoomOption,
    home: HomeOption,
    html: Annotated[Path | None, typer.Option(help="Write the page here.")] = None,
    pdf: Annotated[Path | None, typer.Option(help="Write the print here (needs the extra `report`).")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="The moment that it speaks of (ISO 8601); the same moment, the same bytes.")
    ] = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Draw a model's report from its signed records, and say what the policy still misses in it.

    Example: strongroom report pd-cards --html report.html --pdf report.pdf --room credit --home ~/vera
    """
    from strongroom.validation.reporting.chapters import draw_up
    from strongroom.validation.reporting.report_page import page_of
    from strongroom.vocabulary import digest_of, instant
    from strongroom.wiring import reporting

    moment = moment_of(as_of, "as_of") if as_of is not None else None
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        dossier = reporting.dossier_of(desk, find_version(desk.room, model).ref, moment)
    drawn = draw_up(dossier)
    written = {}
    if html is not None:
        page = page_of(drawn)
        save(html, page)
        written["html"] = digest_of(page)
    if pdf is not None:
        from strongroom.adapters.typst_pdf import print_report

        with console.status("setting the print ..."):
            printed = print_report(drawn)
        save(pdf, printed)
        written["pdf"] = digest_of(printed)
    lacks = [{"section": section.key, "message": lack} for section in drawn.sections for lack in section.lacks]
    tell(
        as_json,
        {
            "model": str(dossier.ref),
            "as_of": instant(dossier.as_of_us).isoformat(),
            "verdict": drawn.state,
            "policy": dossier.policy_sha256,
            "sections": {section.key: len(section.blocks) for section in drawn.sections},
            "lacks": lacks,
            "sha256": written,
            "command": dossier.command,
        },
        [
            f"{dossier.ref} as of {drawn.as_of}: {drawn.headline.lower()}",
            *(f"  {what} {digest}" for what, digest in written.items()),
            *(f"  missing: {lack['message']}" for lack in lacks),
        ],
    )


@findings.command("add")
@command
def findings_add(
    model: ModelArgument,
    severity: Annotated[str, typer.Option(help="low, medium or high.", show_default=False)],
    text: Annotated[str, typer.Option(help="What is wrong.", show_default=False)],
    owner: Annotated[str, typer.Option(help="Person of the register who mends it.", show_default=False)],
    remediation: Annotated[str, typer.Option(help="What is to be done.", show_default=False)],
    room: RoomOption,
    home: HomeOption,
    days: Annotated[int, typer.Option(help="Days until it is due.", min=1, max=3650)] = 90,
    name: Annotated[str | None, typer.Option(help="Its name; the next free f-1, f-2 ... if none.")] = None,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Enter a finding about a model, signed.

    Example: strongroom findings add pd-cards --severity high --text "grade 7 too low" --owner ann
    --remediation "recalibrate grade 7" --room credit --home ~/vera
    """
    from strongroom.wiring import reporting

    level = {one: one for one in SEVERITIES}.get(severity)
    if level not in ("low", "medium", "high"):
        raise InvalidInputError("a severity is low, medium or high", field="severity", rule="choice")
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        finding = reporting.raise_finding(
            desk,
            find_version(desk.room, model).ref,
            severity=level,  # type: ignore[arg-type]  # one of the three
            text=text,
            owner=owner,
            days=days,
            remediation=remediation,
            name=name,
        )
        at_us = finding.last.said.at_us
    tell(as_json, _finding(finding, at_us), [f"finding {finding.name} ({severity}) is open; {owner} mends it"])


@findings.command("list")
@command
def findings_list(
    model: ModelArgument,
    room: RoomOption,
    home: HomeOption,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """All findings about a version, with how they stand now.

    Example: strongroom findings list pd-cards --room credit --home ~/audrey
    """
    from strongroom.wiring import reporting

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        ref = find_version(desk.room, model).ref
        found, at_us = reporting.list_findings(desk, ref)
    if as_json:
        tell(True, [_finding(finding, at_us) for finding in found])
        return
    rows = [
        (
            one.name,
            one.raised.severity,
            one.settled_by(at_us),
            one.raised.owner,
            _finding(one, at_us)["due"],
            one.raised.text,
        )
        for one in found
    ]
    table(f"{len(rows)} finding(s) about {ref}", ["finding", "severity", "state", "owner", "due", "what"], rows)


@findings.command("watch")
@command
def findings_watch(
    room: RoomOption,
    home: HomeOption,
    alert: Annotated[
        bool, typer.Option("--alert", help="Record an alert for each that none was recorded for yet.")
    ] = False,
    act: Annotated[bool, typer.Option("--act", help="Also do what the policy has done: roll back, or halt.")] = False,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """What holds up versions that answer now: findings that came later, acceptances that ended or end soon.

    Example: strongroom findings watch --alert --room credit --home ~/omar
    """
    from strongroom.wiring import watching

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        watched = watching.watch_findings(desk)
        raised = watching.alert_findings(desk, watched) if alert else []
        done = watching.act_on_findings(desk, watched) if act else []
    if as_json:
        tell(
            True,
            {
                "watched": [
                    {
                        "model": one.ref.name,
                        "manifest": one.ref.manifest,
                        "stage": one.stage,
                        "of": str(one.what.of),
                        "finding": one.what.name,
                        "severity": one.what.severity,
                        "state": one.what.state,
                        "blocks": one.what.reason is not None,
                        "reason": one.what.reason,
                        "due": one.due,
                    }
                    for one in watched
                ],
                "alerts": [str(entry) for _, entry in raised],
                "done": [{"model": str(one.ref), "verb": one.verb, "refused": one.refused} for one in done],
            },
        )
        return
    rows = [
        (
            str(one.ref)[:48],
            one.stage,
            one.what.name,
            one.what.severity,
            one.what.state,
            one.due,
            one.what.reason or "its acceptance ends soon",
        )
        for one in watched
    ]
    heads = ["version", "stage", "finding", "severity", "state", "policy", "why"]
    table(f"{len(rows)} finding(s) about versions that answer", heads, rows)
    tell(
        False,
        {},
        [
            *(f"alert: {one.finding} of {one.of}, entry {entry}" for one, entry in raised),
            *(f"{one.verb} of {one.ref}: {one.refused or 'done'}" for one in done),
        ],
    )


@findings.command("accept")
@command
def findings_accept(
    model: ModelArgument,
    name: Name,
    days: Annotated[int, typer.Option(help="Days after which it is open again.", min=1, max=3650, show_default=False)],
    reason: Reason,
    room: RoomOption,
    home: HomeOption,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """Carry a finding's risk for a time. Neither the author nor whoever must mend it may; the policy names the roles.

    Example: strongroom findings accept pd-cards f-1 --days 60 --reason "small book" --room credit --home ~/rita
    """
    from strongroom.wiring import reporting

    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        finding = reporting.accept_finding(desk, find_version(desk.room, model).ref, name, days=days, reason=reason)
        at_us = finding.last.said.at_us
    tell(as_json, _finding(finding, at_us), [f"finding {name} is {finding.settled_by(at_us)}"])


@findings.command("close")
@command
def findings_close(
    model: ModelArgument,
    name: Name,
    evidence: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="File that shows that it is mended.", show_default=False)
    ],
    reason: Reason,
    room: RoomOption,
    home: HomeOption,
    passphrase_file: HomePassphrase = None,
    room_passphrase: RoomPassphrase = None,
    as_json: Json = False,
) -> None:
    """End a finding with evidence, which the room keeps by its digest.

    Example: strongroom findings close pd-cards f-1 --evidence rerun.pdf --reason "grade 7 holds now" --home ~/vera
    """
    from strongroom.wiring import reporting

    content = evidence.read_bytes()
    with at_desk(room, room_passphrase, home, passphrase_file) as desk:
        ref = find_version(desk.room, model).ref
        finding = reporting.close_finding(desk, ref, name, file=evidence.name, content=content, reason=reason)
        at_us = finding.last.said.at_us
    tell(as_json, _finding(finding, at_us), [f"finding {name} is {finding.settled_by(at_us)}"])


def _finding(finding: Finding, at_us: int) -> dict[str, Any]:
    from strongroom.vocabulary import instant, rfc3339

    raised = finding.raised
    return {
        "finding": finding.name,
        "severity": raised.severity,
        "status": finding.status(at_us),
        "state": finding.settled_by(at_us),
        "text": raised.text,
        "owner": raised.owner,
        "due": rfc3339(instant(raised.due_us))[:10],
        "overdue": finding.overdue(at_us),
        "remediation": raised.remediation,
        "steps": [
            {"by": step.said.person, "at_us": step.said.at_us, "statement": step.envelope, **_does(step.said.does)}
            for step in finding.steps
        ],
    }


def _does(does: object) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(does)
    return plain
