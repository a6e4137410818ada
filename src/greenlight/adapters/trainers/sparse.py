"""Backends `tfidf-linear` and `char-ngram`: a linear support vector machine on TF-IDF alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from greenlight.models import bundle, fitting
from greenlight.models.features import TermSettings
from greenlight.ports import Example, Progress, Trained
from greenlight.ports.source import NO_PROMPTS, Prompts


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration may set."""

    C: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """What a misplaced training text costs against large weights."""


class SparseTrainer:
    """A `ports.Trainer`."""

    free = True

    def __init__(self, name: bundle.Kind, terms: TermSettings) -> None:
        """Make a trainer.

        Args:
            name: of the backend, and the kind of the bundles.
            terms: what texts are cut into.
        """
        self.name: str = name
        self._kind = name
        self._terms = terms

    def train(
        self,
        *,
        train: Sequence[Example],
        validation: Sequence[Example],
        labels: Sequence[str],
        config: Mapping[str, Any],
        seed: int,
        out: str,
        progress: Progress,
        prompts: Prompts = NO_PROMPTS,
    ) -> Trained:
        """Fit on `train`, calibrate on `validation`, keep a fit on both; see `fitting.fit`.

        Raises:
            BadInput: unknown settings, or labels and examples that do not fit together.
        """
        start = time.perf_counter()
        settings = fitting.read_settings(config, Settings)
        recipe = fitting.Recipe(terms=self._terms, penalty=settings.C, seed=seed)
        fitted = fitting.fit(train, validation, labels, recipe, progress=progress)
        bundle.write(
            out,
            bundle.Parts(
                kind=self._kind,
                labels=labels,
                beta=fitted.beta,
                tfidf=fitted.tfidf,
                head=fitted.head,
            ),
        )
        report = {**fitted.report, "seconds": time.perf_counter() - start}
        return Trained(folder=out, report=report)
