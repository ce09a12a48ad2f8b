"""Errors that are meant for people: one line that says what is wrong, where, and what to do."""


class AutoifError(Exception):
    """A mistake the user can mend. Printed as one line without a traceback; exit code 1."""


class ConfigError(AutoifError):
    """The configuration cannot be run."""


class DataError(AutoifError):
    """A file the user gave is missing, empty or malformed."""


class EngineError(AutoifError):
    """A generation, execution or training engine cannot do what was asked."""


class MissingExtraError(AutoifError):
    """An optional dependency is needed; the message names the extra to install."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'autoif[{extra}]'")


class RecordingMissError(EngineError):
    """A replayed recording holds no answer for a request."""
