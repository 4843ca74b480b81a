"""Pure tensor mathematics of images and maps: no file, no configuration, no state.

Arrays are (z, y, x) and (y, x); points and matrices are xyz and xy. The centre of an image of box D
is pixel D // 2.
"""
