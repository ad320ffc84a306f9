"""The settings of a node: what is refused, and that each is documented."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from strongroom.errors import InvalidInputError
from strongroom.wiring.node import NodeLayout
from strongroom.wiring.node_settings import IdentitySettings, LimitSettings, NodeSettings
from strongroom.wiring.publishing import PublicationSettings

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "node-toml.md"
GIVEN = NodeSettings(
    v=1, org="bank", room="credit", region="eu", node="node-1", environment="production", jurisdictions=("EU",),
    repository="/releases",
)  # fmt: skip


fields_of = msgspec.structs.fields


def test_every_setting_is_documented_with_its_default():
    text = REFERENCE.read_text()
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    rows = {name.strip(" `"): line for line in lines for name in line.split("|")[1].split(",")}
    rows.pop("[limits]")
    fields = [field for field in fields_of(NodeSettings) if field.name != "limits"]
    for field in (*fields, *fields_of(LimitSettings), *fields_of(PublicationSettings)):
        row = rows.pop(f"[{field.name}]" if f"[{field.name}]" in rows else field.name)
        if field.default not in (msgspec.NODEFAULT, None):
            assert str(field.default).lower() in row.lower(), field.name
    assert not rows, f"documented and unknown: {sorted(rows)}"


OUT_OF_RANGE = [
    ("unauthenticated_window_s", 0.5),
    ("unauthenticated_window_s", 4000.0),
    ("unauthenticated_window_s", float("nan")),
    ("workers", 0),
    ("refresh_s", 0.0),
    ("retention_days", 0),
    ("jurisdictions", ()),
    ("listen", "x"),
]


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE)
def test_a_setting_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(InvalidInputError) as caught:
        msgspec.structs.replace(GIVEN, **{name: value}).__post_init__()
    assert caught.value.details["field"] == name


def test_the_file_reads_back(tmp_path):
    settings = msgspec.structs.replace(GIVEN, unauthenticated_window_s=2.5, batch_scheduling=True)
    settings = msgspec.structs.replace(settings, identity=IdentitySettings(networks=("10.20.0.0/16",), loopback=True))
    layout = NodeLayout(tmp_path)
    layout.settings.write_bytes(settings.encode())
    assert layout.read() == settings


@pytest.mark.parametrize(
    "data", [b"\xff\xfev\x00", b"v = [", b"v = 1", b'v = "1"'], ids=["utf-16", "cut", "few", "typed"]
)
def test_a_file_that_is_not_understood_is_said_in_one_line(tmp_path, data):
    layout = NodeLayout(tmp_path)
    layout.settings.write_bytes(data)
    with pytest.raises(InvalidInputError, match=r"^node\.toml is not understood: "):
        layout.read()
