"""Published weights that cannot be shipped: where they are, under what licence, and fetching them.

They are fetched only when the user has seen the licence and agreed. Standard library only: the
window shows the licence and fetches them too.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from napari_cryodeco.atomic import explain, write_text

Progress = Callable[[int, int], None]
REPOSITORY = "westlake-repl/Cryo-IEF"
PAGE = f"https://huggingface.co/{REPOSITORY}"
FILE = "model.safetensors"
_BLOCK = 1 << 20
_PATIENCE_S = 30.0

LICENCE = (
    "The weights of Cryo-IEF and CryoRanker were trained and published by Yan, Fan, Yuan and Shen "
    "(Nature Methods 2025, doi:10.1038/s41592-025-02916-8). Their authors say: 'These models are "
    "intended for academic research only. Commercial use is prohibited without explicit "
    "permission.' They are not part of napari-cryodeco and its licence does not cover them. Read "
    f"{PAGE} before you agree."
)


@dataclass(frozen=True)
class Official:
    """Published weights.

    `folders` are places in the repository, tried in this order: the authors rename them.
    """

    name: str
    title: str
    folders: tuple[str, ...]


OFFICIAL = {
    one.name: one
    for one in (
        Official(
            "cryo-ief",
            "Cryo-IEF 1.5, ViT-S/14: what CryoDECO begins with",
            (
                "cryo_ief_checkpoint/cryo_ief_v1.5_vit_s",
                "cryo_ief_checkpoint/DECO_ief_vit_s",
            ),
        ),
        Official(
            "cryo-ief-base",
            "Cryo-IEF 1, ViT-B/14: larger and slower",
            ("cryo_ief_checkpoint/cryo_ief_v1_vit_b",),
        ),
        Official(
            "cryoranker",
            "CryoRanker: Cryo-IEF after it learnt to rank particles by quality",
            ("cryo_ranker_checkpoint",),
        ),
    )
}


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch: its address, size in bytes, and SHA-256 (empty where not told)."""

    address: str
    size: int
    sha256: str


def default_folder(name: str) -> Path:
    """Where downloaded weights lie unless the user says otherwise."""
    return Path.home() / "cryodeco" / "priors" / name


def is_downloaded(name: str) -> bool:
    """Whether the weights are in their default folder."""
    return name in OFFICIAL and (default_folder(name) / FILE).is_file()


def find(name: str) -> RemoteFile:
    """Look where the weights are now.

    Raises
    ------
    ValueError
        If the name is unknown, or the repository no longer holds such weights.
    OSError
        If the host cannot be reached.
    """
    if name not in OFFICIAL:
        raise ValueError(f"No official prior is called '{name}': there are {', '.join(OFFICIAL)}.")
    for folder in OFFICIAL[name].folders:
        entries = _listing(folder)
        found = [entry for entry in entries if entry["path"].endswith(".safetensors")]
        if found:
            first = min(found, key=lambda entry: (Path(entry["path"]).name != FILE, entry["path"]))
            address = f"{_host()}/{REPOSITORY}/resolve/main/{first['path']}"
            return RemoteFile(address, int(first["size"]), first.get("lfs", {}).get("oid", ""))
    raise ValueError(
        f"{PAGE} no longer holds {' or '.join(OFFICIAL[name].folders)}: fetch the weights by hand "
        "and give their folder as the prior."
    )


def download(name: str, into: Path, progress: Progress | None = None) -> Path:
    """Fetch the weights into the folder `into` and give it back; call only with consent.

    What was fetched before a break is used. The file appears under its name when it is whole and
    its hash is right; one that is there already is kept if it is the same.

    Parameters
    ----------
    name
        A key of :data:`OFFICIAL`.
    into
        Folder, made where it is missing.
    progress
        Called with (bytes done, bytes in all); may raise to stop.

    Raises
    ------
    FileExistsError
        If other weights are there.
    ValueError, OSError
        If they are gone, the host cannot be reached, the disk is full, or the hash is wrong.
    """
    remote = find(name)
    target = into / FILE
    if target.exists():
        if remote.sha256 and _hash(target) != remote.sha256:
            raise FileExistsError(
                f"{target} exists and holds other weights: choose another folder."
            )
        return into
    part = into / f".{FILE}.{remote.sha256[:12] or 'unknown'}.part"
    try:
        into.mkdir(parents=True, exist_ok=True)
        _fetch(remote, part, progress or (lambda done, of: None))
        _check(remote, part)
        os.replace(part, target)
    except OSError as error:
        explain(error, target)
        raise
    source = f"{remote.address}\nSHA-256 {_hash(target)}\n\n{LICENCE}\n"
    write_text(into / "SOURCE.txt", source)
    return into


def _host() -> str:
    """The host, or the mirror that the user's other programs use too."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _listing(folder: str) -> list[dict[str, Any]]:
    """Files in a folder of the repository; none where there is no such folder."""
    address = f"{_host()}/api/models/{REPOSITORY}/tree/main/{folder}?recursive=true"
    try:
        with _open(address) as answer:
            entries = json.loads(answer.read())
    except FileNotFoundError:
        return []
    except json.JSONDecodeError as error:
        raise ValueError(f"{address} does not answer with a list of files: try later.") from error
    return [entry for entry in entries if entry.get("type") == "file"]


def _open(address: str, start: int = 0) -> HTTPResponse:
    """Open an address, from byte `start` on where the host can."""
    headers = {"User-Agent": "napari-cryodeco"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(address, headers=headers)
    try:
        answer: HTTPResponse = urllib.request.urlopen(request, timeout=_PATIENCE_S)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise FileNotFoundError(f"{address} is not there.") from error
        raise OSError(
            f"{address} answers {error.code} ({error.reason}): try later, or fetch {PAGE} by hand "
            "and give the folder as the prior."
        ) from error
    except (OSError, HTTPException) as error:
        raise _unreachable(error) from error
    return answer


def _unreachable(error: BaseException) -> OSError:
    reason = getattr(error, "reason", None) or error
    return OSError(
        f"{_host()} cannot be reached ({reason}): check the network and try again, or fetch {PAGE} "
        "on another machine and give the folder as the prior."
    )


def _fetch(remote: RemoteFile, part: Path, progress: Progress) -> None:
    """Append what is missing of the file to `part`."""
    done = part.stat().st_size if part.is_file() else 0
    if done >= remote.size > 0:
        return
    missing, free = remote.size - done, shutil.disk_usage(part.parent).free
    if missing > free:
        raise OSError(
            f"{part.parent}: {missing / 1e6:,.0f} MB are needed and {free / 1e6:,.0f} MB are left "
            "on this disk; free some or choose another folder."
        )
    with _open(remote.address, done) as answer:
        goes_on = answer.status == 206
        done = done if goes_on else 0
        with part.open("ab" if goes_on else "wb") as file:
            while block := _read(answer):
                file.write(block)
                done += len(block)
                progress(done, max(remote.size, done))


def _read(answer: HTTPResponse) -> bytes:
    try:
        return answer.read(_BLOCK)
    except (OSError, HTTPException) as error:
        raise _unreachable(error) from error


def _check(remote: RemoteFile, part: Path) -> None:
    size = part.stat().st_size
    if size < remote.size:
        raise OSError(
            f"{remote.address} broke off after {size / 1e6:,.1f} of {remote.size / 1e6:,.1f} MB: "
            "try again, it goes on from there."
        )
    if remote.sha256 and _hash(part) != remote.sha256:
        part.unlink()
        raise ValueError(
            f"What came from {remote.address} is not what the host announced (SHA-256): try again."
        )


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
