"""`node.toml`: what a gateway calls itself, where it listens, whom it trusts, and its limits."""

from __future__ import annotations

import ipaddress
import json
from typing import Final, Literal

import msgspec

from strongroom.adapters.log.shard_files import SEGMENT_BYTES
from strongroom.errors import InvalidInputError
from strongroom.ledger.origin import Origin
from strongroom.vocabulary import parse_jurisdiction, parse_name
from strongroom.wiring.publishing import PublicationSettings

WORKERS_LIMIT = 256
BATCH_SLOT = WORKERS_LIMIT
"""The log that `strongroom score --node` writes: beside those of the workers, however many there will be."""


class TlsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[tls]`: paths, absolute or below the node's folder, and whether clients need a certificate."""

    certificate: str
    key: str
    client_ca: str | None = None
    client_crl: str | None = None
    client: Literal["none", "optional", "required"] = "none"


class IdentitySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[identity]`: how the keys of issuers are fetched.

    Attributes:
        networks: private networks in which identity providers may lie, such as `10.20.0.0/16`; none: public ones only.
        ca: PEM of the authorities that sign their certificates, absolute or below the node's folder; the system's own
            when None.
        loopback: also this machine, and over plain http; for trying out.
        timeout_s: for one document, 0.1 to 60.
    """

    networks: tuple[str, ...] = ()
    ca: str | None = None
    loopback: bool = False
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        for text in self.networks:
            try:
                network = ipaddress.ip_network(text)
            except ValueError as error:
                raise InvalidInputError(
                    "`networks` under [identity] are like 10.20.0.0/16", field="identity.networks", rule="network"
                ) from error
            if not network.is_private or network.is_link_local or network.is_loopback or network.prefixlen < 7:
                raise InvalidInputError(
                    "`networks` under [identity] are private ones, neither link-local nor loopback",
                    field="identity.networks",
                    rule="network",
                )
        if not 0.1 <= self.timeout_s <= 60:
            raise InvalidInputError("timeout_s under [identity] is 0.1 to 60", field="identity.timeout_s", rule="range")


STALLED_FLOOR_S: Final = 5


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[limits]`: what one worker takes in, whoever asks. Limits of callers, units and models stand in the grants.

    Attributes:
        connections: open at once.
        connections_per_address: of them from one address.
        held_bytes: of bodies without an answer yet and answers that could not be sent yet.
        waiting_requests, waiting_rows: how much may wait for its turn.
        wait_ms: how long a request may wait for its turn; 0 for as long as it takes.
        refusals_a_window: recorded refusals that one caller has in `unauthenticated_window_s`; more are counted.
        model_ms: how long one call of a model may take, however many rows it has, before what was approved to stand
            in answers; 0 for as long as it takes.
        stalled_s: a worker that does nothing at all for so long is killed and started again; 0 for never.
    """

    connections: int = 2048
    connections_per_address: int = 1024
    held_bytes: int = 268_435_456
    waiting_requests: int = 4096
    waiting_rows: int = 50_000
    wait_ms: int = 10_000
    refusals_a_window: int = 200
    model_ms: int = 0
    stalled_s: int = 60

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if (
                not (0 if name in ("wait_ms", "refusals_a_window", "model_ms", "stalled_s") else 1)
                <= getattr(self, name)
                <= 2**40
            ):
                raise InvalidInputError(f"`limits.{name}` is a positive number", field=f"limits.{name}", rule="range")
        if 0 < self.stalled_s < STALLED_FLOOR_S:
            raise InvalidInputError(
                f"`limits.stalled_s` is 0 or at least {STALLED_FLOOR_S}: a busy machine is no stalled worker",
                field="limits.stalled_s",
                rule="range",
            )


class ProbingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[probing]`: look for extraction and adversarial search.

    Attributes:
        window_s: counts are of the last one to two windows, 1 to 86400.
        least_rows: of a pattern before anything is said, 10 to 1000000.
        share: of a principal's rows above which a pattern is one; a decimal string above 0, at most 1.
        subjects: different data subjects of rows that almost repeat somebody else's, before it is said; 0: not looked
            for; at most 10000.
        variations: different rows of one data subject before it is said; 0: not looked for; at most 1000000.
        throttle_s: how long the principal is slowed down after it; 0: it is only told; at most 86400.
    """

    window_s: int = 600
    least_rows: int = 100
    share: str = "0.25"
    throttle_s: int = 0
    subjects: int = 50
    variations: int = 100

    def __post_init__(self) -> None:
        for what, value, low, high in (
            ("window_s", self.window_s, 1, 86_400),
            ("least_rows", self.least_rows, 10, 1_000_000),
            ("throttle_s", self.throttle_s, 0, 86_400),
            ("subjects", self.subjects, 0, 10_000),
            ("variations", self.variations, 0, 1_000_000),
        ):
            if not low <= value <= high:
                raise InvalidInputError(f"probing.{what} is {low} to {high}", field=f"probing.{what}", rule="range")
        try:
            share = float(self.share)
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            raise InvalidInputError("probing.share is above 0, at most 1", field="probing.share", rule="range")


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`node.toml`.

    Attributes:
        org, room, region, node: the parts of the origins of this node's logs.
        environment: which releases fit, for example `production`.
        jurisdictions: labels that this node serves.
        repository: the release repository, a folder or an http(s) address.
        listen, metrics: `host:port` of the door and of the metrics; port 0 takes any free one; empty metrics: none.
        workers: processes, each with a log of its own (slot 0, 1, ...).
        generation: the first one of the logs; later ones are found by their folders (`wiring.generations`).
        refresh_s: between looks at the repository.
        retention_days: how long payloads are kept at least.
        segment_bytes: of the write-ahead segments.
        unauthenticated_window_s: how long requests without a valid credential are counted, from the first, before one
            record says how many there were; 1 to 3600.
        signature_window_s: how old the signature of a request may be; 5 to 3600.
        batch_scheduling: run the workers under SCHED_BATCH.
        limits: what one worker takes in.
        tls: none means plain HTTP, for a loopback address or behind a proxy of the same machine.
        identity: how the keys of issuers are fetched; none means public addresses only.
        publication: a second place for the public form of the logs; none means the node's own folder only.
        probing: none means that nobody looks for it.

    Witnesses, with their keys and addresses, are in `trust/log-policy`, not here.
    """

    v: Literal[1]
    org: str
    room: str
    region: str
    node: str
    environment: str
    jurisdictions: tuple[str, ...]
    repository: str
    listen: str = "127.0.0.1:8080"
    metrics: str = "127.0.0.1:9100"
    workers: int = 1
    generation: int = 1
    refresh_s: float = 1.0
    retention_days: int = 3660
    segment_bytes: int = SEGMENT_BYTES
    body_bytes: int = 2_000_000
    unauthenticated_window_s: float = 10.0
    signature_window_s: int = 60
    batch_scheduling: bool = False
    limits: LimitSettings = LimitSettings()
    tls: TlsSettings | None = None
    identity: IdentitySettings | None = None
    publication: PublicationSettings | None = None
    probing: ProbingSettings | None = None

    def __post_init__(self) -> None:
        for what in ("node", "environment"):
            parse_name(getattr(self, what), what)
        for label in self.jurisdictions:
            parse_jurisdiction(label)
        if not self.jurisdictions:
            raise InvalidInputError("a node serves at least one jurisdiction", field="jurisdictions", rule="count")
        if not 1 <= self.workers <= WORKERS_LIMIT:
            raise InvalidInputError(f"a node has 1 to {WORKERS_LIMIT} workers", field="workers", rule="range")
        if not 0.1 <= self.refresh_s <= 600:
            raise InvalidInputError("refresh_s is 0.1 to 600", field="refresh_s", rule="range")
        if not 1 <= self.retention_days <= 36_600:
            raise InvalidInputError("retention_days is 1 to 36600", field="retention_days", rule="range")
        if not 5 <= self.signature_window_s <= 3600:
            raise InvalidInputError("signature_window_s is 5 to 3600", field="signature_window_s", rule="range")
        if not 1 <= self.unauthenticated_window_s <= 3600:
            raise InvalidInputError(
                "unauthenticated_window_s is 1 to 3600", field="unauthenticated_window_s", rule="range"
            )
        parse_address(self.listen, "listen")
        if self.metrics:
            parse_address(self.metrics, "metrics")
        self.origin(0)

    def origin(self, slot: int, generation: int | None = None) -> str:
        """The name of a worker's log; of its first generation if none is said."""
        number = self.generation if generation is None else generation
        return str(Origin(self.org, self.room, self.region, self.node, str(slot), number))

    def encode(self) -> bytes:
        """The file. A JSON string, number or list of strings is spelled the same in TOML."""
        plain = msgspec.to_builtins(self)
        tables = {name: value for name, value in plain.items() if isinstance(value, dict)}
        lines = ["# A Strongroom gateway. Its keys lie in node.keyring, what it trusts in trust/."]
        lines += [f"{n} = {json.dumps(v)}" for n, v in plain.items() if v is not None and n not in tables]
        for table, values in tables.items():
            lines += [
                f"[{table}]",
                *(f"{name} = {json.dumps(value)}" for name, value in values.items() if value is not None),
            ]
        return ("\n".join(lines) + "\n").encode()

    def log_key_name(self, slot: int, generation: int | None = None) -> str:
        """Under which name the key file keeps a log's seed; of its first generation if none is said."""
        return f"log-{slot}-{self.generation if generation is None else generation}"


def parse_address(text: str, what: str) -> tuple[str, int]:
    """`host:port`; IPv6 hosts in brackets.

    Raises:
        InvalidInputError: another form.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise InvalidInputError(f"`{what}` is host:port", field=what, rule="address")
    return host.strip("[]"), int(port)
