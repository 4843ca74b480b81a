from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from napari_cryodeco.config import TrainConfig, effort_values
from napari_cryodeco.stage_config import DataConfig, RefineConfig


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
    ("preset", "cpu", "gpu"),
    [("mixture", 16, 128), ("simple-motion", 4, 4), ("complex-motion", 16, 64)],
)
def test_preset_gives_the_latent_size(config: TrainConfig, preset: str, cpu: int, gpu: int) -> None:
    """The table of algorithm.md §9."""
    by_preset = TrainConfig.model_validate(config.model_dump() | {"preset": preset})
    assert (by_preset.latent_size(gpu=False), by_preset.latent_size(gpu=True)) == (cpu, gpu)
    asked = TrainConfig.model_validate(config.model_dump() | {"preset": preset, "latent_dim": 5})
    assert asked.latent_size(gpu=False) == asked.latent_size(gpu=True) == 5


def test_auto_is_the_word_for_a_length_that_is_not_given() -> None:
    for word in ("auto", "null"):
        config = TrainConfig.from_yaml(f"data: {{source: a.star}}\nlatent_dim: {word}")
        assert config.latent_dim is None and config.latent_size(gpu=False) == 16
    with pytest.raises(ValueError, match="latent_dim"):
        TrainConfig.from_yaml("data: {source: a.star}\nlatent_dim: many")


def test_parity_is_the_run_script() -> None:
    """Algorithm.md §4.0, §3.2, §2.4, number by number."""
    config = TrainConfig.from_yaml("data: {source: a.star}\neffort: parity")
    assert (config.loop, config.latent_dim, config.seed) == ("parity", 128, 1701)
    field, refine, loop = config.field, config.refine, config.parity
    assert (loop.warmup_batch, loop.search_batch, refine.batch) == (64, 22, 192)
    assert (refine.encoder_rate, refine.field_rate, refine.weight_decay) == (6e-5, 1e-4, 0.01)
    assert (refine.rotation_rate, refine.shift_rate) == (1e-4, 1e-4)
    assert (refine.point_fraction, refine.early_stop, config.encoder.table_after) == (
        1,
        False,
        None,
    )
    assert (loop.epochs, loop.warmup_images, loop.search_images) == (100, 10_000, 500_000)
    assert (loop.search_level, loop.kept, loop.levels) == (2, 8, 4)
    assert (field.width, field.layers, field.frequencies, field.sigma) == (256, 3, 192, 0.5)
    assert field.layer_norm
    assert (config.encoder.kind, config.encoder.strategy, config.encoder.blocks) == (
        "vit",
        "full",
        6,
    )


def test_what_is_set_wins_over_the_effort() -> None:
    text = "data: {source: a.star}\neffort: parity\nrefine: {batch: 7}\nlatent_dim: null"
    found = TrainConfig.from_yaml(f"{text}\nloop: prior-first")
    assert (found.refine.batch, found.refine.field_rate) == (7, 1e-4)
    assert (found.loop, found.latent_dim, found.parity.warmup_batch) == ("prior-first", None, 64)
    own = RefineConfig(batch=7)  # as code gives it: its other fields are nobody's choice
    of_code = TrainConfig(data=DataConfig(source=Path("a")), effort="parity", refine=own)
    assert (of_code.refine.batch, of_code.refine.field_rate) == (7, 1e-4)
    assert TrainConfig.from_yaml(of_code.to_yaml()) == of_code


def test_normal_is_the_defaults_and_fast_is_less(config: TrainConfig) -> None:
    normal, fast = effort_values("normal"), effort_values("fast")
    assert normal.keys() == fast.keys() == effort_values("parity").keys()
    assert TrainConfig.model_validate({"data": config.data, "effort": "normal"}) == config
    changed = {name for name in normal if fast[name] != normal[name]}
    assert changed and all(fast[name] < normal[name] for name in changed)


def test_one_rigid_map_is_one_species() -> None:
    text = "data: {source: a.star}\nlatent_dim: 0"
    assert TrainConfig.from_yaml(text).species == 1
    with pytest.raises(ValueError, match="one rigid map, which cannot show 3 species"):
        TrainConfig.from_yaml(f"{text}\nabinitio: {{classes: 3}}")
    assert TrainConfig.from_yaml(f"{text}\nposes: file\nabinitio: {{classes: 3}}").rigid


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("data: {source: a.star}\nsped: 3", "run.yaml: sped: Extra inputs"),
        ("data: {source: a.star}\nrefine: {epochs: 0}", "refine.epochs"),
        ("data: {source: a.star, box: 33}", "even number of pixels, not 33"),
        ("data: {source: a.star}\ndevice: gpu", "run.yaml: device"),
        ("data: {source: a.star}\nencoder: {kind: vit, strategy: head}", "random features"),
        ("data: {source: a.star}\nabinitio: {classes: 0}", "between 1 and 64, not 0"),
        ("data: {source: a.star}\neffort: heroic", "run.yaml: effort"),
        ("data: {source: a.star}\neffort: [fast]", "run.yaml: effort"),
        ("data: {source: a.star}\neffort: fast\nrefine: 3", "run.yaml: refine"),
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
