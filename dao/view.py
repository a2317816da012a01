"""`View`: the state behind a `Store`, and what the stages of dao ask of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dao.closing import Closing, Gated
from dao.errors import MultipleFeatureSpacesError
from dao.format.obs_schema import INDEX_COLUMN, SOURCE_ROW_COLUMN, VIRTUAL_COLUMNS
from dao.matrices import infos_of, mean_nnz, stored_row_bytes
from dao.where.bind import unknown_column

if TYPE_CHECKING:
    import pandas as pd

    from dao.backend import Reader
    from dao.features import FeatureTables
    from dao.format.manifest import ColumnInfo, DatasetInfo, Manifest, MatrixInfo
    from dao.obs import ObsStore
    from dao.selection import Selection

__all__ = ["View"]


@dataclass(frozen=True, eq=False, repr=False)
class View:
    """Cells and features chosen from a store on disk. Users hold a `dao.Store`."""

    if TYPE_CHECKING:
        reader: Reader
        _obs: ObsStore
        _features: FeatureTables
    else:  # fields without a default all the same
        reader: Reader = Gated()
        _obs: ObsStore = Gated()
        _features: FeatureTables = Gated()
    selection: Selection
    obs_columns: tuple[str, ...]
    organisms: tuple[str, ...]
    path: str
    backend: str
    memory: int
    backend_reason: str
    _chosen_features: pd.Index | None = field(default=None)
    _zero_features: frozenset[str] = field(default=frozenset())
    _closing: Closing = field(default_factory=Closing)

    @property
    def manifest(self) -> Manifest:
        """What the whole store on disk holds; also after the store was closed."""
        reader: Reader = vars(self)["reader"]
        return reader.manifest()

    @property
    def closing(self) -> Closing:
        """Whether the store was closed, and what is to be closed with it."""
        return self._closing

    @property
    def selected_datasets(self) -> list[DatasetInfo]:
        """The datasets that have selected cells, in store order."""
        return [self.manifest.datasets[i] for i in self.selection.datasets]

    @property
    def chosen_features(self) -> pd.Index | None:
        """What `select_features` chose; None for all features."""
        return self._chosen_features

    @property
    def zero_features(self) -> frozenset[str]:
        """Chosen features that are zeros whatever the store holds."""
        return self._zero_features

    def obs_column(self, name: str) -> Any:
        """Return an obs column of the selection as a `dao.obs.Column`.

        Raises
        ------
        dao.errors.UnknownColumnError
            With the nearest names.

        Examples
        --------
        >>> len(store.obs_column("cell_type").to_pandas())
        400
        """
        self._check_column(name)
        return self._obs.selected(self.selection, name)

    def column_info(self, name: str) -> ColumnInfo:
        """Return what an obs column is in the whole store.

        Raises
        ------
        dao.errors.UnknownColumnError
            With the nearest names.
        """
        self._check_column(name)
        return self._obs.infos[name]

    def matrix_infos(self, name: str) -> list[MatrixInfo]:
        """Return what the selected datasets hold of a matrix.

        Raises
        ------
        dao.errors.UnknownDatasetError
            If one of them does not have it.
        """
        return infos_of(name, self.selected_datasets)

    def feature_positions(self, chosen: pd.Index | None = None) -> np.ndarray[Any, Any]:
        """Return the place in the feature space of each selected feature; -1 for none."""
        wanted = self._chosen_features if chosen is None else chosen
        if wanted is None:
            return np.arange(self.manifest.space(self._organism("X")).n_vars)
        positions = self._space_table("X").index.get_indexer(wanted)
        if self._zero_features:
            positions[wanted.isin(list(self._zero_features))] = -1
        return positions

    def mean_nnz(self, matrix: str) -> float:
        """Return the stored elements per cell of a matrix, over the selected datasets."""
        return mean_nnz(self.matrix_infos(matrix))

    def stored_row_bytes(self, matrix: str) -> int:
        """Return how many bytes a decoded row of a matrix takes, on average."""
        return stored_row_bytes(self.matrix_infos(matrix))

    def _check_column(self, name: str) -> None:
        if not isinstance(name, str) or name not in self._filterable():
            raise unknown_column(name, [*self.obs_columns, *VIRTUAL_COLUMNS])

    def _with(self, **changes: Any) -> Self:
        return replace(self, **changes)

    def _select(self, selection: Selection) -> Self:
        left = {self.manifest.datasets[i].organism for i in selection.datasets}
        spaces = tuple(s.organism for s in self.manifest.feature_spaces if s.organism in left)
        return self._with(selection=selection, organisms=spaces or self.organisms)

    def _filterable(self) -> dict[str, Any]:
        names = {*self.obs_columns, *VIRTUAL_COLUMNS, INDEX_COLUMN, SOURCE_ROW_COLUMN}
        return {n: i for n, i in self._obs.infos.items() if n in names}

    def _organism(self, what: str) -> str:
        if len(self.organisms) != 1:
            names = ", ".join(map(repr, self.organisms))
            msg = (
                f"{what} needs one feature space, and cells of {names} are selected. "
                f"Choose one: store[{self.organisms[0]!r}]."
                if self.organisms
                else f"{what} needs a feature space, and the store has none."
            )
            raise MultipleFeatureSpacesError(msg)
        return self.organisms[0]

    def _space_table(self, what: str) -> pd.DataFrame:
        space = self.manifest.space(self._organism(what))
        return self._features[space.file.path]
