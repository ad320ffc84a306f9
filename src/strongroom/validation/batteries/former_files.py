"""Under which names the sandbox's jobs are given the model that a hardened one was made from."""

from __future__ import annotations

from typing import Final

from strongroom.registry.contract import MODEL_SUFFIX, ModelContract

FORMER_CONTRACT: Final = "former.json"


def former_input(contract: ModelContract) -> str:
    """The name of the former model's file: `former.onnx` or `former.ubj`."""
    return "former" + MODEL_SUFFIX[contract.engine]


def former_files(contract: ModelContract, document: bytes, model: bytes) -> dict[str, bytes]:
    """Both files by name.

    Args:
        contract: of the former package.
        document: the same, canonical.
        model: bytes of its model file.
    """
    return {FORMER_CONTRACT: document, former_input(contract): model}
