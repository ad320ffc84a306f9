"""One random question to a verifier: a command line and the files that it names."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import worlds
from .worlds import Files, World

DOCUMENTS = {"document", "leaf", "act", "act leaf", "disclosed entry", "receipt"}
BYTES = {
    "document bytes",
    "leaf bytes",
    "act bytes",
    "act leaf bytes",
    "payload",
    "disclosed",
    "receipt bytes",
    "salt",
}
TEXTS = {"proof", "act proof"}
LISTS = {"leaves", "acts", "governance leaves"}
OF_A_RECEIPT = [
    "document",
    "leaf",
    "document bytes",
    "leaf bytes",
    "receipt",
    "receipt bytes",
    "salt",
    "proof",
    "leaves",
]
OF_AN_OPENING = [
    "act",
    "act leaf",
    "act bytes",
    "act leaf bytes",
    "payload",
    "disclosed",
    "disclosed entry",
    "act proof",
]
OF_SHARDS = [*OF_AN_OPENING, "openings", "acts", "governance leaves"]


@dataclass
class Case:
    words: list[str]
    files: Files
    what: str

    def command(self, folder: Path) -> list[str]:
        """The command line with the files written; a word that begins with `@` is a path."""
        worlds.write(folder, self.files)
        return [str(folder / word[1:]) if word.startswith("@") else word for word in self.words]


def damage_at(rng: random.Random, place: str) -> Callable[[str, Any], Any]:
    """Hurts what comes by under that name: the first of several, or one of the later ones."""
    skip = rng.choice([0, 0, 0, 1, 2, 3])

    def damage(name: str, value: Any) -> Any:
        nonlocal skip
        if name != place:
            return value
        skip -= 1
        if skip >= 0 and name.startswith(("act", "disclosed")) and name != "acts":
            return value
        if skip < -1:
            return value
        if name in DOCUMENTS:
            return worlds.hurt_document(rng, value)
        if name in BYTES:
            return worlds.hurt_bytes(rng, value)
        if name in TEXTS:
            return worlds.hurt_text(rng, value)
        if name in LISTS:
            changed = list(value)
            at = rng.randrange(len(changed))
            what = rng.randrange(5)
            if what == 0:
                changed.insert(rng.randrange(len(changed) + 1), changed[at])
            elif what == 1:
                changed.pop(at)
            elif what == 2:
                rng.shuffle(changed)
            elif isinstance(changed[at], bytes):
                changed[at] = worlds.hurt_bytes(rng, changed[at])
            else:
                changed[at] = worlds.hurt_document(rng, changed[at])
            return changed
        if name == "openings":
            changed = dict(value)
            at = rng.choice(sorted(changed))
            what = rng.randrange(4)
            if what == 0:
                del changed[at]
            elif what == 1:
                changed["twice.json"] = changed[at]
            elif what == 2:
                changed["other.json"] = rng.choice([b"", b"{}", b"[]"])
            else:
                changed[at] = changed[rng.choice(sorted(changed))]
            return changed
        return value

    return damage


def trust(files: Files, made: World, policy: str = worlds.POLICY) -> list[str]:
    files["policy"] = policy.encode("utf-8", "surrogateescape")
    files |= {f"openings/{name}": data for name, data in made.openings().items()}
    return ["--policy", "@policy", "--openings", "@openings"]


def under(folder: str, files: Files) -> Files:
    return {f"{folder}/{name}": data for name, data in files.items()}


def hurt_folder(rng: random.Random, log: worlds.Log, files: Files) -> Files:
    """A published folder with one thing wrong, or another than it was."""
    files = dict(files)
    name = rng.choice(sorted(files))
    what = rng.randrange(9)
    if what == 0:
        del files[name]
    elif what < 3:
        files[name] = worlds.hurt_bytes(rng, files[name])
    elif what == 3:
        files["checkpoint"] = worlds.note_again(rng, log, len(log.leaves))
    elif what == 4:
        size = rng.randrange(len(log.leaves) + 1)
        files["checkpoint.cosigned"] = log.note(size, rng.randrange(4))
        if rng.random() < 0.5:
            files["checkpoint.cosigned"] = worlds.note_again(rng, log, size)
    elif what == 5 and ".p/" in name:
        # the partial one is gone, as the texts allow once there is a full one
        full = name.split(".p/", maxsplit=1)[0]
        files[full] = files.pop(name) if rng.random() < 0.3 else files.pop(name).ljust(8192, b"\x01")
    elif what == 6:
        files[rng.choice(["tile/0/001", "tile/entries/001.p/1", "tile/9/000", "readme.txt"])] = b"more"
    elif what == 7:
        leaves = list(log.leaves)
        if leaves:
            at = rng.randrange(len(leaves))
            leaves[at] = worlds.hurt_bytes(rng, leaves[at])
            files = worlds.Log(log.origin, leaves).files()
    else:
        width = rng.randrange(len(log.leaves) + 1)
        files["checkpoint"] = log.note(width)
    return files


def receipt_case(rng: random.Random) -> Case:
    place = rng.choice([*OF_A_RECEIPT, *OF_A_RECEIPT, *OF_AN_OPENING, "policy", "note", "request", "answer", "nothing"])
    kind = rng.choice(worlds.KINDS)
    size = rng.choice([1, 2, 3, 5, 8, 13])
    made = World(damage_at(rng, place), kind, size, rng.randrange(size))
    cosigners = rng.randrange(4)
    proven = rng.randrange(made.at + 1, len(made.first.leaves) + 1) if len(made.first.leaves) > made.at else None
    if proven is None:
        return receipt_case(rng)
    files: Files = {"receipt": made.receipt(proven, cosigners)}
    policy = worlds.POLICY
    if place == "policy":
        for _ in range(rng.choice([1, 1, 2])):
            policy = worlds.hurt_text(rng, policy)
    if place == "note":
        head = made.first.proof(made.at, proven).split("\n\n", maxsplit=1)[0]
        note = worlds.note_again(rng, made.first, proven).decode("utf-8", "replace")
        whole = {"document": made.document_bytes, "leaf": made.leaf_bytes, "salt": bytes([made.at]) * 32}
        coded: dict[str, Any] = {name: worlds.b64(data) for name, data in whole.items()}
        files["receipt"] = worlds.canonical(coded | {"proof": f"{head}\n\n{note}", "v": 1})
    words = ["receipt", "@receipt", *trust(files, made, policy)]
    if rng.random() < 0.3:
        words.append("--cosigned")
    if place in ("request", "answer") or (place == "nothing" and rng.random() < 0.5):
        rows = rng.randrange(1, 4)
        row = rng.randrange(rows)
        request, answer = worlds.messages(made.document, rows, row)
        if place == "request":
            request = hurt_message(rng, request)
        if place == "answer":
            answer = hurt_message(rng, answer)
        if place != "answer":
            files["request"] = request if isinstance(request, bytes) else json.dumps(request).encode()
            words += ["--request", "@request"]
        if place != "request":
            files["answer"] = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            words += ["--answer", "@answer"]
        words += ["--row", str(row)]
    return Case(words, files, f"receipt of {kind}, {place}")


def hurt_message(rng: random.Random, message: Any) -> Any:
    if rng.random() < 0.15:
        return worlds.hurt_bytes(rng, json.dumps(message).encode())
    return worlds.hurt_document(rng, message)


def log_case(rng: random.Random) -> Case:
    made = World(damage_at(rng, rng.choice([*OF_AN_OPENING, "leaf", "leaf bytes", "leaves", *["nothing"] * 14])))
    log = rng.choice([made.first, made.first, made.second, made.governance])
    published = log.files(rng.randrange(len(log.leaves) + 1), rng.randrange(4)) if rng.random() < 0.2 else log.files()
    if rng.random() < 0.8:
        published = hurt_folder(rng, log, published)
    files = under("log", published)
    words = ["log", "@log", *trust(files, made)]
    return Case([*words, "--cosigned"] if rng.random() < 0.3 else words, files, "log")


def consistency_case(rng: random.Random) -> Case:
    made = World(damage_at(rng, "nothing"))
    log = rng.choice([made.first, made.second, made.governance])
    size = rng.randrange(len(log.leaves) + 1)
    note = log.note(size)
    what = rng.randrange(4)
    if what == 0:
        other = worlds.Log(log.origin, log.leaves[::-1])
        note = other.note(size)
    elif what == 1:
        note = worlds.note_again(rng, log, size)
    elif what == 2:
        note = worlds.hurt_bytes(rng, note)
    published = log.files(rng.randrange(len(log.leaves) + 1) if rng.random() < 0.3 else None)
    files = under("log", published if rng.random() < 0.7 else hurt_folder(rng, log, published)) | {"older": note}
    return Case(["consistency", "@older", "@log", *trust(files, made)], files, "consistency")


def shards_case(rng: random.Random) -> Case:
    place = rng.choice([*OF_SHARDS, *OF_SHARDS, "folder", "seen", "seen", "shown", "shown", "cut", "nothing"])
    made = World(damage_at(rng, place))
    files: Files = {}
    shown = [*made.shards]
    if place == "shown":
        if rng.random() < 0.5:
            shown.pop(rng.randrange(3))
        else:
            shown.append(rng.choice([*shown, made.governance]))
    rng.shuffle(shown)
    for number, log in enumerate([made.governance, *shown]):
        size = rng.randrange(len(log.leaves) + 1) if place == "cut" and rng.random() < 0.5 else None
        published = log.files(size, rng.choice([0, 2]) if place == "nothing" else 0)
        if place == "folder" and rng.random() < 0.4:
            published = hurt_folder(rng, log, published)
        files |= under(str(number), published)
    words = ["shards", *(f"@{number}" for number in range(len(shown) + 1)), *trust(files, made)]
    if place == "seen":
        for number in range(rng.randrange(1, 4)):
            log = rng.choice([made.governance, *shown])
            size = rng.randrange(len(log.leaves) + 1)
            if rng.random() < 0.3:
                log = worlds.Log(log.origin, log.leaves[::-1])
            files[f"seen/{number}"] = worlds.note_again(rng, log, size) if rng.random() < 0.4 else log.note(size)
        words += ["--seen", "@seen"]
    if place == "nothing" and rng.random() < 0.5:
        words.append("--cosigned")
    return Case(words, files, f"shards, {place}")


def case(seed: int) -> Case:
    rng = random.Random(seed)
    made: list[Callable[[random.Random], Case]] = (
        [receipt_case] * 6 + [log_case] * 2 + [consistency_case, shards_case, shards_case]
    )
    while True:
        try:
            return rng.choice(made)(rng)
        except (TypeError, AttributeError, ValueError, KeyError, IndexError, OverflowError, struct.error):
            continue  # damage that could not even be written down
