"""A deadline over everything that a connection does: handshake, headers and body.

A socket's own timeout counts from byte to byte, so a peer that sends one now and then holds its reader for ever.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Sequence


class WatchedLine:
    """A connection that is cut off at one moment, whatever it is doing then.

    Args:
        until_s: that moment, on the monotonic clock.
        read_timeout_s: longest silence.
    """

    def __init__(self, until_s: float, read_timeout_s: float) -> None:
        self._until_s = until_s
        self._read_timeout_s = read_timeout_s
        self._sock: socket.socket | None = None
        self._watchdog: threading.Timer | None = None

    @property
    def over(self) -> bool:
        """Whether the time is up. What was cut off may look like a whole answer, so ask after the last byte."""
        return time.monotonic() >= self._until_s

    def connect(self, addresses: Sequence[str], port: int, tls: ssl.SSLContext | None, host: str) -> socket.socket:
        """Connect to the first address that answers; all attempts and the handshake share the time.

        Raises:
            OSError: none answers in time, or the handshake fails.
        """
        failed: OSError = TimeoutError("no address, or no time left")
        for address in addresses:
            left_s = self._until_s - time.monotonic()
            if left_s <= 0:
                break
            try:
                sock = socket.create_connection((address, port), timeout=min(left_s, self._read_timeout_s))
            except OSError as error:
                failed = error
                continue
            self._watch(sock)
            sock.settimeout(self._read_timeout_s)
            if tls is not None:
                # the wrapped socket takes the descriptor over, so the watchdog must know it before the handshake
                wrapped = tls.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
                self._sock = wrapped
                wrapped.do_handshake()
                return wrapped
            return sock
        raise failed

    def close(self) -> None:
        """Stop watching and close."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._sock is not None:
            self._sock.close()

    def _watch(self, sock: socket.socket) -> None:
        self._sock = sock
        self._watchdog = threading.Timer(max(self._until_s - time.monotonic(), 0.001), self._cut)
        self._watchdog.daemon = True
        self._watchdog.start()

    def _cut(self) -> None:
        sock = self._sock
        if sock is None:
            return
        try:
            # not SSLSocket's own, which takes the session away under the reader
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        except OSError:
            return
