"""The user's files: STAR, cryoSPARC and MRC in; values in Å and radians out, and the user's own rows back.

Degrees, micrometres and pixels live only in `star` and `cryosparc`. Row i of a file is particle i.
"""
