"""Which files may come out of the sandbox: typed, and checked before anyone else reads them."""

from __future__ import annotations

import re

import msgspec

from strongroom.errors import SandboxError

SUFFIXES = (".html", ".json", ".onnx", ".parquet", ".svg", ".ubj")

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\.(html|json|onnx|parquet|svg|ubj)\Z")
_SVG = re.compile(rb"\s*(<\?xml[^>]{0,200}\?>\s*)?<svg[\s>]")
_HTML = re.compile(rb"\s*<!doctype html>", re.IGNORECASE)
# what makes a picture or a page do something: code, entities, other documents
_ACTIVE = re.compile(
    rb"<!entity|<!doctype\s+svg|<\s*(script|iframe|object|embed|foreignobject|base)[\s>/]|javascript:|\son[a-z]+\s*="
    rb"|(href|src)\s*=[\s\"']*(https?:|//|data:text)|@import|url\([\s\"']*(https?:|//)|http-equiv\s*=\s*[\"']?refresh",
    re.IGNORECASE,
)
_PARQUET = b"PAR1"
# a converted model: what its writers put first; the scan looks at the rest, in a sandbox of its own
_MODEL = {".onnx": b"\x08", ".ubj": b"{L"}


def check_result(name: str, data: bytes) -> None:
    """Refuse a result that is not what its name says.

    Args:
        name: in lower case, with one of the suffixes.
        data: the content.

    Raises:
        SandboxError: a foreign name, JSON that does not parse, Parquet without its marks, or a picture or page that
            carries code.
    """
    if not _NAME.match(name):
        shown = "".join(c if c.isprintable() else "?" for c in name)[:80]
        raise SandboxError(
            f"result `{shown}` is not a lower-case name with one of the suffixes {', '.join(SUFFIXES)}", reason="output"
        )
    if name.endswith(".json"):
        try:
            msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise SandboxError(f"result `{name}` is not JSON", reason="output") from error
    elif name.endswith(".parquet"):
        if len(data) < 12 or data[:4] != _PARQUET or data[-4:] != _PARQUET:
            raise SandboxError(f"result `{name}` is not a Parquet file", reason="output")
    elif name.endswith(tuple(_MODEL)):
        if not data.startswith(_MODEL[name[name.rindex(".") :]]):
            raise SandboxError(f"result `{name}` does not begin as a model of its kind", reason="output")
    else:
        page = _SVG if name.endswith(".svg") else _HTML
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise SandboxError(f"result `{name}` is not UTF-8", reason="output") from error
        if not page.match(data):
            raise SandboxError(f"result `{name}` does not begin as its suffix says", reason="output")
        if _ACTIVE.search(data):
            raise SandboxError(f"result `{name}` carries code, entities or foreign documents", reason="output")
