"""The paper's NLI model: a sequence classifier over (premise, hypothesis) with three labels.

Loaded once, batched, pairs of similar length together. Any checkpoint works whose ``id2label`` names entailment,
neutral and contradiction, in whatever order and case.
"""

from __future__ import annotations

from collections.abc import Sequence

from autoif.errors import EngineError, MissingExtraError


class NliModel:
    """``MoritzLaurer/mDeBERTa-v3-base-xnli-multilingual-nli-2mil7`` or another three-way NLI classifier."""

    def __init__(self, name: str, batch_size: int = 32, device: str = "cpu") -> None:
        try:
            import torch
            from transformers import AutoModelForSequenceClassification, AutoTokenizer
        except ImportError as error:
            raise MissingExtraError(error.name or "transformers", "train") from None
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(name)
            model = AutoModelForSequenceClassification.from_pretrained(name)
        except (OSError, ValueError) as error:
            reason = str(error).split("\n")[0]
            raise EngineError(
                f"NLI model {name} cannot be loaded ({reason}): set pipeline.nli.model to a local folder, "
                "or pipeline.nli.judge=supervisor"
            ) from None
        labels = {index: str(label).lower() for index, label in model.config.id2label.items()}
        if set(labels.values()) != {"entailment", "neutral", "contradiction"}:
            raise EngineError(
                f"NLI model {name} has labels {sorted(labels.values())}, not entailment, neutral, contradiction"
            )
        self._labels = labels
        self._device = torch.device(device)
        self._model = model.to(self._device).eval()
        self._batch_size = batch_size

    def labels(self, pairs: Sequence[tuple[str, str]]) -> list[str | None]:
        """The most likely label of each (premise, hypothesis), in order."""
        import torch

        order = sorted(range(len(pairs)), key=lambda i: (len(pairs[i][0]) + len(pairs[i][1]), i))
        found: list[str | None] = [None] * len(pairs)
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            inputs = self._tokenizer(
                [pairs[i][0] for i in batch],
                [pairs[i][1] for i in batch],
                truncation=True,
                padding=True,
                return_tensors="pt",
            ).to(self._device)
            with torch.inference_mode():
                best = self._model(**inputs).logits.argmax(-1).tolist()
            for i, label in zip(batch, best, strict=True):
                found[i] = self._labels[label]
        return found
