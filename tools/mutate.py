"""Change the verification code in one place at a time and demand that its tests notice.

    python -m tools.mutate                 every target that is done, and the page
    python -m tools.mutate ledger/proof.py one target, and its part of the page; the others' stays as it was

Each mutant runs in a process of its own against a copy of the sources. A survivor without a reason in
`tools/mutation_reasons.toml`, and a reason without a survivor, fail the run. See docs/adr/0033-mutation-testing.md.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import contextlib
import copy
import functools
import gc
import importlib
import inspect
import itertools
import math
import multiprocessing
import os
import queue
import re
import resource
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType

from _pytest.mark import ParameterSet

ROOT = Path(__file__).parents[1]
PACKAGE = Path("src/strongroom")
PAGE = ROOT / "docs/reference/mutation.md"
REASONS = ROOT / "tools/mutation_reasons.toml"
JOBS = 2
MEMORY_BYTES = 4 << 30
# wall time: only a test that waits for ever runs into it, for one that computes for ever is out of processor time first
PATIENCE_S = 600
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([
    "pytest", "_pytest.doctest", "anyio.pytest_plugin", "xdist.plugin", "pytest_cov.plugin", "hypothesis.strategies",
    "hypothesis.extra.numpy", "numpy", "scipy.stats", "scipy.optimize", "sklearn.metrics", "pymerkle", "msgspec",
    "cryptography.x509", "pyarrow", "typer.testing", "yaml", "onnx", "veritas", "google.protobuf.message_factory",
])  # fmt: skip
# a target and the fast tests that cover it; what is not here has not been done
TARGETS = {
    "ledger/proof.py": ("tests/ledger/test_proof.py",),
    "ledger/tree.py": ("tests/ledger/test_tree.py",),
    "ledger/checkpoint.py": ("tests/ledger/test_checkpoint.py",),
    "ledger/note.py": ("tests/ledger/test_note.py",),
    "ledger/witness.py": ("tests/ledger/test_witness.py",),
    "access/authentication.py": ("tests/access/test_authentication.py",),
    "access/signed_requests.py": ("tests/access/test_signed_requests.py",),
    "access/signature_fields.py": ("tests/access/test_signed_requests.py",),
    "access/content_digest.py": ("tests/access/test_signed_requests.py",),
    "access/signed_answers.py": ("tests/access/test_signed_answers.py",),
    "access/credentials.py": (
        "tests/access/test_authentication.py", "tests/access/test_grants.py",
        "tests/attacks/test_stolen_and_forged_tokens.py",
    ),
    "ledger/trust.py": ("tests/ledger/test_trust_policy.py",),
    "ledger/leaf.py": ("tests/ledger/test_leaf.py",),
    "ledger/origin.py": ("tests/ledger/test_origin.py",),
    "serving/receipt.py": ("tests/serving/test_receipt.py",),
    "serving/opening.py": ("tests/serving/test_receipt.py",),
    "encoding.py": ("tests/sealing/test_encoding.py",),
    "verify.py": (
        "tests/verify/test_verifier_exact.py", "tests/verify/test_verifier_told.py", "tests/verify/test_jobs.py",
    ),
    "access/authorisation.py": ("tests/access/test_authorisation.py",),
    "access/tokens.py": ("tests/access/test_tokens.py", "tests/attacks/test_stolen_and_forged_tokens.py"),
    "serving/release_checks.py": (
        "tests/serving/test_release_checks.py", "tests/serving/test_release_signatures.py",
    ),
    "validation/statistics/stability.py": ("tests/validation/test_statistics_exact.py",),
    "validation/statistics/discrimination.py": (
        "tests/validation/test_statistics_exact.py", "tests/validation/test_weighted_exact.py",
    ),
    "validation/statistics/migration.py": ("tests/validation/test_statistics_exact.py",),
    "validation/statistics/calibration.py": ("tests/validation/test_calibration_exact.py",),
    "validation/statistics/losses.py": ("tests/validation/test_losses_exact.py",),
    "validation/statistics/ordering.py": ("tests/validation/test_losses_exact.py",),
    "validation/statistics/detection.py": ("tests/validation/test_detection_exact.py",),
    "validation/statistics/weights.py": ("tests/validation/test_weighted_exact.py",),
    "validation/statistics/critical.py": ("tests/validation/test_few_defaults.py",),
    "validation/statistics/moments.py": ("tests/validation/test_time_order.py",),
    "validation/statistics/forecasting.py": ("tests/validation/test_forecasting_exact.py",),
    "validation/statistics/disparity.py": ("tests/validation/test_disparity_exact.py",),
    "validation/statistics/fairness.py": ("tests/validation/test_disparity_exact.py",),
    "planning/irb.py": ("tests/planning/test_capital_exact.py", "tests/planning/test_special_classes.py"),
    "planning/parameters.py": ("tests/planning/test_capital_exact.py", "tests/planning/test_special_classes.py"),
    "planning/standardised.py": ("tests/planning/test_capital_exact.py", "tests/planning/test_special_classes.py"),
    "planning/expected_loss.py": ("tests/planning/test_capital_exact.py",),
    "planning/output_floor.py": ("tests/planning/test_capital_exact.py",),
    "planning/concentration.py": ("tests/planning/test_capital_exact.py",),
    "planning/ecl.py": ("tests/planning/test_capital_exact.py",),
    "planning/staging.py": ("tests/planning/test_capital_exact.py",),
    "planning/repayments.py": ("tests/planning/test_capital_exact.py",),
    "validation/trees/forest_bounds.py": ("tests/validation/test_forest_bounds_exact.py",),
    "validation/statistics/grading.py": ("tests/validation/test_samples_exact.py",),
    "validation/statistics/parity.py": ("tests/validation/test_samples_exact.py",),
    "validation/statistics/stress.py": ("tests/validation/test_samples_exact.py",),
    "validation/statistics/bins.py": ("tests/validation/test_samples_exact.py",),
    "validation/statistics/walking.py": ("tests/validation/test_walking_exact.py",),
    "validation/trees/shapley.py": ("tests/validation/test_trees_exact.py",),
    "validation/trees/attribution.py": ("tests/validation/test_trees_exact.py",),
    "serving/admission.py": (
        "tests/serving/test_admission.py", "tests/attacks/test_repository_attacks.py",
        "tests/attacks/test_four_eyes_attacks.py",
    ),
}  # fmt: skip
WANTED = (
    *TARGETS, "validation/statistics/alternatives.py", "validation/statistics/bins.py",
    "validation/statistics/boundary_attack.py", "validation/statistics/data_quality.py",
    "validation/statistics/disclosure.py", "validation/statistics/exposure.py",
    "validation/statistics/lifetime.py", "validation/statistics/grading.py",
    "validation/statistics/parity.py", "validation/statistics/provisions.py", "validation/statistics/proxies.py",
    "validation/statistics/resampling.py", "validation/statistics/shocks.py",
    "validation/statistics/simple_estimate.py",
    "validation/statistics/soundness.py", "validation/statistics/stress.py", "validation/statistics/tables.py",
    "validation/statistics/walking.py", "planning/weighing.py", "planning/outlook.py", "planning/scenario.py",
    "planning/rules.py", "planning/special_rules.py", "planning/impact.py",
    "validation/trees/attribution.py", "validation/trees/boosters.py", "validation/trees/branches.py",
    "validation/trees/forest_bounds.py", "validation/trees/forests.py", "validation/trees/graph_tails.py",
    "validation/trees/patterns.py", "validation/trees/shapley.py",
    "access/allowance.py", "access/certificates.py", "access/foreign_json.py", "access/grants.py", "access/issuers.py",
    "access/key_sets.py", "access/people.py", "access/requests.py", "access/signing_keys.py", "ledger/entries.py",
    "ledger/frames.py", "ledger/fsck.py", "ledger/publication.py", "ledger/recovery.py", "ledger/repair.py",
    "ledger/tiles.py", "sealing/container.py", "sealing/dsse.py", "sealing/keys.py", "sealing/manifest.py",
    "sealing/model_signature.py", "sealing/records.py", "sealing/sealed.py", "sealing/statements.py",
    "sealing/subjects.py", "serving/contract_check.py", "serving/guard.py", "serving/halting.py", "serving/limiter.py",
    "approval/policy_signature.py", "approval/role_metadata.py", "web/doorkeeper.py", "web/gateway.py",
    "web/requests.py", "web/tls.py", "adapters/access/nonce_files.py", "adapters/access/token_register.py",
    "adapters/policies/cedar.py", "adapters/releases/tuf_client.py",
)  # fmt: skip

SWAPS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}  # fmt: skip
TOLERANCE = 1e-6
"""A float that is not 0 and smaller than this is a tolerance and no part of a formula: it is not changed."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change. `place` and `change` name it without its line, so that a reason outlives edits elsewhere.

    Whoever asks only which changes there are does not pay for the text of each.
    """

    line: int
    place: str
    change: str
    write: Callable[[], str]

    @property
    def source(self) -> str:
        return self.write()

    @property
    def key(self) -> tuple[str, str]:
        return self.place, self.change


def _replacements(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may turn into."""
    if isinstance(node, ast.Compare):
        for at, op in enumerate(node.ops):
            for other in SWAPS[type(op)]:
                yield ast.Compare(node.left, [*node.ops[:at], other(), *node.ops[at + 1 :]], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        yield node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        yield ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
    elif isinstance(node, ast.AugAssign) and type(node.op) in ARITHMETIC:
        yield ast.AugAssign(node.target, ARITHMETIC[type(node.op)](), node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, float):
        if node.value == 0.0 or abs(node.value) >= TOLERANCE:
            yield ast.Constant(float(f"{node.value * 1.001:.6g}") if node.value else 0.001)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield ast.Constant(node.value + 1)
        yield ast.Constant(node.value - 1)
    elif isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield ast.Pass()
    elif isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        yield ast.Return(ast.Constant(None))


def _places(node: ast.AST, path: tuple[tuple[str, int | None], ...], name: str) -> Iterator[tuple[ast.AST, tuple, str]]:
    """Nodes that may change, how to reach them, and the definition they are in; not texts, types, decorators."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list"):
            continue
        for at, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr):
                continue
            step = (*path, (field, at))
            inner = name
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inner = f"{name}.{child.name}" if name else child.name
            yield child, step, inner
            yield from _places(child, step, inner)


def mutants_of(source: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its text."""
    tree = ast.parse(source)
    found: list[Mutant] = []
    seen: dict[tuple[str, str], int] = {}
    for node, path, name in _places(tree, (), ""):
        for other in _replacements(node):
            before = ast.unparse(node).split("\n")[0]
            after = ast.unparse(ast.fix_missing_locations(copy.deepcopy(other)))
            change = f"{before} -> {after}"
            place = name or "module"
            seen[place, change] = nth = seen.get((place, change), 0) + 1
            if nth > 1:
                change += f" (no. {nth})"
            found.append(Mutant(node.lineno, place, change, functools.partial(_changed, tree, path, other)))
    return found


def _changed(tree: ast.AST, path: tuple[tuple[str, int | None], ...], other: ast.AST) -> str:
    """The text with another node at the end of a path."""
    changed = copy.deepcopy(tree)
    parent: ast.AST = changed
    for field, at in path[:-1]:
        value = getattr(parent, field)
        parent = value if at is None else value[at]
    field, at = path[-1]
    if at is None:
        setattr(parent, field, other)
    else:
        getattr(parent, field)[at] = other
    return ast.unparse(ast.fix_missing_locations(changed))


def _calls(module: ModuleType) -> Iterator[Callable[[], object]]:
    """Those tests of a module that need nothing of pytest: without fixtures, each with all its parameters."""
    # a copy, for a call may add to a module: a warning leaves its registry there
    for name, test in [*vars(module).items()]:
        marks = {mark.name for mark in getattr(test, "pytestmark", ())}
        if not name.startswith("test") or not inspect.isfunction(test) or not marks <= {"parametrize"}:
            continue
        asked = [mark.args for mark in getattr(test, "pytestmark", ())]
        lists = [names.replace(" ", "").split(",") if isinstance(names, str) else [*names] for names, _ in asked]
        if set(itertools.chain(*lists)) != set(inspect.signature(test).parameters):
            continue
        for chosen in itertools.product(*(values for _, values in asked)):
            given: dict[str, object] = {}
            for names, one in zip(lists, chosen, strict=True):
                given |= zip(
                    names, one.values if isinstance(one, ParameterSet) else one if names[1:] else (one,), strict=True
                )
            yield functools.partial(test, **given)


def _prepare(tree: Path, limit_s: int) -> None:
    """Set the limits and the sources of a forked process."""
    import hypothesis

    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    os.chdir(ROOT)
    # what is loaded stays: pytest collects garbage when it ends, a third of a short run's time
    gc.freeze()
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.path[:0] = [str(tree / "src"), str(ROOT)]
    # an example that an earlier mutant left would make a kill that a clean run does not repeat; nobody reads the
    # example that kills, so it is not made smaller
    hypothesis.settings.register_profile(
        "mutate", database=None, deadline=None, derandomize=True,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )  # fmt: skip
    hypothesis.settings.load_profile("mutate")


def _call(tree: Path, tests: tuple[str, ...], limit_s: int, answer: Connection) -> None:
    """Call what can be called without pytest, which takes longer to start than most tests run; answer as `_judge`."""
    import pytest

    _prepare(tree, limit_s)
    try:
        for test in tests:
            for call in _calls(importlib.import_module(test.removesuffix(".py").replace("/", "."))):
                with contextlib.suppress(pytest.skip.Exception):
                    call()
    except BaseException:
        answer.send((False, time.process_time()))
    else:
        answer.send((True, time.process_time()))


def _judge(tree: Path, tests: tuple[str, ...], limit_s: int, answer: Connection) -> None:
    """Run the tests against the sources in `tree` and answer (they pass, processor seconds); in a forked process."""
    import pytest

    _prepare(tree, limit_s)
    code = pytest.main([
        "-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist", "-m", "not slow",
        "--hypothesis-seed=0", "--assert=plain",
        "-o", f"pythonpath={tree / 'src'} .", *tests,
    ])  # fmt: skip
    answer.send((code == pytest.ExitCode.OK, time.process_time()))


def _passes(
    tree: Path, tests: tuple[str, ...], limit_s: float, how: Callable[..., None] = _judge
) -> tuple[bool, float]:
    """Whether the tests pass against the sources in `tree`, and the processor seconds they took.

    Each run is a process of its own, forked from one that has loaded third-party packages and nothing of ours.
    Running out of processor time, of memory or of patience is failing.
    """
    ours, theirs = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=how, args=(tree, tests, math.ceil(limit_s), theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv() if ours.poll(PATIENCE_S) else (False, limit_s)
    except EOFError:
        return False, limit_s
    finally:
        process.kill()
        process.join()
        ours.close()


def survivors_of(target: str, tests: tuple[str, ...]) -> tuple[int, list[Mutant]]:
    """How many mutants a target has, and those that its tests do not notice.

    Raises:
        RuntimeError: the tests fail without a mutant, or pass without the module.
    """
    text = (ROOT / PACKAGE / target).read_text()
    mutants = mutants_of(text)
    with tempfile.TemporaryDirectory() as folder:
        trees: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for job in range(JOBS):
            tree = Path(folder) / str(job)
            shutil.copytree(ROOT / "src", tree / "src", ignore=shutil.ignore_patterns("__pycache__"))
            # compiled once; what is changed stays uncompiled, for a file is known by its second and its size
            compileall.compile_dir(tree / "src", quiet=1)
            for stale in (tree / PACKAGE / target).parent.glob(f"__pycache__/{Path(target).stem}.*"):
                stale.unlink()
            trees.put(tree)
        tree = Path(folder) / "0"
        place = tree / PACKAGE / target
        passed, took_s = _passes(tree, tests, 600)
        if not passed or not _passes(tree, tests, 600, _call)[0]:
            raise RuntimeError(f"the tests of {target} fail without a mutant; mend them first")
        limit_s = 2 + 3 * took_s
        place.write_text("raise ImportError\n")
        if _passes(tree, tests, limit_s)[0]:
            raise RuntimeError(f"the tests of {target} do not load it from the copy")
        place.write_text(text)

        def survives(mutant: Mutant) -> bool:
            tree = trees.get()
            try:
                (tree / PACKAGE / target).write_text(mutant.source)
                return _passes(tree, tests, limit_s, _call)[0] and _passes(tree, tests, limit_s)[0]
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(JOBS) as pool:
            alive = list(pool.map(survives, mutants))
    return len(mutants), [mutant for mutant, lives in zip(mutants, alive, strict=True) if lives]


def read_reasons() -> dict[str, dict[tuple[str, str], str]]:
    """Why each survivor may live, by target."""
    found: dict[str, dict[tuple[str, str], str]] = {}
    for item in tomllib.loads(REASONS.read_text()).get("survivor", []):
        found.setdefault(item["file"], {})[item["in"], item["change"]] = item["why"]
    return found


def page_of(results: dict[str, tuple[int, list[Mutant]]], reasons: dict[str, dict[tuple[str, str], str]]) -> str:
    """The page of a run."""
    lines = [
        "# Mutation testing", "",
        "Written by `make mutate`; not by hand. One place of the code is changed at a time, and the fast tests named",
        "below must notice. What they cannot notice is listed with its reason. Texts, annotations, decorators and",
        "tolerances below one in a million are not changed. How and why: [ADR 0033](../adr/0033-mutation-testing.md).",
        "",
        "| File | Mutants | Killed | Survivors | Tests |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for target, (count, alive) in results.items():
        tests = ", ".join(f"`{test}`" for test in TARGETS[target])
        lines.append(f"| `{target}` | {count} | {count - len(alive)} | {len(alive)} | {tests} |")
    missing = [f"`{target}`" for target in WANTED if target not in results]
    if missing:
        lines += [
            "", f"Not done yet, so nothing is claimed about them: {', '.join(missing)}.", "",
            "Of these, `web/` and `adapters/` have tests that serve on sockets, share files or start processes: a",
            "mutant that hangs there costs ten minutes. Of the others nobody has read yet what survives.",
        ]  # fmt: skip
    for target, (_, alive) in results.items():
        if alive:
            lines += ["", f"## Survivors in `{target}`", ""]
            lines += [f"- line {m.line}, `{m.place}`: `{m.change}`. {reasons[target][m.key]}" for m in alive]
    return "\n".join(lines) + "\n"


def results_on_page(reasons: dict[str, dict[tuple[str, str], str]]) -> dict[str, tuple[int, list[Mutant]]]:
    """What the last runs found, by target."""
    found = {}
    for target, count in re.findall(r"^\| `([^`]+)` \| (\d+) \|", PAGE.read_text(), re.M):
        mutants = mutants_of((ROOT / PACKAGE / target).read_text())
        found[target] = int(count), [mutant for mutant in mutants if mutant.key in reasons.get(target, {})]
    return found


def main(only: list[str]) -> int:
    reasons, wrong = read_reasons(), 0
    results = results_on_page(reasons)
    for target in only or TARGETS:
        results[target] = count, alive = survivors_of(target, TARGETS[target])
        known = reasons.get(target, {})
        print(f"{target}: {count} mutants, {count - len(alive)} killed", flush=True)
        for mutant in alive:
            if mutant.key not in known:
                wrong += 1
                print(f"  survives without a reason: line {mutant.line}, {mutant.place}: {mutant.change}", flush=True)
        for key in known.keys() - {mutant.key for mutant in alive}:
            wrong += 1
            print(f"  has a reason and does not survive: in {key[0]}: {key[1]}", flush=True)
    if not wrong:
        PAGE.write_text(page_of({target: results[target] for target in TARGETS if target in results}, reasons))
    return 1 if wrong else 0


def chosen(arguments: list[str]) -> list[str]:
    """The targets that a command line names; ends the program for a name that is none, and for `--help`."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutate", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", nargs="*", help="a file below src/strongroom; none for every one")
    only: list[str] = parser.parse_args(arguments).target
    if unknown := [target for target in only if target not in TARGETS]:
        parser.error(f"no target is called {', '.join(unknown)}; the targets: {', '.join(TARGETS)}")
    return only


if __name__ == "__main__":
    sys.exit(main(chosen(sys.argv[1:])))
