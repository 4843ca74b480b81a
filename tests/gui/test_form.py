"""The form is the settings model with a face: what goes in comes out, whatever it is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.gui.form import ModelForm, _leaves

SOURCE = {"data": {"source": "/data/particles.star"}}

UNLIKE_DEFAULTS = {
    "data": {
        "source": "J12/particles.cs",
        "datadir": "/data/project",
        "box": 96,
        "contrast": "dark",
    },
    "poses": "file",
    "refine_poses": True,
    "preset": "complex-motion",
    "latent_dim": 7,
    "encoder": {"kind": "cnn", "prior": "/weights", "strategy": "blocks", "blocks": 5},
    "field": {"width": 64, "layers": 2, "sigma": 0.1 + 0.2, "layer_norm": False},
    "abinitio": {"classes": 6, "restarts": 2},
    "refine": {"epochs": 3, "field_rate": 1.25e-7, "weight_decay": 0.0},
    "loop": "parity",
    "device": "cuda:3",
    "precision": "fp32",
    "threads": 5,
    "deterministic": True,
    "seed": 2**31 - 1,
}


@pytest.fixture
def form(qtbot):
    widget = ModelForm(TrainConfig, basic=["data.source", "poses", "abinitio.classes"])
    qtbot.addWidget(widget)
    return widget


@pytest.mark.parametrize("values", [SOURCE, UNLIKE_DEFAULTS])
def test_a_model_comes_back_unchanged(form, values):
    model = TrainConfig.model_validate(values)
    form.write(model)
    assert form.read() == model


def test_every_word_of_every_choice_comes_back(form):
    for name, field in _leaves(TrainConfig):
        if get_origin(field.annotation) is not Literal:
            continue
        for word in get_args(field.annotation):
            form.editor(name).show_value(word)
            assert form.editor(name).value() == word


def test_an_untouched_form_holds_the_defaults(form):
    form.editor("data.source").show_value(Path("/data/particles.star"))
    assert form.read() == TrainConfig.model_validate(SOURCE)


def test_nothing_chosen_is_said_with_the_title_of_the_field(form):
    with pytest.raises(ValueError, match=r"^Particles: nothing is chosen yet"):
        form.read()


def test_what_is_no_number_is_said(form):
    form.write(TrainConfig.model_validate(SOURCE))
    form.editor("refine.field_rate")._line.setText("fast")
    with pytest.raises(ValueError, match=r"Field rate: 'fast' is not a number"):
        form.read()


def test_a_rule_of_the_model_becomes_one_sentence(form):
    form.write(TrainConfig.model_validate(SOURCE))
    form.editor("data.box").show_value(33)
    with pytest.raises(ValueError, match=r"Working box: .*even"):
        form.read()
    form.editor("data.box").show_value(32)
    form.editor("refine.field_rate").show_value(2.0)
    with pytest.raises(ValueError, match=r"^Field rate: [^\n]*$"):
        form.read()


def test_every_field_has_a_title_and_a_tooltip(form):
    for name, field in _leaves(TrainConfig):
        assert field.title, name
        assert field.description and field.description.split("(")[0].strip()[:20] in (
            form.editor(name).toolTip().replace("&#x27;", "'")
        ), name


def test_basic_fields_show_and_others_wait_under_advanced(form, qtbot):
    form.show()
    qtbot.waitExposed(form)
    assert form.editor("poses").isVisible()
    assert not form.editor("seed").isVisible()
    form.advanced.button.click()
    assert form.editor("seed").isVisible()


@pytest.mark.parametrize("value", [None, 0.1 + 0.2])
def test_a_number_that_may_be_left_to_the_program(qtbot, value):
    class Cut(BaseModel):
        low_pass: float | None = None

    form = ModelForm(Cut)
    qtbot.addWidget(form)
    form.write(Cut(low_pass=value))
    assert form.read() == Cut(low_pass=value)


def test_a_misspelt_name_is_refused(qtbot):
    with pytest.raises(ValueError, match=r"no field data.sauce"):
        ModelForm(TrainConfig, basic=["data.sauce"])


def test_a_type_without_an_editor_is_refused(qtbot):
    class Odd(BaseModel):
        things: dict[str, int] = {}

    with pytest.raises(TypeError, match=r"No editor"):
        ModelForm(Odd)
