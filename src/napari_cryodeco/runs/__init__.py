"""A run is a directory: training writes it, everyone else reads it."""
