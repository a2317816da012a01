"""A machine that writes, changes, chooses and streams stores, held against the oracle.

Every operation of dao that changes or reads a store is a rule here; a new one gets a rule. After
each change the whole store is compared with the oracle, and readers of earlier generations too.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fuzz.checks import refused, same_anndata, same_cells, same_obs, same_stats, same_stream
from fuzz.columns import FAMILIES, cells
from fuzz.filters import Test, expressions, tests
from fuzz.known import left_out
from fuzz.oracle import (
    Member,
    Rows,
    keeps_orders,
    may_refuse,
    member,
    merged,
    ordered_rightly,
    sums_too_large,
    within,
)
from fuzz.studies import COLUMNS, Study, studies
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import dao
from dao.errors import DaoError

COUNTED: Counter[str] = Counter()
# Where there is such a folder, files cost nothing.
FAST = Path("/dev/shm")
USED = [f for f in FAMILIES if not (left_out("times") and f in {"time", "span", "zoned", "date"})]
BACKENDS = ("local", "zarrs", "zarr", "memory")
SAMPLERS = ("sequential", "shuffle", "random")
DTYPES = ("float32", "float64", "native", "int64", "int32")


def temporary_folder() -> str | None:
    """Return where files cost nothing, if there is such a place."""
    return str(FAST) if FAST.is_dir() else None


class StoreMachine(RuleBasedStateMachine):
    """One store, from its first write on."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="dao-fuzz-", dir=temporary_folder()))
        self.path = self.folder / "atlas.dao"
        self.n_written = 0
        self.members: dict[str, Member] = {}
        self.sizes: dict[str, int] = {}
        self.genes: set[str] = set()
        self.stated: dict[str, list[tuple[Any, ...]]] = {}
        self.codes: dict[str, tuple[bool, list[Any]]] = {}
        self.views: list[tuple[dao.Store, list[int]]] = []
        self.old: tuple[dao.Store, Rows] | None = None

    def teardown(self) -> None:
        """Remove all files."""
        self.views, self.old = [], None
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- changes ----------------------------------------------------------------------------------

    @initialize(data=st.data())
    def create(self, data: st.DataObject) -> None:
        """Write the first studies."""
        self.families = {
            name: data.draw(st.sampled_from(USED), f"family of {name!r}") for name in COLUMNS
        }
        given = data.draw(st.lists(studies(self.families), min_size=1, max_size=3), "studies")
        features = data.draw(st.sampled_from(["outer", "outer", "outer", "inner"]), "features")
        named = {f"d{i}": study for i, study in enumerate(given)}
        while not self._write(named, "create", features):
            # What was refused rightly leaves nothing behind; with less it works.
            assert not self.path.exists()
            first, study = next(iter(named.items()))
            named = {first: Study(study.source, study.names, study.genes, study.x)}
            features = "outer"

    @rule(data=st.data(), mode=st.sampled_from(["append", "append", "replace"]))
    def change(self, data: st.DataObject, mode: str) -> None:
        """Append or replace a study or two."""
        n = data.draw(st.integers(1, 2), "number of studies") if mode == "append" else 1
        given = [data.draw(studies(self.families), "study") for _ in range(n)]
        if mode == "replace":
            names = [data.draw(st.sampled_from(sorted(self.members)), "replaced")]
        else:
            names = [f"d{self.n_written + i + 10}" for i in range(n)]
        self._write(dict(zip(names, given, strict=True)), mode, "outer")

    @precondition(lambda self: len(self.members) > 1 and not left_out("remove"))
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        """Remove a dataset."""
        name = data.draw(st.sampled_from(sorted(self.members)), "removed")
        with refused(None):
            self._keep_old()
            self.store.remove(name)
        self.members = {n: m for n, m in self.members.items() if n != name}
        self._changed("remove")

    @rule(data=st.data(), shuffle=st.booleans())
    def compact(self, data: st.DataObject, shuffle: bool) -> None:
        """Write all datasets again, or make one of some."""
        merge = None
        names = list(self.members)
        if len(names) > 1 and data.draw(st.booleans(), "merge"):
            chosen = data.draw(st.lists(st.sampled_from(names), unique=True, min_size=2), "merged")
            merge = {f"m{self.n_written}": chosen}
        parts = [self.members[n] for n in names if merge and n in next(iter(merge.values()))]
        keep_ids = f"study{self.n_written}"
        alike = len({(frozenset(m.genes & self.genes), frozenset(m.matrices)) for m in parts}) <= 1
        # Tables of obsm with other columns cannot be one.
        tables = {
            (name, columns) for m in parts for name, found in m.obsm.items() for columns in found
        }
        alike = alike and len(tables) == len({name for name, _ in tables})
        with refused(not alike) as error:
            self._keep_old()
            self.store.compact(
                merge, shuffle=shuffle, keep_ids=keep_ids, seed=self.n_written, progress=False
            )
        if error:
            return
        if merge is not None:
            ((new, _),) = merge.items()
            one = merged(new, parts, keep_ids, self.sizes)
            self.sizes[new] = sum(self.sizes[p.id] for p in parts)
            changed: dict[str, Member] = {}
            for name, m in self.members.items():
                if m is parts[0]:
                    changed[new] = one
                elif all(m is not p for p in parts):
                    changed[name] = m
            self.members = changed
        self.n_written += 1
        self._changed("compact")

    @rule(backend=st.sampled_from(BACKENDS))
    def reopen(self, backend: str) -> None:
        """Open the store again, by another backend."""
        self.store = dao.load_store(self.path, backend=backend)
        self.views = []
        COUNTED["reopen"] += 1

    # --- choosing ---------------------------------------------------------------------------------

    @rule(data=st.data())
    def subset(self, data: st.DataObject) -> None:
        """Choose cells by an expression."""
        view, positions, rows = self._view(data)
        if left_out("filters"):
            return
        expression = data.draw(expressions(rows), "expression")
        note(expression.text())
        chosen = self._calm(lambda: view.subset(expression.text()))
        self._chosen(
            chosen, [p for p, m in zip(positions, expression.mask(rows), strict=True) if m]
        )

    @rule(data=st.data(), exclude=st.booleans())
    def subset_by_keyword(self, data: st.DataObject, exclude: bool) -> None:
        """Choose cells by the values of a column."""
        view, positions, rows = self._view(data)
        test = data.draw(tests(rows), "test")
        if test.op in {"isna", "notna"}:
            test = Test(test.column, "==", None)
        elif test.op not in {"==", "in"}:
            return
        given = {test.column: test.value}
        chosen = self._calm(lambda: view.subset(exclude=given) if exclude else view.subset(**given))
        mask = test.mask(rows)
        self._chosen(chosen, [p for p, m in zip(positions, mask, strict=True) if m != exclude])

    @rule(data=st.data(), how=st.sampled_from(["positions", "mask", "slice", "series"]))
    def take(self, data: st.DataObject, how: str) -> None:
        """Choose cells one by one, in any order, with repeats."""
        view, positions, _ = self._view(data)
        n = len(positions)
        which: Any
        if how == "slice":
            bounds = st.none() | st.integers(-n - 1, n + 1)
            step = data.draw(st.sampled_from([None, 1, 2, -1, -3]), "step")
            which = slice(data.draw(bounds, "start"), data.draw(bounds, "stop"), step)
            expected = positions[which]
        elif how == "positions":
            numbers = data.draw(st.lists(st.integers(-n, n - 1), max_size=12) if n else st.just([]))
            kind = data.draw(st.sampled_from(["list", "int8", "int64", "uint16", "Index"]), "kind")
            if kind == "uint16":
                numbers = [i % n for i in numbers]
            which = numbers
            if kind == "Index":
                which = pd.Index(np.array(numbers, np.int64))
            elif kind != "list":
                which = np.array(numbers, kind)
            expected = [positions[i] for i in numbers]
        else:
            mask = data.draw(st.lists(st.booleans(), min_size=n, max_size=n), "mask")
            which = np.array(mask, bool)
            if how == "series":
                which = pd.Series(which, index=view.obs.index)
                if not view.obs.index.is_unique:
                    return
            expected = [p for p, m in zip(positions, mask, strict=True) if m]
        self._chosen(self._calm(lambda: view[which]), list(expected))

    @rule(data=st.data())
    def take_names(self, data: st.DataObject) -> None:
        """Choose cells by their names; a name may be that of several."""
        view, positions, rows = self._view(data)
        names = rows.names()
        wanted = data.draw(
            st.lists(st.sampled_from(sorted(set(names))), max_size=4) if names else st.just([])
        )
        expected = [p for w in wanted for p, n in zip(positions, names, strict=True) if n == w]
        self._chosen(self._calm(lambda: view.take(wanted)), expected)

    @rule(data=st.data(), how=st.sampled_from(["|", "&", "-", "~"]))
    def algebra(self, data: st.DataObject, how: str) -> None:
        """Join, cut and turn round selections."""
        view, positions, _ = self._view(data)
        other, others, _ = self._view(data)
        a, b = set(positions), set(others)
        whole = set(range(len(self.rows)))
        found = {"|": a | b, "&": a & b, "-": a - b, "~": whole - a}[how]
        chosen = {
            "|": lambda: view | other,
            "&": lambda: view & other,
            "-": lambda: view - other,
            "~": lambda: ~view,
        }[how]
        self._chosen(self._calm(chosen), sorted(found))

    @rule(data=st.data(), seed=st.integers(0, 3))
    def sample(self, data: st.DataObject, seed: int) -> None:
        """Draw cells, of all or of each group."""
        view, positions, rows = self._view(data)
        by = data.draw(st.sampled_from([None, "dataset", *rows.columns]), "by")
        n = data.draw(st.integers(0, max(len(rows), 1)), "n")
        with refused(by is None and n > len(rows)) as error:
            drawn = view.sample(n, by=by, seed=seed)
        if error:
            return
        again = self._calm(lambda: view.sample(n, by=by, seed=seed))
        got = self._positions(drawn)
        assert got == self._positions(again)
        groups = rows.cells(by) if by else [None] * len(rows)
        limits = Counter(groups)
        assert not Counter(got) - Counter(positions)
        assert sorted(got, key=positions.index) == got or len(set(positions)) < len(positions)
        everything = self.rows.cells(by) if by else [None] * len(self.rows)
        assert Counter(everything[p] for p in got) == Counter(
            {g: min(n, k) for g, k in limits.items() if min(n, k)}
        )

    @rule(data=st.data(), seed=st.integers(0, 2))
    def split(self, data: st.DataObject, seed: int) -> None:
        """Divide a selection; groups stay whole, parts are disjoint and all."""
        view, positions, rows = self._view(data)
        group_by = data.draw(st.sampled_from([None, "dataset", *rows.columns]), "group_by")
        fractions = data.draw(
            st.sampled_from([{"train": 0.8, "test": 0.2}, {"a": 0.5, "b": 0.25, "c": 0.25}])
        )
        with refused(True) as error:
            parts = view.split(fractions, group_by=group_by, seed=seed)
        if error:
            return
        found = {name: self._positions(part) for name, part in parts.items()}
        assert sorted(p for part in found.values() for p in part) == sorted(positions)
        labels = self.rows.cells(group_by) if group_by else range(len(self.rows))
        sets = [{labels[p] for p in part} for part in found.values()]
        assert len(set().union(*sets)) == sum(map(len, sets)), found

    # --- reading ----------------------------------------------------------------------------------

    @rule(
        data=st.data(),
        backend=st.sampled_from(("as it is", *BACKENDS)),
        dtype=st.sampled_from(DTYPES),
        x_format=st.sampled_from(["csr", "dense"]),
        sampler=st.sampled_from(SAMPLERS),
        batch_size=st.integers(1, 9),
    )
    def stream(
        self,
        data: st.DataObject,
        backend: str,
        dtype: str,
        x_format: str,
        sampler: str,
        batch_size: int,
    ) -> None:
        """Stream a selection, by any backend."""
        view, positions, rows = self._view(data)
        if backend == "memory":
            view = self._calm(view.to_memory)
        elif backend != "as it is":
            view = self._calm(lambda: dao.load_store(self.path, backend=backend).take(positions))
        shared = sorted(rows.matrices())
        arguments: dict[str, Any] = {
            "batch_size": batch_size,
            "dtype": dtype,
            "x_format": x_format,
            "sampler": sampler,
            "obs_keys": data.draw(
                st.lists(st.sampled_from(["dataset", *rows.columns]), unique=True), "obs_keys"
            ),
            "layers": [n.partition("/")[2] for n in shared if n.startswith("layers/")],
            "obsm": [n.partition("/")[2] for n in shared if n.startswith("obsm/")],
        }
        if self.genes and data.draw(st.booleans(), "some genes"):
            arguments["var_names"] = data.draw(
                st.lists(st.sampled_from(sorted(self.genes)), unique=True, min_size=1), "var_names"
            )
        same_stream(view, rows, self.rows, positions, **arguments)
        COUNTED[f"stream {backend}"] += 1

    @rule(data=st.data())
    def to_anndata(self, data: st.DataObject) -> None:
        """Take a selection into memory."""
        view, _, rows = self._view(data)
        same_anndata(view, rows, self.genes)
        COUNTED["to_anndata"] += 1

    @rule(data=st.data())
    def statistics(self, data: st.DataObject) -> None:
        """Sums over cells, and counts of values."""
        view, _, rows = self._view(data)
        if rows.members and len(rows):
            same_stats(view, rows)
        column = data.draw(st.sampled_from(["dataset", *rows.columns]), "column")
        with refused(None):
            counts = view.value_counts(column)
        found = Counter(dict(zip(cells(pd.Series(counts.index)), counts.tolist(), strict=True)))
        assert +found == Counter(rows.cells(column)), (column, found)
        COUNTED["statistics"] += 1

    @rule(data=st.data())
    def save(self, data: st.DataObject) -> None:
        """Save a selection and load it."""
        view, positions, _ = self._view(data)
        file = self.folder / "selection.json"
        with refused(None):
            view.save_selection(file)
            loaded = dao.load_selection(file)
        self._chosen(loaded, positions)

    @rule()
    def validate(self) -> None:
        """Nothing is damaged, and earlier readers have what they had."""
        with refused(None):
            report = dao.validate_store(self.path)
        assert report.ok, report.problems
        if self.old is not None:
            same_obs(self.old[0].obs, self.old[1], self.old[1].columns)
        COUNTED["validate"] += 1

    # --- what the rules share ---------------------------------------------------------------------

    def _write(self, named: dict[str, Study], mode: str, features: str) -> bool:
        """Write studies; return whether they were accepted."""
        given = list(named.values())
        layers = sorted(set.intersection(*(set(s.layers) for s in given)))
        obsm = sorted(set.intersection(*(set(s.obsm) for s in given)))
        new = {n: member(n, s, layers, obsm) for n, s in named.items()}
        after = {**({} if mode == "create" else self.members), **new}
        reason = self._reason(after, features)
        if any(map(sums_too_large, new.values())):
            reason = reason or "sums that no 64 bits hold"
        if any(study.leaves_out_chunks for study in given):
            reason = reason or "chunks of zeros"
        sources = {}
        for name, study in named.items():
            folder = self.folder / f"source{self.n_written}"
            folder.mkdir()
            self.n_written += 1
            with refused(reason) as error:
                sources[name] = study.given(folder)
            if error:
                return False
        note(f"reason to refuse: {reason}")
        with refused(reason) as error:
            self._keep_old()
            self.store = dao.write_store(
                self.path,
                sources,
                organism="human",
                features=features,
                layers=layers,
                obsm=obsm,
                mode=mode,
                progress=False,
            )
        if error:
            COUNTED[f"{mode} refused"] += 1
            return False
        sets = [m.genes for m in new.values()]
        found = set.intersection(*sets) if features == "inner" else set.union(*sets)
        self.genes = found if mode == "create" else self.genes | found
        self.members = {n: within(m, self.genes) if n in new else m for n, m in after.items()}
        self.sizes |= {n: len(m) for n, m in new.items()}
        for study in given:
            for name, column in study.obs.items():
                if column.ordered:
                    self.stated.setdefault(name, []).append(column.categories)
        self._changed(mode)
        return True

    def _reason(self, after: dict[str, Member], features: str) -> str | None:
        found: dict[str, list[Any]] = {}
        for m in after.values():
            for name, held in m.columns.items():
                found.setdefault(name, []).extend(held)
        reasons = [may_refuse(held) for held in found.values()]
        if features == "inner" and not set.intersection(*(m.genes for m in after.values())):
            reasons.append("no common genes")
        tables: dict[str, set[Any]] = {}
        for m in after.values():
            for name, columns in m.obsm.items():
                tables.setdefault(name, set()).update(map(frozenset, columns))
        if any(len(columns) > 1 for columns in tables.values()):
            reasons.append("tables of obsm with other columns")
        return next((r for r in reasons if r), None)

    def _keep_old(self) -> None:
        if self.members and self.old is None:
            self.old = (self.store, self.rows)

    def _changed(self, action: str) -> None:
        """Open the store after a change, and compare all of it."""
        COUNTED[action] += 1
        self.views = []
        with refused(None):
            self.store = dao.load_store(self.path)
            obs = self.store.obs
        assert self.store.datasets == [n for n, m in self.members.items() if len(m)]
        place = {(name, row): i for name, m in self.members.items() for i, row in enumerate(m.rows)}
        keys = [
            (d, place[d, r])
            for d, r in zip(obs["dataset"].astype(str), obs["_source_row"].tolist(), strict=True)
        ]
        assert sorted(keys) == sorted(
            (n, i) for n, m in self.members.items() for i in range(len(m))
        )
        columns = tuple(sorted({c for m in self.members.values() for c in m.cells}))
        held = set(obs.columns) - {"dataset", "organism", "_source_row"}
        assert held >= set(columns), f"lost: {set(columns) - held}"
        info = {name: _info(obs[name]) for name in columns}
        self.rows = Rows(self.members, tuple(keys), columns, info)
        self._check_codes(columns, obs)
        with refused(None):
            same_obs(obs, self.rows, [*columns, "organism"])
            assert list(obs.index) == self.rows.names()
            assert set(self.store.var_names) == self.genes
            measured = self.store.measured()
        for name in self.store.datasets:
            held_genes = set(measured.columns[measured.loc[name]])
            assert held_genes == self.members[name].genes & self.genes, name
        same_anndata(self.store, self.rows, self.genes)

    def _check_codes(self, columns: tuple[str, ...], obs: pd.DataFrame) -> None:
        """Codes never change, orders are those that studies state."""
        codes = {}
        for name in columns:
            if not isinstance(obs[name].dtype, pd.CategoricalDtype):
                before = self.codes.get(name)
                lost = before is not None and before[1] and not left_out("codes")
                assert not lost, f"{name!r} was categorical: {before}"
                continue
            ordered, categories = bool(obs[name].cat.ordered), list(obs[name].cat.categories)
            codes[name] = (ordered, categories)
            known = self.codes.get(name)
            if known is not None:
                assert categories[: len(known[1])] == known[1], (name, known, categories)
            if ordered:
                stated = self.stated.get(name, [])
                assert ordered_rightly(categories, stated), (name, categories, stated)
                assert keeps_orders(categories, stated), (name, categories, stated)
        self.codes = codes

    def _view(self, data: st.DataObject) -> tuple[dao.Store, list[int], Rows]:
        """Draw one of the selections that there are."""
        which = data.draw(st.integers(0, len(self.views)), "view")
        if which == len(self.views):
            return self.store, list(range(len(self.rows))), self.rows
        view, positions = self.views[which]
        return view, positions, self.rows.take(positions)

    def _chosen(self, view: dao.Store, positions: list[int]) -> None:
        """Compare a selection with the cells that it must have, and keep it."""
        rows = self.rows.take(positions)
        assert view.n_obs == len(positions), (view.n_obs, positions)
        assert self._positions(view) == list(positions)
        with refused(None):
            same_obs(view.obs, rows, rows.columns)
            assert list(view.obs.index) == rows.names()
        self.views = [*self.views[-2:], (view, list(positions))]
        COUNTED["chosen"] += 1

    def _positions(self, view: dao.Store) -> list[int]:
        return [int(p) for p in view.selection.positions(view.manifest)]

    def _calm(self, do: Any) -> Any:
        with refused(None):
            return do()


def _info(column: pd.Series) -> dict[str, Any]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return {"categories": list(column.cat.categories), "ordered": bool(column.cat.ordered)}
    return {"float32": str(column.dtype).lower() == "float32"}


__all__ = ["COUNTED", "DaoError", "StoreMachine", "same_cells"]
