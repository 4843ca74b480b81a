"""What the columns of STAR and .cs files are called in plain words, and their units.

Source: RELION's list of metadata labels (``relion_refine --print_metadata_labels``); cryoSPARC's
names of .cs fields, whose ending says the unit.
"""

from __future__ import annotations

import re

_RELION: dict[str, tuple[str, str]] = {
    "rlnAmplitudeContrast": ("amplitude contrast", ""),
    "rlnAnglePsi": ("in-plane angle psi, of the file", "°"),
    "rlnAngleRot": ("angle rot, of the file", "°"),
    "rlnAngleTilt": ("angle tilt, of the file", "°"),
    "rlnAutopickFigureOfMerit": ("figure of merit of picking", ""),
    "rlnBeamTiltClass": ("beam-tilt class", ""),
    "rlnBeamTiltX": ("beam tilt x", "mrad"),
    "rlnBeamTiltY": ("beam tilt y", "mrad"),
    "rlnClassNumber": ("class, of the file", ""),
    "rlnCoordinateX": ("position x in the micrograph", "px"),
    "rlnCoordinateY": ("position y in the micrograph", "px"),
    "rlnCtfBfactor": ("CTF B-factor", "Å²"),
    "rlnCtfFigureOfMerit": ("figure of merit of the CTF", ""),
    "rlnCtfMaxResolution": ("resolution of the CTF fit", "Å"),
    "rlnCtfScalefactor": ("CTF scale", ""),
    "rlnDefocusAngle": ("astigmatism angle", "°"),
    "rlnDefocusU": ("defocus U", "Å"),
    "rlnDefocusV": ("defocus V", "Å"),
    "rlnDetectorPixelSize": ("detector pixel", "µm"),
    "rlnGroupName": ("group", ""),
    "rlnGroupNumber": ("group number", ""),
    "rlnHelicalTubeID": ("helical tube", ""),
    "rlnImageDimensionality": ("image dimensions", ""),
    "rlnImageName": ("image", ""),
    "rlnImageOriginalName": ("original image", ""),
    "rlnImagePixelSize": ("pixel of the images", "Å"),
    "rlnImageSize": ("box of the images", "px"),
    "rlnLogLikeliContribution": ("log-likelihood, of the file", ""),
    "rlnMagnification": ("magnification", ""),
    "rlnMaxValueProbDistribution": ("largest probability, of the file", ""),
    "rlnMicrographName": ("micrograph", ""),
    "rlnMicrographOriginalPixelSize": ("pixel of the movie", "Å"),
    "rlnMicrographPixelSize": ("pixel of the micrograph", "Å"),
    "rlnNormCorrection": ("normalisation", ""),
    "rlnNrOfSignificantSamples": ("significant samples", ""),
    "rlnOpticsGroup": ("optics group", ""),
    "rlnOpticsGroupName": ("name of the optics group", ""),
    "rlnOriginX": ("shift x, of the file", "px"),
    "rlnOriginXAngst": ("shift x, of the file", "Å"),
    "rlnOriginY": ("shift y, of the file", "px"),
    "rlnOriginYAngst": ("shift y, of the file", "Å"),
    "rlnParticleFigureOfMerit": ("figure of merit of the particle", ""),
    "rlnPhaseShift": ("phase shift", "°"),
    "rlnRandomSubset": ("half-set", ""),
    "rlnSphericalAberration": ("spherical aberration", "mm"),
    "rlnVoltage": ("voltage", "kV"),
}
_UNITS = {
    "A": "Å", "A2": "Å²", "kv": "kV", "mm": "mm", "mrad": "mrad", "rad": "rad", "px": "px",
    "deg": "°", "frac": "share",
}  # fmt: skip
_CRYOSPARC_UNITS = {
    "alignments2D/pose": "rad", "alignments2D/shift": "px", "alignments3D/pose": "rad",
    "alignments3D/shift": "px", "blob/shape": "px", "location/micrograph_shape": "px",
    "alignments3D/alpha": "", "ctf/bfactor": "Å²",
}  # fmt: skip
_ENDING = re.compile(r"_([A-Za-z0-9]+)$")


def described(name: str) -> tuple[str, str]:
    """Title and unit of a column of a STAR or .cs file; an unknown one keeps its name, no unit."""
    if name in _RELION:
        return _RELION[name]
    field, bracket, place = name.partition("[")
    if "/" not in field:
        return name, ""
    unit = _CRYOSPARC_UNITS.get(field, "")
    if not unit and (ending := _ENDING.search(field)) and ending[1] in _UNITS:
        unit, field = _UNITS[ending[1]], field[: ending.start()]
    return field.replace("/", ": ").replace("_", " ") + bracket + place, unit
