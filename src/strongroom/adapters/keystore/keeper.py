"""The keeper: the one process of a node that owns its key store.

It knows no secret that opens a record: subjects reach it as keyed tags, keys as wrapped by the workers. It answers on a
unix socket that only its own user may open, keeps the list of caches that may hold a key, and calls a key erased only
when every one of them has confirmed. It runs on glibc's malloc, told to overwrite what is freed.

    python -m strongroom.adapters.keystore.keeper --folder node --backups backups --backup-keys backup-keys --region EU
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from strongroom.adapters.keys.process_memory import MEMORY, harden
from strongroom.adapters.keystore.backup import Backups
from strongroom.adapters.keystore.direct import OwnedStore, open_owned
from strongroom.adapters.keystore.keeper_wire import (
    CLIENT_ID_SIZE,
    SOCKET,
    Kind,
    Message,
    address_of,
    read_offers,
    read_tags,
    receive,
    send,
    wipe,
)
from strongroom.errors import RefusedError, StrongroomError, UnavailableError
from strongroom.sealing.subjects import TAG_BYTES

CONNECTION_LIMIT: Final = 256
REST_S: Final = 10.0
CONFIRM_S: Final = 5.0
UPKEEP_INTERVAL_S: Final = 3600.0


class Listener:
    """A cache in another process, reached over a connection of its own."""

    def __init__(self, identity: bytes, peer: socket.socket, pid: int) -> None:
        self.identity = identity
        self.peer = peer
        self.pidfd = os.pidfd_open(pid)
        self.pid = pid

    def exited(self) -> bool:
        """Whether the process has ended, and its memory with it."""
        ready, _, _ = select.select([self.pidfd], [], [], 0)
        return bool(ready)

    def close(self) -> None:
        """Release both descriptors."""
        self.peer.close()
        os.close(self.pidfd)


class Keeper:
    """Serves one key store.

    Args:
        owned: the store; this process is its owner.
        path: of the socket; a stale one is replaced, which is safe because the store's lock is held.
        confirm_s: how long a cache may take to confirm.
    """

    def __init__(self, owned: OwnedStore, path: Path, confirm_s: float = CONFIRM_S) -> None:
        self._owned = owned
        self._confirm_s = confirm_s
        self._listeners: dict[bytes, Listener] = {}
        self._registry = threading.Lock()
        self._erasing = threading.Lock()
        self._slots = threading.BoundedSemaphore(CONNECTION_LIMIT)
        self._stopping = threading.Event()
        path.unlink(missing_ok=True)
        self._path = path
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)  # the socket is born with mode 600
        try:
            with address_of(path) as address:
                self._server.bind(address)
        finally:
            os.umask(before)
        self._server.listen(64)

    def serve(self) -> None:
        """Until `stop`."""
        threading.Thread(target=self._keep_up, daemon=True, name="upkeep").start()
        while not self._stopping.is_set():
            try:
                peer, _ = self._server.accept()
            except OSError:
                break
            if not self._slots.acquire(blocking=False):
                peer.close()
                continue
            threading.Thread(target=self._attend, args=(peer,), daemon=True).start()
        self._owned.close()

    def stop(self) -> None:
        """Finish: no new connection, the store closed."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            # on a disk that is read-only by now the name stays; the next keeper takes its place
            self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _attend(self, peer: socket.socket) -> None:
        keep = False
        try:
            pid, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if uid not in (os.getuid(), 0):
                return
            while not keep:
                message = receive(peer, None, REST_S)
                if message is None:
                    return
                with message:
                    if message.kind == Kind.LISTEN:
                        keep = self._listen(peer, pid, bytes(message.body))
                    else:
                        self._answer(peer, message)
        except (OSError, StrongroomError, ValueError):
            return  # a broken or dishonest connection ends; it costs nobody else anything
        finally:
            self._slots.release()
            if not keep:
                peer.close()

    def _listen(self, peer: socket.socket, pid: int, identity: bytes) -> bool:
        if len(identity) != CLIENT_ID_SIZE:
            raise UnavailableError("a cache announces itself with 16 bytes")
        with self._registry:
            for old in [key for key, held in self._listeners.items() if held.exited() or key == identity]:
                self._listeners.pop(old).close()
            self._listeners[identity] = Listener(identity, peer, pid)
        send(peer, Kind.DONE)
        return True

    def _answer(self, peer: socket.socket, message: Message) -> None:
        try:
            if message.kind == Kind.GOODBYE:
                with self._registry:
                    held = self._listeners.pop(bytes(message.body), None)
                if held is not None:
                    held.close()
                send(peer, Kind.DONE)
            elif message.kind == Kind.ENSURE:
                rows = self._owned.ensure(read_offers(message.body))
                send(peer, Kind.KEYS, rows)
                wipe(rows)
            elif message.kind == Kind.FIND_ALL:
                rows = self._owned.find_all(read_tags(message.body))
                send(peer, Kind.KEYS, rows)
                wipe(rows)
            elif message.kind in (Kind.FIND, Kind.BY_KEY_ID):
                look = self._owned.find if message.kind == Kind.FIND else self._owned.by_key_id
                row = look(bytes(message.body))
                if row is None:
                    send(peer, Kind.NONE)
                else:
                    send(peer, Kind.KEYS, row)
                    wipe(row)
            elif message.kind == Kind.FORGET:
                if len(message.body) != TAG_BYTES:
                    raise UnavailableError(f"a subject tag has {TAG_BYTES} bytes")
                with self._erasing:
                    forgotten = self._owned.erase(bytes(message.body), self._drop)
                send(peer, Kind.DONE, msgspec.json.encode(forgotten))
            elif message.kind == Kind.BACK_UP:
                send(peer, Kind.DONE, os.fsencode(self._owned.back_up()))
            elif message.kind == Kind.PAGE:
                rows = self._owned.page(int.from_bytes(message.body[:8], "big"))
                send(peer, Kind.DONE, rows)
                wipe(rows)
            elif message.kind == Kind.EXCHANGE:
                send(peer, Kind.DONE, str(self._owned.exchange(message.body)).encode())
            elif message.kind == Kind.RENEW:
                with self._erasing:
                    send(peer, Kind.DONE, str(self._renew()).encode())
            elif message.kind == Kind.EXPIRE:
                send(peer, Kind.DONE, json.dumps(self._owned.expire()).encode())
            else:
                send(peer, Kind.REFUSED, b"the keeper does not know this message")
        except RefusedError as error:
            send(peer, Kind.REFUSED, error.message.encode())
        except StrongroomError as error:
            send(peer, Kind.UNAVAILABLE, error.message.encode())

    def _drop(self, tag: bytes, key_ids: Sequence[bytes]) -> int:
        """Every cache forgets a subject."""
        return self._tell_all(Kind.DROP, Kind.DROPPED, tag, *key_ids)

    def _renew(self) -> int:
        """Every cache wraps under the newest key from now on."""
        return self._tell_all(Kind.RELOAD, Kind.RELOADED, os.urandom(CLIENT_ID_SIZE))

    def _tell_all(self, order: Kind, done: Kind, mark: bytes, *rest: bytes) -> int:
        """Tell every cache and have each confirm; a process that has ended holds nothing.

        Raises:
            UnavailableError: one has not confirmed.
        """
        with self._registry:
            asked = list(self._listeners.values())
        for cache in asked:
            with contextlib.suppress(OSError):
                cache.peer.settimeout(self._confirm_s)
                send(cache.peer, order, mark, *rest)
        silent = []
        for cache in asked:
            try:
                answer = receive(cache.peer, self._confirm_s, self._confirm_s)
                confirmed = answer is not None and answer.kind == done and bytes(answer.body) == mark
                lost = answer is None
            except (OSError, StrongroomError):
                # a late answer would be taken for the next one: this connection is of no use any more
                confirmed, lost = False, True
            if lost:
                cache.peer.close()
            if not confirmed and not cache.exited():
                silent.append(cache.pid)
        if silent:
            raise UnavailableError(
                f"{len(silent)} of {len(asked)} caches have not confirmed (process {', '.join(map(str, silent))}); "
                f"{'the erasure' if order == Kind.DROP else 'it'} stays pending, ask again"
            )
        return len(asked)

    def _keep_up(self) -> None:
        while not self._stopping.is_set():
            # each on its own: a full backup disk must not keep an old backup key alive; both are tried again
            with contextlib.suppress(StrongroomError, OSError):
                self._owned.expire()
            with contextlib.suppress(StrongroomError, OSError):
                self._owned.back_up_daily()
            self._stopping.wait(UPKEEP_INTERVAL_S)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a keeper until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="strongroom-keeper", description="own the key store of one node")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--backups", type=Path, required=True)
    parser.add_argument("--backup-keys", type=Path, required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--die-with-parent", action="store_true")
    parser.add_argument("--allow-memory-inspection", action="store_true")
    chosen = parser.parse_args(arguments)
    if any(os.environ.get(name) != value for name, value in MEMORY.items()):
        # both are read when a process starts, so whoever started this one, it starts itself again
        again = [sys.executable, "-m", "strongroom.adapters.keystore.keeper", *(arguments or sys.argv[1:])]
        os.execve(sys.executable, again, {**os.environ, **MEMORY})  # noqa: S606 - a fixed program, no shell
    harden(die_with_parent=chosen.die_with_parent, inspectable=chosen.allow_memory_inspection)
    try:
        backups = Backups(chosen.backups, chosen.backup_keys)
        keeper = Keeper(
            open_owned(chosen.folder, backups, lambda: datetime.now(UTC), chosen.region), chosen.folder / SOCKET
        )
    except StrongroomError as error:
        print(json.dumps({"ready": False, "error": error.message}), flush=True)
        return 3
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=keeper.stop, daemon=True).start())
    print(json.dumps({"ready": True, "socket": str(chosen.folder / SOCKET), "pid": os.getpid()}), flush=True)
    keeper.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
