"""``cryodeco prior list``, ``info`` and ``download``."""

from __future__ import annotations

import sys
from pathlib import Path

from cyclopts import App

from napari_cryodeco.terminal import Bar, complain, say

prior = App(name="prior", help="List, explain and fetch pretrained encoders.")


@prior.command(name="list")
def list_priors() -> None:
    """List the priors that a run may begin with."""
    from napari_cryodeco.model.card import BUNDLED
    from napari_cryodeco.model.official import OFFICIAL, default_folder, is_downloaded
    from napari_cryodeco.stage_config import BUNDLED_PRIOR, NO_PRIOR

    size = f"{BUNDLED.stat().st_size / 1e6:.1f} MB" if BUNDLED.is_file() else "missing"
    rows = [
        (BUNDLED_PRIOR, f"comes with the package, small, for any machine ({size}); the default"),
        (NO_PRIOR, "classical image features"),
        ("FOLDER", "or file: weights of Cryo-IEF, CryoRanker or `cryodeco pretrain`"),
    ]
    for one in OFFICIAL.values():
        where = f"cryodeco prior download {one.name}"
        if is_downloaded(one.name):
            where = str(default_folder(one.name))
        rows.append((one.name, f"{one.title}; academic research only; {where}"))
    width = max(len(name) for name, _ in rows)
    for name, what in rows:
        say(f"{name:{width}}  {what}")


@prior.command
def info(name: str = "bundled", /) -> None:
    """Load a prior strictly and tell what it is; the bundled one shows its model card.

    Parameters
    ----------
    name
        bundled, the name of downloaded weights, or a folder or file.
    """
    from napari_cryodeco.model.card import card_of, markdown, read_card
    from napari_cryodeco.model.weights import load_encoder, located, read_weights

    weights = read_weights(located(prior_path(name)))
    encoder = load_encoder(weights, 1)
    card = card_of(weights.path)
    if card.is_file():
        say(markdown(read_card(card)))
        return
    count = sum(parameter.numel() for parameter in encoder.parameters())
    facts = {"file": weights.path, "kind": weights.kind, "SHA-256": weights.sha256}
    facts |= {"parameters": f"{count:,}"}
    for key, value in (facts | weights.header).items():
        say(f"{key}: {value}")


@prior.command
def download(name: str, /, *, into: Path | None = None, accept_licence: bool = False) -> int:
    """Fetch official weights after their licence was shown and accepted.

    Parameters
    ----------
    name
        See `cryodeco prior list`.
    into
        Folder to fetch them into; ~/cryodeco/priors/NAME where none is given.
    accept_licence
        Agree to the licence without being asked, having read it.
    """
    from napari_cryodeco.model import official

    if name not in official.OFFICIAL:
        official.find(name)  # says which there are
    say(official.LICENCE)
    if not accept_licence and not _agrees():
        complain("Nothing was downloaded.")
        return 1
    folder = (into or official.default_folder(name)).absolute()
    with Bar("download") as bar:
        official.download(name, folder, bar.count)
    from napari_cryodeco.model.weights import load_encoder, read_weights

    load_encoder(read_weights(folder), 1)
    say(f"Use it with: cryodeco new STAR RUN --prior {folder}")
    return 0


def prior_path(name: str) -> str:
    """Turn what the user calls a prior into what the settings keep.

    Raises
    ------
    FileNotFoundError
        If there is nothing of this name.
    """
    from napari_cryodeco.model.official import OFFICIAL, default_folder, is_downloaded
    from napari_cryodeco.stage_config import BUNDLED_PRIOR, NO_PRIOR

    if name in (BUNDLED_PRIOR, NO_PRIOR):
        return name
    if Path(name).exists():
        return str(Path(name).absolute())
    if is_downloaded(name):
        return str(default_folder(name))
    if name in OFFICIAL:
        raise FileNotFoundError(
            f"prior {name} is not downloaded yet: run `cryodeco prior download {name}`."
        )
    raise FileNotFoundError(
        f"prior {name}: no such folder or file; see `cryodeco prior list` for what there is."
    )


def _agrees() -> bool:
    if not sys.stdin.isatty():
        complain("Agree with --accept-licence once you have read it.")
        return False
    complain("Do you agree to use them for academic research only? Type yes:")
    return sys.stdin.readline().strip().lower() == "yes"
