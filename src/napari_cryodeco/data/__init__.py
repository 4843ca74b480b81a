"""The user's files: STAR, cryoSPARC and MRC in, the user's own rows back.

Inside all values are in Å and radians.

Degrees, micrometres and pixels live only in `star` and `cryosparc`. Row i of a file is particle i.
"""
