"""The commands of the command line; heavy imports stand inside them."""
