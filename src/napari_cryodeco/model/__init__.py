"""Networks and per-particle tables: the field that decodes maps, the encoders, the pose search."""
