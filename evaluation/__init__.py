"""Benchmarks: one module each, generating and scoring apart."""
