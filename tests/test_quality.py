"""The house rules that a machine can check: ruff, mypy, import-linter, sizes, no pickle."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# reads pickles of other programs by an Unpickler that looks no name up (tests/data/test_foreign.py)
ARRAYS_ONLY = ROOT / "src" / "napari_cryodeco" / "data" / "foreign" / "array_pickle.py"
SOURCES = sorted((ROOT / "src" / "napari_cryodeco").rglob("*.py"))


def check(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing() -> None:
    check(sys.executable, "-m", "ruff", "check", "src", "tests", "benchmarks", "scripts")


@pytest.mark.slow
def test_mypy_finds_nothing() -> None:
    check(sys.executable, "-m", "mypy")


def test_imports_go_down_and_the_engine_knows_no_window() -> None:
    check(sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400, f"{path.name} has more than 400 lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert lines <= 50, f"{path.name}: {node.name} has a body of {lines} lines"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_nothing_is_pickled_or_evaluated(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            pickles = {"pickle", "joblib", "cloudpickle", "dill"} & set(names)
            assert not pickles or path == ARRAYS_ONLY, path.name
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            forbidden = {"eval", "exec", "torch.save", "torch.load", "pickle.load", "pickle.loads"}
            assert called not in {*forbidden, "pickle.dump", "pickle.dumps"}, path.name
            if called.endswith("np.load"):
                allowed = {k.arg: ast.unparse(k.value) for k in node.keywords}
                assert allowed.get("allow_pickle") == "False", f"{path.name}: np.load may unpickle"


def test_what_the_explorer_page_points_at_is_there() -> None:
    page = (ROOT / "docs" / "explorer.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)*test_\w+\.py)`", page)
    assert len(set(named)) > 20
    assert not [name for name in named if not (ROOT / "tests" / name).is_file()]
    rows = [line for line in page.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, 41))


def test_the_tests_that_the_explorer_page_names_are_there() -> None:
    page = (ROOT / "docs" / "explorer.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)*test_\w+\.py)::(test_\w+)`", page)
    bugs = page.split("## Bugs of peers, as tests", 1)[1].split("\n## ", 1)[0]
    assert bugs.count("\n- ") == 10
    assert all("::test_" in bug for bug in bugs.split("\n- ")[1:])
    for file, name in named:
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert re.search(rf"^(?:async )?def {name}\(", text, re.MULTILINE), f"{file}::{name}"
