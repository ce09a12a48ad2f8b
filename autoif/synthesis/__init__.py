"""Synthesis: from seed instructions to SFT samples and preference pairs (paper §3), one module a stage."""
