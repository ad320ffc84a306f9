"""Commands on the author's side: package, convert. No room is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from strongroom.cli.context import (
    read_frame,
)
from strongroom.cli.output import Json, command, tell
from strongroom.errors import InvalidInputError

ContractOption = Annotated[
    Path, typer.Option(exists=True, dir_okay=False, help="TOML with what model.toml should say.", show_default=False)
]
DevelopmentOption = Annotated[
    Path, typer.Option(exists=True, dir_okay=False, help="Development sample, Parquet.", show_default=False)
]
ReferenceOption = Annotated[
    Path, typer.Option(exists=True, dir_okay=False, help="Reference sample, Parquet.", show_default=False)
]
TrainingOption = Annotated[
    Path | None,
    typer.Option(exists=True, help="Python that trains the model again: a file, or a folder with train.py."),
]
TrainingData = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="What it was trained on, Parquet, if not the development sample; it stays with you.",
    ),
]


@command
def package(
    folder: Annotated[Path, typer.Argument(help="New folder to write.", show_default=False)],
    model: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="ONNX file, float [rows, features] in.", show_default=False),
    ],
    contract: ContractOption,
    development: DevelopmentOption,
    reference: ReferenceOption,
    predictions: Annotated[
        Path,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Parquet, column prediction: the source model on the reference sample.",
            show_default=False,
        ),
    ],
    outcome: Annotated[str, typer.Option(help="Column with the outcome: 1 for default, or a number.")] = "default",
    runtime: Annotated[
        Literal["onnxruntime", "xgboost", "onedal"],
        typer.Option(help="What runs the model: xgboost takes a .ubj file, onedal the ONNX of a forest."),
    ] = "onnxruntime",
    training: TrainingOption = None,
    training_data: TrainingData = None,
    as_json: Json = False,
) -> None:
    """Put a trained model and its samples into a package folder.

    Example: strongroom package pd-cards-1 --model m.onnx --contract c.toml --development d.parquet
    --reference r.parquet --predictions p.parquet
    """
    from strongroom.adapters.packages.package_folder import read_code
    from strongroom.adapters.packages.packaging import package as write_package

    made = write_package(
        model.read_bytes(),
        folder,
        contract=_stated(contract, training, training_data),
        outcome=outcome,
        development=read_frame(development),
        reference=read_frame(reference),
        predictions=read_frame(predictions, "prediction")["prediction"].to_numpy(),
        runtime=runtime,
        training=None if training is None else read_code(training),
    )
    tell(
        as_json,
        {"model": made.ref.name, "manifest": made.ref.manifest, "folder": str(folder)},
        [f"package {made.ref} in {folder}", f"next: strongroom submit {folder} --room ... --home ..."],
    )


@command
def convert(
    folder: Annotated[Path, typer.Argument(help="New folder to write.", show_default=False)],
    source: Annotated[
        Path, typer.Option(exists=True, help="The saved model: a file, or an MLflow folder.", show_default=False)
    ],
    form: Annotated[
        Literal["sklearn", "lightgbm", "xgboost", "statsmodels", "mlflow"],
        typer.Option("--format", help="What the saved model is.", show_default=False),
    ],
    contract: ContractOption,
    development: DevelopmentOption,
    reference: ReferenceOption,
    outcome: Annotated[str, typer.Option(help="Column with 1 for default.")] = "default",
    runtime: Annotated[
        Literal["onnxruntime", "xgboost", "onedal"],
        typer.Option(help="What runs the model: xgboost keeps XGBoost as it is, onedal takes forests."),
    ] = "onnxruntime",
    tolerance: Annotated[str, typer.Option(help="Largest difference of a prediction taken as rounding.")] = "1e-05",
    training: TrainingOption = None,
    training_data: TrainingData = None,
    as_json: Json = False,
) -> None:
    """Convert a saved model inside the sandbox, prove that it answers the same, and write the package.

    Example: strongroom convert pd-cards-1 --source m.joblib --format sklearn --contract c.toml --development d.parquet
    --reference r.parquet
    """
    from strongroom.adapters.packages.package_folder import read_code
    from strongroom.adapters.packages.source_packaging import package_source
    from strongroom.adapters.sandbox.linux import LinuxSandbox

    made, found = package_source(
        source,
        form,
        folder,
        contract=_stated(contract, training, training_data),
        outcome=outcome,
        development=read_frame(development),
        reference=read_frame(reference),
        sandbox=LinuxSandbox(),
        runtime=runtime,
        tolerance=tolerance,
        training=None if training is None else read_code(training),
    )
    figures = found.figures
    tell(
        as_json,
        {
            "model": made.ref.name,
            "manifest": made.ref.manifest,
            "folder": str(folder),
            "largest_difference": figures.largest,
            "rows": figures.rows,
        },
        [
            f"package {made.ref} in {folder}",
            f"converted from {found.converted.kind} ({found.converted.saved_as}); on {figures.rows} rows it answers "
            f"as its source to {figures.largest}; float32 inputs alone change "
            f"answers by up to {figures.narrowing_largest}",
            f"next: strongroom submit {folder} --room ... --home ...",
        ],
    )


def _stated(contract: Path, training: Path | None, data: Path | None) -> dict[str, Any]:
    """What the contract says, with the digest of the data that the model was trained on."""
    import tomllib

    from strongroom.vocabulary import digest_of

    try:
        stated = tomllib.loads(contract.read_text())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInputError(f"`{contract.name}` is not TOML: {error}", field="contract") from error
    if data is not None:
        if training is None:
            raise InvalidInputError(
                "--training-data belongs to a script that trains on them; name it with --training", field="training"
            )
        stated["training"] = {**stated.get("training", {}), "data": digest_of(data.read_bytes())}
    return stated
