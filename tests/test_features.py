"""Features: matched by id, symbol and alias when written; chosen and known as measured when read."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dao
from dao import errors
from dao.features.match import Matcher

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Make = Any
Write = Any

TABLE = pd.DataFrame(
    {
        "gene_id": ["ENSG00000000001.4", "ENSG00000000002", "ENSG00000000003", "ENSG00000000004"],
        "symbol": ["CD4", "TBCE", "TBCE", "ACP3"],
        "biotype": ["protein_coding", "protein_coding", "lncRNA", "protein_coding"],
        "length": [10, 20, 30, 40],
    }
)
IDS = [f"ENSG0000000000{i}" for i in (1, 2, 3, 4)]
GTF = """#!genome-build GRCh38
1\thavana\tgene\t1\t9\t.\t+\t.\tgene_id "ENSG00000000001"; gene_version "4"; gene_name "CD4"; gene_biotype "protein_coding";
1\thavana\ttranscript\t1\t9\t.\t+\t.\tgene_id "ENSG00000000001"; transcript_id "ENST1"; gene_name "CD4";
1\thavana\tgene\t1\t9\t.\t+\t.\tgene_id "ENSG00000000002.7"; gene_type "lncRNA"; gene_name "TBCE";
1\thavana\tgene\t1\t9\t.\t+\t.\tgene_id "ENSG00000000003"; gene_biotype "lncRNA";
"""


def study(names: list[str], n_obs: int = 6, **var: Any) -> ad.AnnData:
    """Return counts that tell genes apart: column j holds j + 1 times a number of the cell."""
    x = np.outer(np.arange(1, n_obs + 1), np.arange(1, len(names) + 1)).astype(np.float32)
    return ad.AnnData(x, var=pd.DataFrame(var, index=names))


def in_source_order(store: dao.Store) -> pd.DataFrame:
    """Return X with the rows as they were in the source."""
    adata = store.to_anndata()
    frame = adata.to_df()
    return frame.iloc[np.argsort(adata.obs["_source_row"].to_numpy())].reset_index(drop=True)


# --- matching -----------------------------------------------------------------------------------


def test_names_are_matched_by_id_symbol_and_alias(write: Write) -> None:
    """Ids with and without versions, ids attached to symbols, symbols, then aliases."""
    names = ["CD4", "ENSG00000000002.9", "TBCE_ENSG00000000003", "ACPP", "nothing"]
    a = study(names)
    store = write({"a": a}, features=dao.Features(TABLE, aliases={"ACPP": "ACP3"}))
    assert list(store.var_names) == IDS
    np.testing.assert_array_equal(in_source_order(store), a.X[:, :4])
    assert list(store.var["symbol"]) == list(TABLE["symbol"])
    assert "length" not in store.var
    row = store.matching().loc["a"]
    assert row.to_dict() == {
        "columns": 5, "matched": 4, "by_id": 2, "by_symbol": 1, "by_alias": 1,
        "summed": 0, "unknown": 1, "ambiguous": 0, "missing": 0,
    }  # fmt: skip
    info = store.manifest.datasets[0]
    own = store.reader.table(info.features.path).to_pandas()
    assert list(own["source_name"]) == names[:4]
    dropped = store.reader.table(info.dropped.path).to_pandas()
    assert dropped[["name", "reason"]].values.tolist() == [["nothing", "unknown"]]
    assert store.validate().ok


def test_many_to_one_is_summed_one_to_many_is_reported(write: Write) -> None:
    """Columns of one feature are added up; a symbol of several features is left out, loudly."""
    a = study(["CD4", "ENSG00000000001", "TBCE"])
    with pytest.warns(errors.DaoWarning, match=r"'TBCE' for ENSG00000000002, ENSG00000000003"):
        store = write({"a": a}, features=TABLE)
    np.testing.assert_array_equal(in_source_order(store)[IDS[0]], a.X[:, 0] + a.X[:, 1])
    assert (in_source_order(store)[IDS[1:]] == 0).all(axis=None)
    row = store.matching().loc["a"]
    assert (row["summed"], row["ambiguous"], row["missing"]) == (1, 1, 3)
    dropped = store.reader.table(store.manifest.datasets[0].dropped.path).to_pandas()
    assert list(dropped["candidates"]) == ["ENSG00000000002|ENSG00000000003"]
    decided = write({"a": a}, "d.dao", features=dao.Features(TABLE, aliases={"TBCE": IDS[2]}))
    np.testing.assert_array_equal(in_source_order(decided)[IDS[2]], a.X[:, 2])


def test_aliases_without_a_table_rename(tmp_path: Path, write: Write) -> None:
    """With "outer" each alias is renamed, so that old and new symbols meet; the file may be csv."""
    old, new = study(["CD4", "ACPP"]), study(["CD4", "ACP3", "NEW"])
    (tmp_path / "aliases.csv").write_text("alias,symbol\nACPP,ACP3\nunused,CD4\n")
    store = write({"old": old, "new": new}, features=dao.Features(aliases=tmp_path / "aliases.csv"))
    assert set(store.var_names) == {"CD4", "ACP3", "NEW"}
    np.testing.assert_array_equal(in_source_order(store.subset(dataset="old"))["ACP3"], old.X[:, 1])
    assert store.matching()["by_alias"].tolist() == [1, 0]


def test_case_is_ignored_only_on_demand(write: Write) -> None:
    """C10ORF68 is C10orf68 if the user says so."""
    table = pd.DataFrame({"symbol": ["C10orf68", "Cd4"]}, index=["E1", "E2"])
    a = study(["C10ORF68", "Cd4"])
    strict = write({"a": a}, features=table)
    assert strict.matching().loc["a", "unknown"] == 1
    loose = write({"a": a}, "l.dao", features=dao.Features(table, ignore_case=True))
    np.testing.assert_array_equal(in_source_order(loose), a.X)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_matching_agrees_with_a_search(data: st.DataObject) -> None:
    """Each name gets the one feature that a plain search over the tables finds, or none."""
    names = st.sampled_from(["a", "b", "c", "d", "e", "A"])
    ids = data.draw(st.lists(names, unique=True, min_size=1))
    symbols = data.draw(st.dictionaries(names, st.lists(st.sampled_from(ids), unique=True)))
    symbols = {k: tuple(v) for k, v in symbols.items() if v}
    aliases = data.draw(st.dictionaries(names, st.lists(names, unique=True, min_size=1)))
    wanted = data.draw(st.lists(names))
    found = Matcher(ids, symbols, {k: tuple(v) for k, v in aliases.items()})(wanted)
    for name, feature, how in zip(wanted, found.ids, found.how, strict=True):
        by_symbol = set(symbols.get(name, ()))
        targets = aliases.get(name, [])
        by_alias = {i for t in targets for i in ([t] if t in ids else symbols.get(t, ()))}
        if name in ids:
            assert (feature, how) == (name, "id")
        elif len(by_symbol) == 1:
            assert ({feature}, how) == (by_symbol, "symbol")
        elif len(by_alias) == 1:
            assert ({feature}, how) == (by_alias, "alias")
        else:
            assert feature is None
            assert how == ("ambiguous" if by_symbol or by_alias else "unknown")


# --- where features come from -------------------------------------------------------------------


@pytest.mark.parametrize(
    "form", ["list", "frame", "indexed", "parquet", "csv", "text", "gtf", "gtf.gz", "store", "path"]
)
def test_every_form_of_features(tmp_path: Path, write: Write, form: str) -> None:
    """Lists, tables, files and stores give their features in their order."""
    ids = IDS[:3][::-1]
    table = TABLE.iloc[[2, 1, 0]]
    a = study(IDS)
    given: Any = ids
    if form in {"frame", "indexed"}:
        given = table if form == "frame" else table.set_index("gene_id")
    elif form in {"parquet", "csv"}:
        given = tmp_path / f"genes.{form}"
        table.to_parquet(given) if form == "parquet" else table.to_csv(given, index=False)
    elif form == "text":
        given = tmp_path / "genes.txt"
        given.write_text("\n".join(ids))
    elif form.startswith("gtf"):
        ids = IDS[:3]
        given = tmp_path / f"genes.{form}"
        given.write_bytes(gzip.compress(GTF.encode()) if form.endswith("gz") else GTF.encode())
    elif form in {"store", "path"}:
        other = write({"o": study(IDS)}, "other.dao", features=ids)
        given = other if form == "store" else other.path
    store = write({"a": a}, features=given)
    assert list(store.var_names) == ids
    np.testing.assert_array_equal(in_source_order(store), pd.DataFrame(a.X, columns=IDS)[ids])


def test_a_gtf_knows_symbols_and_biotypes(tmp_path: Path, write: Write) -> None:
    """A GTF of Ensembl or GENCODE gives symbols to match by, and biotypes to choose by."""
    (tmp_path / "g.gtf").write_text(GTF)
    features = dao.Features(tmp_path / "g.gtf", where="biotype == 'lncRNA'")
    store = write({"a": study(["CD4", "TBCE"])}, features=features)
    assert list(store.var_names) == IDS[1:3]
    assert list(store.var["biotype"]) == ["lncRNA", "lncRNA"]
    assert store.matching().loc["a", ["by_symbol", "unknown"]].tolist() == [1, 1]
    (tmp_path / "e.gtf").write_text("#nothing\n")
    with pytest.raises(errors.ArgumentError, match="no genes"):
        write({"a": study(["CD4"])}, "x.dao", features=tmp_path / "e.gtf")


def test_each_organism_has_features_of_its_own(write: Write) -> None:
    """A dict gives each organism its own; one that is not named keeps all of any study."""
    sources = [
        dao.Source(study(["A", "B"]), id="h", organism="human"),
        dao.Source(study(["a", "b"]), id="m", organism="mouse"),
    ]
    store = write(sources, features={"human": ["B"]})
    assert list(store["human"].var_names) == ["B"]
    assert set(store["mouse"].var_names) == {"a", "b"}
    with pytest.raises(errors.ArgumentError, match=r"no source is of it.*'Mus musculus'"):
        write(sources, "x.dao", features={"mus muscullus": ["B"]})


def test_symbols_in_var_names_are_kept_beside_the_ids(write: Write) -> None:
    """With feature_key, var_names are the symbols unless var has some."""
    a = study(["CD4", "TBCE"], gene_ids=IDS[:2])
    store = write({"a": a}, feature_key="gene_ids")
    assert store.var["symbol"].to_dict() == {IDS[0]: "CD4", IDS[1]: "TBCE"}


def test_studies_that_share_no_ids_are_named(write: Write) -> None:
    """Ids beside symbols make two halves of a store; that is allowed, and said."""
    a, b = study(["CD4", "TBCE"]), study(IDS)
    with pytest.warns(errors.DaoWarning, match=r"feature in common.*feature_key") as caught:
        write({"a": a, "b": b})
    assert ["'a'" in str(w.message) for w in caught] == [True, False]
    write({"a": a}, "s.dao")
    with pytest.warns(errors.DaoWarning, match="'b' has no feature in common"):
        write({"b": b}, "s.dao", mode="append")


def test_appended_studies_are_matched_to_the_store(write: Write) -> None:
    """With "inner" the store's own table is what names are matched to, symbols too."""
    write({"a": study(IDS)}, features=TABLE)
    aliases = {"ACPP": "ACP3"}
    store = write({"b": study(["CD4", "ACPP"])}, mode="append",
                  features=dao.Features("inner", aliases=aliases))  # fmt: skip
    assert list(store.var_names) == IDS
    assert store.matching().loc["b", ["by_symbol", "by_alias"]].tolist() == [1, 1]
    with pytest.raises(errors.ArgumentError, match="appending"):
        write({"c": study(["CD4"])}, mode="append", features=["CD4"])


@pytest.mark.parametrize(
    ("features", "match"),
    [
        ("nothing.csv", "a file that exists"),
        (pd.DataFrame({"gene_id": ["A", None]}), "without an id"),
        (pd.DataFrame({"gene_id": []}), "no features"),
        (dao.Features("outer", where="a == 1"), "where="),
        (dao.Features(TABLE, where="biotyp == 'x'"), "Did you mean 'biotype'"),
        (dao.Features(TABLE, where="biotype == 'x'"), "no feature of the table"),
        (dao.Features(TABLE, id="gen_id"), "Did you mean 'gene_id'"),
        (dao.Features(TABLE, symbol="symbl"), "Did you mean 'symbol'"),
        (dao.Features(aliases=3), "aliases"),
        (3, "features="),
    ],
)
def test_features_that_cannot_be_used(write: Write, features: Any, match: str) -> None:
    """What cannot be used is named, with what can."""
    with pytest.raises(errors.DaoError, match=match):
        write({"a": study(IDS)}, features=features)


# --- choosing -----------------------------------------------------------------------------------


@pytest.fixture
def store(write: Write) -> dao.Store:
    """Two studies of four features, one of which measured only two."""
    return write({"a": study(IDS), "b": study(["CD4", "ACP3"])}, features=TABLE)


def test_measured_says_which_study_measured_what(store: dao.Store) -> None:
    """A zero that was measured differs from one that was not."""
    table = store.measured()
    assert table.dtypes.unique().tolist() == [np.dtype(bool)]
    assert table.loc["a"].tolist() == [True] * 4
    assert table.loc["b"].tolist() == [True, False, False, True]
    chosen = store.subset(dataset="b").select_features([IDS[3], "new"], missing="zero")
    assert chosen.measured().to_dict() == {IDS[3]: {"b": True}, "new": {"b": False}}


def test_features_by_symbol_column_mask_and_expression(store: dao.Store) -> None:
    """All ways to say which; the order asked for is the order delivered."""
    whole = in_source_order(store.subset(dataset="a"))

    def holds(chosen: dao.Store, ids: list[str]) -> None:
        assert list(chosen.var_names) == ids
        pd.testing.assert_frame_equal(in_source_order(chosen.subset(dataset="a")), whole[ids])

    holds(store.select_features(["ACP3", "CD4"], by="symbol"), [IDS[3], IDS[0]])
    holds(store.select_features(biotype="protein_coding"), [IDS[0], IDS[1], IDS[3]])
    holds(store.select_features(symbol=["ACP3", "TBCE"]), IDS[1:])
    holds(store.select_features(where="symbol.startswith('A') or biotype == 'lncRNA'"), IDS[2:])
    holds(store.select_features([IDS[3], IDS[2], IDS[0]], biotype="protein_coding"),
          [IDS[3], IDS[0]])  # fmt: skip
    mask = store.var["symbol"] == "TBCE"
    for form in (mask, mask.to_numpy(), mask.tolist(), mask.iloc[::-1]):
        holds(store.select_features(form), IDS[1:3])
    holds(store.select_features(IDS[::-1]).select_features([True, False, False, True]),
          [IDS[3], IDS[0]])  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "options", "match"),
    [
        ((["TBCE"],), {"by": "symbol"}, r"several features.*'ENSG00000000002'"),
        ((["CD44"],), {"by": "symbol"}, "Did you mean 'CD4'"),
        ((["CD4"],), {"by": "symbl"}, "Did you mean 'symbol'"),
        ((), {"biotipe": "x"}, "Did you mean 'biotype'"),
        ((), {"biotype": "x"}, "No feature is left"),
        (([True, False],), {}, "shape"),
        ((pd.Series([True] * 4, index=list("wxyz")),), {}, "other features"),
        ((), {}, "Say which"),
        ((), {"by": "symbol"}, "none are given"),
    ],
)
def test_choices_that_cannot_be_met(
    store: dao.Store, arguments: Any, options: Any, match: str
) -> None:
    """Names that are not there or not unique are errors, with what there is."""
    with pytest.raises(errors.DaoError, match=match):
        store.select_features(*arguments, **options)


def test_a_feature_that_was_left_out_stays_out(store: dao.Store) -> None:
    """select_features(a).select_features(b, missing="zero") gives zeros for what a left out."""
    chosen = store.select_features(IDS[:2]).select_features([IDS[3], IDS[0]], missing="zero")
    frame = in_source_order(chosen.subset(dataset="a"))
    assert (frame[IDS[3]] == 0).all()
    assert (frame[IDS[0]] > 0).all()
    assert chosen.var[["symbol"]].isna().to_numpy().ravel().tolist() == [True, False]
    assert not chosen.measured()[IDS[3]].any()
    again = chosen.select_features([IDS[3]])
    assert (in_source_order(again.subset(dataset="a"))[IDS[3]] == 0).all()
    batch = next(iter(again.generator(4, x_format="dense")))
    assert not batch["X"].any()


# --- what the store remembers -------------------------------------------------------------------


def test_append_keeps_fields_of_later_versions(tmp_path: Path, write: Write) -> None:
    """What this version does not know of a manifest is still there after an append."""
    path = tmp_path / "store.dao"
    write({"a": study(IDS)})
    content = json.loads((path / "dao.json").read_text())
    del content["checksum"]
    content["licence"] = {"name": "CC0"}
    content["datasets"][0]["doi"] = "10.1"
    content["datasets"][0]["matrices"]["X"]["unit"] = "UMI"
    (path / "dao.json").write_text(json.dumps(content))
    write({"b": study(IDS)}, mode="append")
    after = json.loads((path / "dao.json").read_text())
    assert after["licence"] == {"name": "CC0"}
    assert after["datasets"][0] == content["datasets"][0]
    assert "doi" not in after["datasets"][1]
    replaced = write({"b": study(IDS)}, mode="overwrite")
    assert "licence" not in json.loads((path / "dao.json").read_text())
    assert replaced.validate().ok


def test_stores_that_say_nothing_of_matching(tmp_path: Path, write: Write) -> None:
    """A store of an earlier dao has no such fields; all the rest works."""
    path = tmp_path / "store.dao"
    write({"a": study(IDS)}, features=TABLE)
    content = json.loads((path / "dao.json").read_text())
    del content["checksum"]
    for field in ("matching", "dropped"):
        del content["datasets"][0][field]
    del content["obs_schema"]
    (path / "dao.json").write_text(json.dumps(content))
    store = dao.load_store(path)
    assert store.matching().loc["a"].isna().tolist() == [True] * 8 + [False]
    assert store.measured().all(axis=None)


def test_the_counts_of_matching_are_checked(tmp_path: Path, write: Write) -> None:
    """A manifest whose counts do not add up is damaged."""
    path = tmp_path / "store.dao"
    write({"a": study(IDS)})
    content = json.loads((path / "dao.json").read_text())
    del content["checksum"]
    content["datasets"][0]["matching"]["by_id"] += 1
    (path / "dao.json").write_text(json.dumps(content))
    with pytest.raises(errors.FormatError, match="the sum of the others"):
        dao.load_store(path)


def test_every_position_is_the_column_it_says(
    make_study: Make, write: Write, oracle: Callable[..., Any]
) -> None:
    """With a table in any order, X of every study is what plain indexing gives."""
    random = np.random.default_rng(0)
    studies = {f"s{i}": make_study(i, genes=[f"G{j}" for j in random.permutation(60)[:40]])
               for i in range(3)}  # fmt: skip
    genes = [f"G{j}" for j in random.permutation(60)[:30]]
    store = write(studies, features=genes)
    assert list(store.var_names) == genes
    for name, one in studies.items():
        mine = store.subset(dataset=name).to_anndata()
        rows = mine.obs["_source_row"].to_numpy()
        np.testing.assert_array_equal(mine.X.toarray(), oracle(one[rows], store.var_names))
        measured = store.measured().loc[name]
        assert set(measured.index[measured]) == set(genes) & set(one.var_names)
