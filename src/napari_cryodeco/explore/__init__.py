"""Projections, clusters, selections, paths, maps and movies of a run."""
