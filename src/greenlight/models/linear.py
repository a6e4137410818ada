"""The linear head: one score per label from sparse and dense features, and its calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from greenlight.core.errors import BadInput
from greenlight.models.features import Floats, Integers

Doubles = npt.NDArray[np.float64]


class LinearHead:
    """Decision values of a linear classifier, float32. Immutable, so any thread may use it."""

    def __init__(self, sparse: Floats, bias: Floats, dense: Floats | None = None) -> None:
        """Put a head together.

        Args:
            sparse: weights of the sparse features, [features, labels].
            bias: one per label.
            dense: weights of the dense features, [features, labels], where there are any.

        Raises:
            BadInput: the shapes do not fit together.
        """
        shapes = [part.shape for part in (sparse, bias, dense) if part is not None]
        if bias.ndim != 1 or any(shape[-1] != len(bias) for shape in shapes):
            raise BadInput(f"weights of shapes {shapes} do not fit together")
        # One row per feature: a text's few features are then a few contiguous rows.
        self.sparse = np.ascontiguousarray(sparse, np.float32)
        self.bias = np.asarray(bias, np.float32)
        self.dense = None if dense is None else np.ascontiguousarray(dense, np.float32)

    def decide(self, indices: Integers, values: Floats, vector: Floats | None = None) -> Floats:
        """Decision values [labels] of one text."""
        decision: Floats = values @ self.sparse[indices] + self.bias
        if self.dense is not None and vector is not None:
            decision = decision + vector @ self.dense
        return decision

    def decide_all(self, matrix: Any, vectors: Floats | None = None) -> Floats:
        """Decision values [texts, labels] of many texts, from a CSR matrix; for training."""
        decisions: Floats = matrix @ self.sparse + self.bias
        if self.dense is not None and vectors is not None:
            decisions = decisions + vectors @ self.dense
        return decisions


def softmax(scores: npt.NDArray[Any]) -> Doubles:
    """Probabilities along the last axis, in float64."""
    shifted = scores.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    powers: Doubles = np.exp(shifted)
    shares: Doubles = powers / powers.sum(axis=-1, keepdims=True)
    return shares
