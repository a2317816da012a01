"""The model that every reader's batches train: multinomial logistic regression, in plain numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

PER_CELL = np.float32(1e4)  # what the counts of a cell are scaled to
RATE = 1.0


class Softmax:
    """Cell types from log-normalised counts, by stochastic gradient descent.

    Genes are standardised with mean and deviation of the first batch. The weights are float32, and
    start from zero, so the same batches always give the same model.

    Parameters
    ----------
    n_genes, n_types
        The shape of the weights. The types are numbered in the order in which they come.
    """

    def __init__(self, n_genes: int, n_types: int) -> None:
        self._weights = np.zeros((n_genes, n_types), np.float32)
        self._bias = np.zeros(n_types, np.float32)
        self._codes: dict[str, int] = {}
        self._room = np.empty((0, n_genes), np.float32)
        self._mean: NDArray[np.float32] | None = None
        self._scale: NDArray[np.float32] | None = None

    def step(self, x: NDArray[np.float32], types: pd.Series) -> tuple[int, int]:
        """Learn from a batch.

        Parameters
        ----------
        x
            Counts, cells x genes; they stay as they are.
        types
            The type of each cell, categorical.

        Returns
        -------
        How many cells were told right before it learnt from them, and the sum of all counts.
        """
        counts = x.sum(axis=1, dtype=np.float32, keepdims=True)  # exact: whole numbers below 2**24
        if len(x) > len(self._room):
            self._room = np.empty_like(x)  # once: fresh memory costs more than what is done in it
        z = np.multiply(x, PER_CELL / np.maximum(counts, 1), out=self._room[: len(x)])
        self._standardise(z)
        y = self._numbered(types)
        scores = z @ self._weights + self._bias
        right = int((scores.argmax(axis=1) == y).sum())
        slope = softmax(scores)
        slope[np.arange(len(y)), y] -= 1
        slope *= RATE / len(y)
        self._weights -= z.T @ slope
        self._bias -= slope.sum(axis=0)
        return right, int(counts.sum(dtype=np.float64))

    def _standardise(self, z: NDArray[np.float32]) -> None:
        z += 1
        np.log(z, out=z)  # several times as fast as log1p
        if self._mean is None or self._scale is None:
            self._mean = z.mean(axis=0)
            self._scale = 1 / np.maximum(z.std(axis=0), np.float32(1e-3))
        z -= self._mean
        z *= self._scale

    def _numbered(self, types: pd.Series) -> NDArray[np.int64]:
        # Readers differ in which categories they know of, and in which order.
        types = types.astype("category").cat.remove_unused_categories()
        numbers = [self._codes.setdefault(x, len(self._codes)) for x in types.cat.categories]
        codes: NDArray[np.int64] = np.array(numbers)[types.cat.codes]
        return codes


def softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn the scores of each row into probabilities, in place."""
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    return scores
