"""On the author's side: a package folder becomes a hardened package folder. Models are opened in the sandbox alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from strongroom.adapters.packages.model_toml import write_contract
from strongroom.adapters.packages.package_folder import demand_new, read_folder, write_folder
from strongroom.errors import InvalidInputError
from strongroom.registry.contract import MODEL_SUFFIX, ModelContract
from strongroom.registry.former import manifest_lines
from strongroom.registry.hardening import CONTRACT, FOLDER, KINDS, MANIFEST, Hardening
from strongroom.registry.packages import Package, read_package
from strongroom.registry.toml import FILE
from strongroom.validation.ports import Sandbox
from strongroom.validation.trees.boosters import INPUT
from strongroom.validation.workshop.hardening import (
    PARAMETERS,
    Figures,
    HardenedModel,
    HardeningOrder,
    compare_models,
    demand,
    harden_model,
)
from strongroom.vocabulary import digest_of


@dataclass(frozen=True, slots=True)
class HardenedPackage:
    """What came of it.

    Attributes:
        package: as the registry will read it.
        former: the package that it was made from.
        added: changed rows that joined the training.
        figures: both models on the reference sample, for the author.
    """

    package: Package
    former: Package
    added: int
    figures: Figures


def harden_package(
    folder: Path, target: Path, order: HardeningOrder, *, sandbox: Sandbox, parameters: Mapping[str, str] | None = None
) -> HardenedPackage:
    """Harden the model of a package, measure both models, and write the new package.

    Args:
        folder: the former package.
        target: new or empty.
        order: what is asked for; parameters of the training that it does not name are those of the former package.
        sandbox: where models are opened and trained.
        parameters: of the training, by XGBoost's names; they go before those of the package.

    Raises:
        InvalidInputError: a measure has nothing to stand on, or the package is of a kind without robustness tests.
        UnavailableError: a library is not installed (extras `package` and `validation`), or this machine cannot
            isolate.
        SandboxError: a job broke a limit.
        ConflictError: the target is not empty.
        NotFoundError, UnsafeArtifactError, TooLargeError: the folder is no package.
    """
    demand_new(target)
    former = read_package(read_folder(folder))
    contract = former.contract
    if contract.kind not in KINDS:
        raise InvalidInputError(
            f"a model of kind `{contract.kind}` is not hardened; robustness tests exist for {', '.join(KINDS)}",
            field="kind", rule="kind",
        )  # fmt: skip
    known = {name: text for name, text in contract.lineage.parameters.items() if name in PARAMETERS}
    order = msgspec.structs.replace(order, parameters={**known, **order.parameters, **(parameters or {})})
    decided = demand(order, contract)
    samples = {
        "development.parquet": former.files[contract.samples.development],
        "reference.parquet": former.files[contract.samples.reference],
    }
    model = former.files[contract.samples.model]
    made = harden_model(order, contract, model, samples, sandbox)
    stated = _stated(order, decided, former, made)
    files = _files(former, stated, made)
    files[FILE] = write_contract(stated)
    package = read_package(files)
    figures = compare_models(order, (_asked_as(contract, stated), model), (stated, made.model), samples, sandbox)
    write_folder(target, files)
    return HardenedPackage(package, former, made.told.added, figures)


def _asked_as(former: ModelContract, hardened: ModelContract) -> ModelContract:
    """The former contract with what the hardened one declares, so that both are held to the same."""
    return msgspec.structs.replace(former, robustness=hardened.robustness, hardening=msgspec.UNSET)


def _stated(order: HardeningOrder, decided: ModelContract, former: Package, made: HardenedModel) -> ModelContract:
    told, kept = made.told, decided.samples
    trained = order.trains or MODEL_SUFFIX[told.runtime] != MODEL_SUFFIX[decided.engine]
    choices = {
        **({"rounds": str(order.rounds), "attacked": str(order.attacked), "added": str(told.added)}
           if "adversarial" in order.measures else {}),
        **({"decimals": str(order.decimals)} if "rounding" in order.measures else {}),
        **({"band": order.band} if "band" in order.measures else {}),
    }  # fmt: skip
    wish: Any = decided.robustness
    if not isinstance(wish, msgspec.UnsetType):
        # the author's word about another model; the battery measures the former one itself
        wish = msgspec.structs.replace(wish, before=msgspec.UNSET)
    lineage = msgspec.structs.replace(
        decided.lineage,
        environment={**decided.lineage.environment, **told.tools},
        parameters={name: str(value) for name, value in order.settings().items()} if order.trains
        else decided.lineage.parameters,
        data={**decided.lineage.data, "development": digest_of(former.files[kept.development])},
    )  # fmt: skip
    return msgspec.structs.replace(
        decided,
        runtime=msgspec.UNSET if told.runtime == "onnxruntime" else told.runtime,
        input=msgspec.structs.replace(decided.input, tensor=INPUT) if trained else decided.input,
        output=msgspec.structs.replace(decided.output, tensor=told.tensor, column=told.column),
        samples=msgspec.structs.replace(
            kept, model="model" + MODEL_SUFFIX[told.runtime], development="development.parquet",
            reference="reference.parquet", predictions="predictions.parquet",
            protected=None if kept.protected is None else "protected.parquet",
        ),
        lineage=lineage,
        robustness=wish,
        source=msgspec.UNSET,
        # code that gives another model than this one would be no use to anybody
        training=decided.training if made.model == former.files[kept.model] else msgspec.UNSET,
        hardening=Hardening(
            package=former.manifest.digest,
            model=f"{FOLDER}model{MODEL_SUFFIX[decided.engine]}",
            measures=order.measures,
            choices=choices,
            referred=order.refer_to if "band" in order.measures else msgspec.UNSET,
        ),
    )  # fmt: skip


def _files(former: Package, stated: ModelContract, made: HardenedModel) -> dict[str, bytes]:
    old, new, told = former.contract.samples, stated.samples, stated.hardening
    assert not isinstance(told, msgspec.UnsetType)  # noqa: S101  # `_stated` wrote it
    files = {
        new.model: made.model,
        new.development: former.files[old.development],
        new.reference: former.files[old.reference],
        new.predictions: made.predictions,
        told.model: former.files[old.model],
        CONTRACT: former.files[FILE],
        MANIFEST: manifest_lines(former.manifest),
    }
    if old.protected is not None and new.protected is not None:
        files[new.protected] = former.files[old.protected]
    if not isinstance(stated.training, msgspec.UnsetType):
        files |= {path: former.files[path] for path in stated.training.code}
    return files
