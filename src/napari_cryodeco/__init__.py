"""Sort mixed cryo-EM particles into structures and motions, and explore the result by hand."""
