"""What is written into node.toml is what is read back."""

from pathlib import Path

import msgspec
import pytest

from strongroom.errors import InvalidInputError
from strongroom.wiring.node import NodeSettings


def _settings(**changes: object) -> NodeSettings:
    whole = dict(
        v=1,
        org="bank",
        room="credit",
        region="eu",
        node="gw-1",
        environment="test",
        jurisdictions=("EU",),
        repository="r",
    )
    return NodeSettings(**{**whole, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("metrics", ["", "127.0.0.1:0", "127.0.0.1:9100"])
def test_no_metrics_stays_no_metrics(metrics: str) -> None:
    written = msgspec.toml.encode(
        {k: v for k, v in msgspec.to_builtins(_settings(metrics=metrics)).items() if v is not None}
    )
    assert msgspec.toml.decode(written, type=NodeSettings).metrics == metrics


def test_an_address_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        _settings(metrics="nowhere")
