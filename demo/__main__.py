"""`make demo`: a real PD model's whole life, then a table of what was proven."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from rich.console import Console

from demo import attempts, chapters, claims
from demo.data import load
from demo.house import AUDITOR, House
from demo.story import Story
from demo.training import boosted, logistic
from strongroom import verify
from strongroom.wiring import releasing

FOLDER = Path("demo-room")


def main() -> int:
    """Run the story; 0 when every claim held."""
    console = Console(highlight=False, soft_wrap=False)
    story = Story(console)
    console.print("[bold]Strongroom[/]: where a bank keeps, proves and runs its models\n")
    console.print(
        "Real data: 30,000 credit card clients (UCI 350). Everything happens on this machine, below demo-room/."
    )
    start = time.monotonic()
    house = House.build(FOLDER)
    try:
        tell(house, story)
    finally:
        house.close()
    story.prove("everything that must not work was refused", *claims.all_refused(story.refused))
    story.figures["seconds"] = round(time.monotonic() - start, 1)
    story.close(FOLDER / "summary.json")
    _farewell(console, story, house.keys_for_the_reader())
    return 0 if story.good else 1


def tell(house: House, story: Story) -> None:
    """The chapters."""
    with story.step("Found the room: custodians, people, policies, process"):
        chapters.found(house, story)
    with story.step("Train and package two models, submit them with their author's signature"):
        samples = load()
        models = {chapters.BOOSTED: boosted(samples.development), chapters.SIMPLE: logistic(samples.development)}
        for name, tier in ((chapters.BOOSTED, 1), (chapters.SIMPLE, 2)):
            house.refs[name] = chapters.submit(house, story, name, models[name], samples, name, tier=tier)
    with story.step("Scan and validate in the sandbox"):
        for name, ref in house.refs.items():
            chapters.validate(house, story, ref, house.folder / f"report-{name}.html")
    with story.step("Review, approve twice, release; and what four eyes refuse"):
        for name, ref in house.refs.items():
            chapters.delegate(house, name)
            chapters.judge(house, story, ref, attempts_too=name == chapters.BOOSTED)
            releasing.point(house.desk("omar"), name, champion=ref.manifest, reason="first release")
    with story.step("Serve: the gateway verifies everything again, then opens the models"):
        tokens, stranger = chapters.grants(house)
        house.token = tokens.token(lasts_s=3600)
        chapters.serve(house, story)
    with story.step("Judge changed copies of the release repository with the gateway's own eyes"):
        attempts.hostile_repositories(house, story, house.refs[chapters.BOOSTED])
    with story.step("Score the held-out applicants over HTTP"):
        answers = chapters.score(house, story, samples, models)
    with story.step("Refuse callers and requests that must be refused"):
        rows = samples.held_out.head(1).assign(subject="client-00000")
        attempts.hostile_calls(house, story, rows, tokens, stranger)
    with story.step("Prove: receipts offline, replay in fresh processes"):
        chapters.prove(house, story, samples, answers)
    with story.step("Monitor: outcomes, PSI, drift"):
        chapters.watch(house, story, samples, answers)
    with story.step("Erase one applicant"):
        chapters.erase(house, story, answers)
    with story.step("Release a second version, roll back, halt, lift"):
        second = chapters.submit(
            house, story, chapters.BOOSTED, boosted(samples.second_development), samples, "second",
            tier=1, parent=house.refs[chapters.BOOSTED].manifest,
        )  # fmt: skip
        chapters.validate(house, story, second)
        chapters.judge(house, story, second, fallback=house.refs[chapters.BOOSTED].manifest)
        chapters.move(house, story, second, samples)
    with story.step("Look back: public tools, plaintext, fsck, shards"):
        chapters.look_back(house, story, house.folder / "packages" / chapters.BOOSTED)


def _farewell(console: Console, story: Story, variables: dict[str, str]) -> None:
    console.print(
        f"\n{len(story.refused)} attempts refused, {len(story.proven)} claims computed, {story.figures['seconds']} s."
    )
    python, trust = _near(Path(sys.executable)), FOLDER / "room" / "trust"
    receipt = f"receipt {FOLDER / 'receipts' / 'receipt-cosigned.json'} --policy {trust / 'log-policy'}"
    looks = {
        "What there is": (
            f"{FOLDER / 'report-pd-cards.html'}   the validation report",
            f"{FOLDER / 'summary.json'}           everything above, for machines",
            f"{FOLDER / 'certificate.json'}       the signed certificate of the erasure",
        ),
        "Trusting nobody: verify.py is one file on the standard library": (
            f"{python} -I -S {_near(Path(verify.__file__))} {receipt} --openings {trust / 'openings'} --cosigned",
        ),
        f"As {AUDITOR}, the auditor, whose passphrases this made-up room leaves in {FOLDER / 'secrets'}": (
            f"export {' '.join(f'{name}={value}' for name, value in variables.items())}",
            *(
                f"{python} -m strongroom {words}"
                for words in ("history pd-cards", "log --last 30", f"fsck --node {FOLDER / 'node'}")
            ),
            f"{python} -m strongroom report pd-cards --html {FOLDER / 'dossier.html'}",
        ),
    }
    for title, lines in looks.items():
        console.print(f"\n{title}:")
        for line in lines:
            console.print(f"  {line}", soft_wrap=True)


def _near(path: Path) -> Path:
    """As somebody types it who stands where the demo was started."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    sys.exit(main())
