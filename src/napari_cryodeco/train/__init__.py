"""Stages of a reconstruction: what turns images into poses, classes, latents and a field."""
