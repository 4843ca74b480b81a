"""Latents that other programs computed: where they keep them, and how rows meet particles.

The layouts were learnt from the programs' own code, docs and forums; docs/other-programs.md says
what was read where. Nothing is ever written where they were found.
"""
