"""A worker's side of the keeper: requests on one connection, orders to forget on another."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.adapters.keys.process_memory import MEMORY
from strongroom.adapters.keystore.backup import Backups
from strongroom.adapters.keystore.direct import open_owned, store_name
from strongroom.adapters.keystore.keeper_wire import (
    CLIENT_ID_SIZE,
    SOCKET,
    Kind,
    Message,
    address_of,
    receive,
    send,
)
from strongroom.adapters.keystore.subject_cache import CachedSubjectKeys
from strongroom.adapters.keystore.subject_keks import Keks
from strongroom.errors import RefusedError, StrongroomError, TamperedError, UnavailableError
from strongroom.sealing.records import KEY_ID_SIZE
from strongroom.sealing.subjects import KEY_SIZE, TAG_BYTES, Forgotten
from strongroom.vocabulary import Clock

log = logging.getLogger(__name__)

REQUEST_S: Final = 10.0
ERASE_S: Final = 60.0
_TICK_S: Final = 1.0


class KeeperBackend:
    """Talks to a keeper; reconnects after it restarted, with an empty cache.

    Args:
        folder: the node's, where the keeper has its socket.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / SOCKET
        self._identity = os.urandom(CLIENT_ID_SIZE)
        self._requests: socket.socket | None = None
        self._orders: socket.socket | None = None
        self._closed = False
        self.cache: CachedSubjectKeys | None = None

    def prepare(self) -> None:
        """Connected, so that this process is told when keys are wrapped anew."""
        if self._requests is None:
            try:
                self._connect()
            except OSError as error:
                self._hang_up()
                raise UnavailableError(f"the keeper does not answer at `{self._path}`: {error}") from error

    def ensure(self, tags: Sequence[bytes], candidates: bytearray) -> bytearray:
        """Key ids and wrapped keys, durable."""
        # what was wrapped before a new connection may be wrapped under a key that is on its way out
        return self._rows(self._ask(Kind.ENSURE, b"".join(tags), candidates, connect=False), len(tags))

    def find_all(self, tags: Sequence[bytes]) -> bytearray:
        """Key ids and wrapped keys; zeros where there is none."""
        return self._rows(self._ask(Kind.FIND_ALL, b"".join(tags)), len(tags))

    def _rows(self, rows: bytearray | None, count: int) -> bytearray:
        if rows is None or len(rows) != KEY_SIZE * count:
            raise TamperedError("the keeper answered with another number of keys than asked")
        return rows

    def find(self, tag: bytes) -> bytearray | None:
        """One key by tag."""
        return self._ask(Kind.FIND, tag)

    def by_key_id(self, key_id: bytes) -> bytearray | None:
        """One key by id."""
        return self._ask(Kind.BY_KEY_ID, key_id)

    def forget(self, tag: bytes) -> Forgotten:
        """Have it erased. A connection of its own, because the order to forget comes back to this process."""
        return msgspec.json.decode(_once(self._path, Kind.FORGET, tag), type=Forgotten)

    def close(self) -> None:
        """Say goodbye, so that no erasure waits for this cache; call after it is purged."""
        self._closed = True
        with contextlib.suppress(StrongroomError):
            _once(self._path, Kind.GOODBYE, self._identity)
        self._hang_up()

    def _ask(self, kind: Kind, *parts: bytes | bytearray, connect: bool = True) -> bytearray | None:
        try:
            peer = self._requests or (self._connect() if connect else None)
            if peer is None:
                raise UnavailableError(f"the keeper at `{self._path}` closed the connection; try again")
            send(peer, kind, *parts)
            message = receive(peer, REQUEST_S, REQUEST_S)
        except OSError as error:
            self._hang_up()
            raise UnavailableError(f"the keeper does not answer at `{self._path}`: {error}") from error
        except StrongroomError:
            self._hang_up()
            raise
        if message is None:
            self._hang_up()
            raise UnavailableError(f"the keeper at `{self._path}` closed the connection; is it running?")
        with message:
            if message.kind == Kind.NONE:
                return None
            _expect(message, Kind.KEYS)
            return bytearray(message.body)

    def _connect(self) -> socket.socket:
        """Listen first: no key may arrive before this cache can be told to forget it."""
        if self._closed:
            raise UnavailableError("this connection to the keeper was closed")
        orders = _dial(self._path)
        send(orders, Kind.LISTEN, self._identity)
        answer = receive(orders, REQUEST_S, REQUEST_S)
        if answer is None:
            raise UnavailableError(f"the keeper at `{self._path}` refused this process; it serves its own user only")
        _expect(answer, Kind.DONE)
        self._orders = orders
        if self.cache is not None:
            # behind the announcement: whoever changes the wrapping key from now on waits for this process
            self.cache.renew()
        threading.Thread(target=self._obey, args=(orders,), daemon=True, name="keeper-orders").start()
        self._requests = _dial(self._path)
        return self._requests

    def _obey(self, orders: socket.socket) -> None:
        """Forget when told; forget everything when the keeper can no longer tell."""
        cache = self.cache
        try:
            while cache is not None:
                try:
                    order = receive(orders, _TICK_S, REQUEST_S)
                except TimeoutError:
                    cache.sweep()
                    continue
                if order is not None and order.kind == Kind.RELOAD:
                    token = bytes(order.body)
                    try:
                        cache.renew()
                    except StrongroomError as error:
                        log.error("the keys of subjects cannot be wrapped anew: %s", error.message)
                        send(orders, Kind.STILL_HELD, token)
                        continue
                    send(orders, Kind.RELOADED, token)
                    continue
                if order is None or order.kind != Kind.DROP:
                    break
                tag = bytes(order.body[:TAG_BYTES])
                ids = bytes(order.body[TAG_BYTES:])
                key_ids = [ids[place : place + KEY_ID_SIZE] for place in range(0, len(ids), KEY_ID_SIZE)]
                send(orders, Kind.DROPPED if cache.drop(tag, key_ids) else Kind.STILL_HELD, tag)
        except (OSError, StrongroomError):
            pass  # the same as a closed connection
        finally:
            clean = cache is None or cache.purge()
            self._hang_up()
            if clean and not self._closed:
                # an idle worker would otherwise hold up every erasure until its next request
                with contextlib.suppress(StrongroomError):
                    _once(self._path, Kind.GOODBYE, self._identity)

    def _hang_up(self) -> None:
        for peer in (self._requests, self._orders):
            if peer is not None:
                with contextlib.suppress(OSError):
                    peer.shutdown(socket.SHUT_RDWR)
                peer.close()
        self._requests = self._orders = None


class KeeperProcess:
    """A keeper as a child of this process; a context manager.

    Args:
        folder: the node's.
        backups: for backups and the journal of erasures.
        backup_keys: for the backup keys; never backed up.
        region: of the store.
        die_with_parent: end with this process.
    """

    def __init__(
        self, folder: Path, backups: Path, backup_keys: Path, region: str, *, die_with_parent: bool = True
    ) -> None:
        self._folder = folder
        command = [sys.executable, "-m", "strongroom.adapters.keystore.keeper"]
        command += ["--folder", str(folder), "--region", region]
        command += ["--backups", str(backups), "--backup-keys", str(backup_keys)]
        if die_with_parent:
            command.append("--die-with-parent")
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> KeeperProcess:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of the running keeper."""
        if self._child is None:
            raise UnavailableError("the keeper is not running")
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it is alive; a supervisor starts it again when not, and the workers reconnect."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Return when it answers.

        Raises:
            UnavailableError: it ended instead; the message is its own.
        """
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it, and do something else until `wait`. It ends with the thread that calls this."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        environment = os.environ | MEMORY
        self._child = subprocess.Popen(self._command, stdout=subprocess.PIPE, env=environment)  # noqa: S603 - a fixed program, no shell

    def wait(self) -> None:
        """Return when it answers.

        Raises:
            UnavailableError: it ended instead; the message is its own.
        """
        if self._child is None or self._child.stdout is None:
            raise UnavailableError("the keeper has not been started")
        line = self._child.stdout.readline()
        report = json.loads(line) if line else {"ready": False, "error": "it ended without a word"}
        if not report["ready"]:
            self.stop()
            raise UnavailableError(f"the keeper did not start: {report['error']}")

    def stop(self) -> None:
        """Stop it; the store is closed and its log emptied."""
        if self._child is not None:
            self._child.terminate()
            try:
                self._child.wait(10)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
            if self._child.stdout is not None:
                self._child.stdout.close()
            self._child = None


def keeper_keys(
    folder: Path, kek: AESGCM | Keks, *, limit: int = 50_000, ttl_s: float = 300.0, grace_s: float = 1.0
) -> CachedSubjectKeys:
    """Subject keys from the keeper of a node."""
    backend = KeeperBackend(folder)
    backend.cache = CachedSubjectKeys(backend, kek, limit=limit, ttl_s=ttl_s, grace_s=grace_s)
    return backend.cache


def forget_through_keeper(folder: Path, tag: bytes) -> Forgotten:
    """Erase one subject; needs no key. For the data protection officer's side.

    Raises:
        UnavailableError: no keeper answers, or a cache has not confirmed.
    """
    return msgspec.json.decode(_once(folder / SOCKET, Kind.FORGET, tag), type=Forgotten)


class NodeStore:
    """The key store of one node as an erasure sees it: through its keeper, or directly while none runs.

    Args:
        folder: the node's.
        backups: of its key store.
        region: of its key store.
        clock: for the direct way.
    """

    def __init__(self, folder: Path, backups: Backups, region: str, clock: Clock) -> None:
        self._folder = folder
        self._backups = backups
        self._region = region
        self._clock = clock
        self.name = store_name(folder, region)

    def forget(self, tag: bytes) -> Forgotten:
        """Raises UnavailableError where a keeper runs and does not confirm; the store's lock decides if one runs."""
        try:
            owned = open_owned(self._folder, self._backups, self._clock, self._region)
        except UnavailableError:
            return forget_through_keeper(self._folder, tag)
        try:
            return owned.erase(tag, lambda _tag, _key_ids: 0)
        finally:
            owned.close()


def back_up_through_keeper(folder: Path) -> Path:
    """Have a backup written; its path."""
    return Path(os.fsdecode(_once(folder / SOCKET, Kind.BACK_UP, b"")))


def expire_through_keeper(folder: Path) -> list[str]:
    """Have backup keys destroyed whose time is up; their days."""
    days: list[str] = json.loads(_once(folder / SOCKET, Kind.EXPIRE, b""))
    return days


def ask_keeper_once(folder: Path, kind: Kind, body: bytes | bytearray) -> bytes:
    """One question on a connection of its own."""
    return _once(folder / SOCKET, kind, body)


def _once(path: Path, kind: Kind, body: bytes | bytearray) -> bytes:
    try:
        with _dial(path) as peer:
            send(peer, kind, body)
            message = receive(peer, ERASE_S, REQUEST_S)
            if message is None:
                raise UnavailableError(f"the keeper at `{path}` closed the connection; is it running?")
            with message:
                _expect(message, Kind.DONE)
                return bytes(message.body)
    except OSError as error:
        raise UnavailableError(f"the keeper does not answer at `{path}`: {error}") from error


def _dial(path: Path) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.settimeout(REQUEST_S)
    try:
        with address_of(path) as address:
            peer.connect(address)
    except OSError:
        peer.close()
        raise
    return peer


def _expect(message: Message, kind: Kind) -> None:
    if message.kind == kind:
        return
    text = bytes(message.body[:500]).decode(errors="replace")
    if message.kind == Kind.REFUSED:
        raise RefusedError(text)
    raise UnavailableError(text or "the keeper answered with something else")
