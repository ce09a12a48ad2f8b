"""The cluster is started once a session."""

from cluster import slurm

__all__ = ["slurm"]
