"""AutoIF: self-play with execution feedback, from seed instructions to a measured model."""

__version__ = "0.1.0"
