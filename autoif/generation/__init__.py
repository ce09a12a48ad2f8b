"""Generation engines behind one protocol: local models, OpenAI-compatible servers, recordings."""

from autoif.generation.base import Completion, Failure, Generator, Request, Sampling, request_key

__all__ = ["Completion", "Failure", "Generator", "Request", "Sampling", "request_key"]
