from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from napari_cryodeco.config import TrainConfig


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        yield f"{model.__name__}.{name}", field
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation)


@pytest.fixture
def config() -> TrainConfig:
    return TrainConfig.model_validate({"data": {"source": "particles.star"}})


def test_yaml_round_trip(config: TrainConfig) -> None:
    changed = config.model_copy(
        update={"latent_dim": 7, "abinitio": config.abinitio.model_copy(update={"classes": 3})}
    )
    assert TrainConfig.from_yaml(changed.to_yaml()) == changed
    assert TrainConfig.from_yaml(config.to_yaml()) == config


@pytest.mark.parametrize(("name", "field"), list(_fields(TrainConfig)))
def test_every_field_is_explained(name: str, field: FieldInfo) -> None:
    assert field.title, name
    assert field.description and field.description.endswith("."), name


@pytest.mark.parametrize(
    ("preset", "size"), [("mixture", 16), ("simple-motion", 4), ("complex-motion", 16)]
)
def test_preset_gives_the_latent_size(config: TrainConfig, preset: str, size: int) -> None:
    by_preset = TrainConfig.model_validate(config.model_dump() | {"preset": preset})
    assert by_preset.latent_size == size
    asked = TrainConfig.model_validate(config.model_dump() | {"preset": preset, "latent_dim": 5})
    assert asked.latent_size == 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("data: {source: a.star}\nsped: 3", "run.yaml: sped: Extra inputs"),
        ("data: {source: a.star}\nrefine: {epochs: 0}", "refine.epochs"),
        ("data: {source: a.star, box: 33}", "even number of pixels, not 33"),
        ("data: {source: a.star}\ndevice: gpu", "run.yaml: device"),
        ("data: {source: a.star}\nencoder: {kind: vit, strategy: head}", "random features"),
        ("data: {source: a.star}\nabinitio: {classes: 0}", "between 1 and 64, not 0"),
        ("{", "run.yaml is not YAML"),
        ("", "run.yaml holds no settings"),
    ],
)
def test_wrong_settings_are_named(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TrainConfig.from_yaml(text, "run.yaml")


def test_runs_made_before_there_was_a_bundled_prior_still_load() -> None:
    old = TrainConfig.from_yaml("data: {source: a.star}\nencoder: {prior: null}")
    assert old.encoder.prior == "none"
    assert TrainConfig.from_yaml("data: {source: a.star}").encoder.prior == "bundled"


@pytest.mark.parametrize(
    ("kind", "prior", "fine"),
    [
        ("cnn", "bundled", True),
        ("cnn", "none", False),
        ("vit", "bundled", False),  # the bundled one is no ViT
        ("vit", "/weights", True),
        ("table", "none", True),
    ],
)
def test_nothing_random_is_frozen(kind: str, prior: str, fine: bool) -> None:
    text = f"data: {{source: a.star}}\nencoder: {{kind: {kind}, prior: {prior}, strategy: head}}"
    if fine:
        assert TrainConfig.from_yaml(text).encoder.strategy == "head"
        return
    with pytest.raises(ValueError, match=f"freezes a {kind} without a prior of its kind"):
        TrainConfig.from_yaml(text)


def test_frozen(config: TrainConfig) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 3  # type: ignore[misc]


def test_no_torch() -> None:
    code = "import sys, napari_cryodeco.config; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
