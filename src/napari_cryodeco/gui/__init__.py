"""The napari window: the only package that may import napari, Qt, magicgui, superqt and vispy."""
