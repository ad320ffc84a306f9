"""A challenger in shadow as a process of its own: it may be slow, loop, crash or eat memory, and no answer notices.

The model comes through a pipe, as plaintext in memory, like everything else; nothing is written to a disk. Frames of
both directions: four bytes of length, then MessagePack (rows: raw float32).

    python -m strongroom.adapters.runtimes.shadow_process
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
import time
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.approval.release import NumericProfile
from strongroom.errors import UnavailableError

FRAME_LIMIT: Final = 1 << 31
ANSWER_S: Final = 2.0
START_S: Final = 30.0
REST_LIMIT_S: Final = 60.0
NICE: Final = 10
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4


class _Model(msgspec.Struct):
    artifact: bytes
    tensor: str
    output: str
    features: int
    profile: NumericProfile


class _Reply(msgspec.Struct):
    data: bytes = b""
    shape: tuple[int, ...] = ()
    kind: str = ""
    error: str = ""


class ShadowProcess:
    """`serving.shadow.Scores` in a child process. One thread.

    A child that fails is killed and started again, after a pause that doubles up to a minute; until then every call
    fails at once.

    Args:
        artifact: the model, plaintext.
        tensor, output, features: of its contract.
        profile: how it may be called.
        answer_s: how long a call may take.
    """

    def __init__(
        self,
        artifact: bytes,
        tensor: str,
        output: str,
        features: int,
        profile: NumericProfile,
        *,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._model = msgspec.msgpack.encode(_Model(artifact, tensor, output, features, profile))
        self._answer_s = answer_s
        self._child: subprocess.Popen[bytes] | None = None
        self._rest_s = 0.0
        self._not_before = 0.0

    @property
    def pid(self) -> int | None:
        """Of the child, while there is one."""
        return self._child.pid if self._child is not None else None

    @property
    def resting(self) -> bool:
        """Whether a call would fail without being tried."""
        return self._child is None and time.monotonic() < self._not_before

    def score(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Scores`."""
        if self.resting:
            raise UnavailableError("the challenger failed lately and rests")
        try:
            if self._child is None:
                self._start()
            reply = self._ask(np.ascontiguousarray(matrix, "<f4").tobytes(), self._answer_s)
            found = np.frombuffer(reply.data, np.dtype(reply.kind)).reshape(reply.shape)
        except (OSError, ValueError, TypeError, EOFError, msgspec.MsgspecError) as error:
            self.stop()
            self._rest_s = min(max(1.0, 2 * self._rest_s), REST_LIMIT_S)
            self._not_before = time.monotonic() + self._rest_s
            raise UnavailableError(f"the challenger did not answer: {type(error).__name__}") from error
        self._rest_s = 0.0
        if found.dtype != np.float32:
            raise UnavailableError("the challenger answered in another type than its contract")
        return found

    def stop(self) -> None:
        """Kill the child, whatever it does."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        child.wait()

    def _start(self) -> None:
        command = [sys.executable, "-m", "strongroom.adapters.runtimes.shadow_process"]
        self._child = subprocess.Popen(  # noqa: S603  # a fixed program, no shell
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
        if self._ask(self._model, START_S).error:
            raise EOFError("it does not load")

    def _ask(self, data: bytes, within_s: float) -> _Reply:
        child, until = self._child, time.monotonic() + within_s
        if child is None or child.stdin is None or child.stdout is None:
            raise EOFError("there is no child")
        frame = memoryview(len(data).to_bytes(4, "big") + data)
        while frame:
            _wait(child.stdin.fileno(), select.POLLOUT, until)
            with contextlib.suppress(BlockingIOError):
                frame = frame[os.write(child.stdin.fileno(), frame) :]
        size = int.from_bytes(_read(child.stdout.fileno(), 4, until), "big")
        if size > FRAME_LIMIT:
            raise ValueError("a reply that is too long")
        reply = msgspec.msgpack.decode(_read(child.stdout.fileno(), size, until), type=_Reply)
        if reply.error:
            raise EOFError(reply.error)
        return reply


def _wait(descriptor: int, what: int, until: float) -> None:
    poll = select.poll()
    poll.register(descriptor, what)
    left_s = until - time.monotonic()
    if left_s <= 0 or not poll.poll(1000 * left_s):
        raise TimeoutError("the challenger takes too long")


def _read(descriptor: int, size: int, until: float) -> bytes:
    data = b""
    while len(data) < size:
        _wait(descriptor, select.POLLIN, until)
        try:
            part = os.read(descriptor, size - len(data))
        except BlockingIOError:
            continue
        if not part:
            raise EOFError("the challenger ended")
        data += part
    return data


def main() -> int:
    """The child: load, then answer until the pipe closes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        libc: Any = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.nice(NICE)
    replies = os.fdopen(os.dup(1), "wb")
    # whatever a runtime prints goes elsewhere than between the frames
    os.dup2(2, 1)
    requests = sys.stdin.buffer
    data = _frame(requests)
    if data is None:
        return 0
    from strongroom.adapters.runtimes.by_name import runtime_of
    from strongroom.serving.profile import Scorer

    model = msgspec.msgpack.decode(data, type=_Model)
    try:
        session = runtime_of(model.profile).load(model.artifact, model.tensor, model.output, model.features)
        scorer = Scorer(session, model.profile)
    except Exception as error:
        _send(replies, _Reply(error=type(error).__name__))
        return 1
    _send(replies, _Reply())
    while (data := _frame(requests)) is not None:
        try:
            found = scorer.score(np.frombuffer(data, "<f4").reshape(-1, model.features))
            _send(replies, _Reply(found.tobytes(), found.shape, found.dtype.str))
        except Exception as error:
            _send(replies, _Reply(error=type(error).__name__))
    return 0


def _frame(requests: BinaryIO) -> bytes | None:
    head = requests.read(4)
    if len(head) < 4:
        return None
    return requests.read(int.from_bytes(head, "big"))


def _send(replies: BinaryIO, reply: _Reply) -> None:
    data = msgspec.msgpack.encode(reply)
    replies.write(len(data).to_bytes(4, "big") + data)
    replies.flush()


if __name__ == "__main__":
    sys.exit(main())
