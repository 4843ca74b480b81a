"""What the plugin hub and the registry show, and that the distribution is whole."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "napari_cryodeco"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel and sdist, built by hatchling as it is installed (no download)."""
    out = tmp_path_factory.mktemp("dist")
    for kind in ("--wheel", "--sdist"):
        command = [sys.executable, "-m", "build", "--no-isolation", kind, "--outdir", str(out)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> zipfile.ZipFile:
    (path,) = distributions.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> dict[str, list[str]]:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    message = Parser().parsestr(wheel.read(name).decode())
    fields = {key: message.get_all(key, []) for key in message}
    fields["readme"] = [str(message.get_payload())]
    return fields


def test_the_hub_finds_and_describes_it(metadata: dict[str, list[str]]) -> None:
    assert metadata["Name"] == ["napari-cryodeco"]
    assert "Framework :: napari" in metadata["Classifier"]
    assert 20 < len(metadata["Summary"][0]) <= 120
    assert metadata["License-Expression"] == ["BSD-3-Clause"]
    assert metadata["Requires-Python"] == [">=3.11"]
    assert metadata["Description-Content-Type"] == ["text/markdown"]
    links = dict(url.split(", ", 1) for url in metadata["Project-URL"])
    assert {"Homepage", "Bug Tracker", "Documentation", "Source Code"} <= links.keys()
    assert all(url.startswith("https://") for url in links.values())


def test_readme_says_how_to_try_and_how_to_test(metadata: dict[str, list[str]]) -> None:
    readme = metadata["readme"][0]
    assert readme.startswith("# napari-cryodeco")
    for heading in ("## Try it", "## Test it"):
        section = readme.split(heading + "\n", 1)[1].split("\n## ", 1)[0]
        blocks = section.split("```")[1::2]
        assert len(blocks) == 1, f"{heading} holds one code block"
        assert len(blocks[0].split("\n", 1)[1].strip().splitlines()) == 1, "of one command"


def test_pictures_of_the_readme_are_there_and_reach_the_hub(metadata: dict[str, list[str]]) -> None:
    pictures = [part.split(")", 1)[0] for part in metadata["readme"][0].split("](")[1:]]
    pictures = [link for link in pictures if link.endswith(".png")]
    assert len(pictures) >= 2
    for link in pictures:
        assert link.startswith("https://raw."), "the hub shows no relative picture"
        assert (ROOT / link.split("/main/", 1)[1]).is_file(), link


def test_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [part.split(")", 1)[0] for part in text.split("](")[1:]]
    for link in links:
        if not link.startswith(("https://", "#")):
            path, _, anchor = link.partition("#")
            assert (ROOT / path).exists(), link
            assert not anchor or anchor in _anchors(ROOT / path), link


def _anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page: lower case, no punctuation, hyphens for spaces."""
    lines = page.read_text(encoding="utf-8").splitlines()
    heads = [line.lstrip("#").strip().lower() for line in lines if line.startswith("#")]
    return {re.sub(r"[^\w -]", "", head).replace(" ", "-") for head in heads}


def test_no_qt_binding_is_required(metadata: dict[str, list[str]]) -> None:
    core = [line for line in metadata["Requires-Dist"] if "extra ==" not in line]
    assert not [line for line in core if line.lower().startswith(("pyqt", "pyside", "napari["))]
    assert [line for line in metadata["Requires-Dist"] if line.startswith("napari[all]")]


def test_what_is_imported_is_required_and_the_other_way_round() -> None:
    """Nothing is found by luck, because another package brings it, and nothing is dead weight."""
    names = {
        "pyyaml": "yaml",
        "pillow": "PIL",
        "scikit-image": "skimage",
        "scikit-learn": "sklearn",
    }
    names |= {
        "umap-learn": "umap",
        "imageio-ffmpeg": "imageio",
        "astropy-healpix": "astropy_healpix",
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = [Requirement(line) for line in project["dependencies"]]
    modules = {names.get(r.name.lower(), r.name.lower().replace("-", "_")) for r in required}
    imported = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
    outside = (
        imported - sys.stdlib_module_names - {"napari_cryodeco", "pydantic_core", "imageio_ffmpeg"}
    )
    asked_for = {"magicgui", "starfile"}  # for users' own scripts beside ours
    assert outside | asked_for == modules


def test_the_wheel_holds_what_the_package_reads(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    needed = {"napari.yaml", "py.typed", *(f"data/beads/{p.name}" for p in beads())}
    needed |= {f"priors/{path.name}" for path in priors()}
    assert {f"napari_cryodeco/{name}" for name in needed} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "docs", "benchmarks"))]
    assert sum(info.compress_size for info in wheel.infolist()) < 25e6


def priors() -> list[Path]:
    """Weights and their cards; none without the other."""
    folder = PACKAGE / "priors"
    weights, cards = (sorted(folder.glob(f"*.{kind}")) for kind in ("safetensors", "json"))
    assert [path.stem for path in weights] == [path.stem for path in cards]
    return weights + cards


def beads() -> list[Path]:
    found = sorted((PACKAGE / "data" / "beads").glob("*.npz"))
    assert len(found) >= 5
    assert sum(path.stat().st_size for path in found) < 600e3
    return found


def test_the_source_distribution_builds_the_same(distributions: Path) -> None:
    (path,) = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"src/napari_cryodeco/napari.yaml", "LICENSE", "README.md", "pyproject.toml"} <= names
    assert {f"src/napari_cryodeco/priors/{path.name}" for path in priors()} <= names
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *map(str, distributions.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_manifest_names_things_a_person_can_read() -> None:
    manifest = yaml.safe_load((PACKAGE / "napari.yaml").read_text(encoding="utf-8"))
    assert manifest["name"] == "napari-cryodeco"
    assert manifest["display_name"] and manifest["display_name"] != manifest["name"]
    assert manifest["icon"] and manifest["categories"]
    names = {widget["display_name"] for widget in manifest["contributions"]["widgets"]}
    assert {"Reconstruct", "Explorer", "Movie", "Export", "Evidence", "Align"} <= names
    assert (ROOT / "napari.yaml").resolve() == PACKAGE / "napari.yaml"


def test_entry_points_are_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    manifest = project["entry-points"]["napari.manifest"]
    assert manifest == {"napari-cryodeco": "napari_cryodeco:napari.yaml"}
    assert project["scripts"] == {"cryodeco": "napari_cryodeco.cli:main"}
    installed = [e.value for e in entry_points(group="napari.manifest") if e.name in manifest]
    assert installed in ([], ["napari_cryodeco:napari.yaml"])  # [] from a bare checkout
