"""Use an installed dao: write, load, choose, stream. The argument is where it is installed."""

import sys
import warnings
from pathlib import Path


def main() -> None:
    """Do what the first minute with dao does."""
    import anndata
    import numpy as np
    import pandas as pd

    import dao
    from dao.backend import available_backends

    warnings.simplefilter("error")
    assert Path(dao.__file__).is_relative_to(sys.argv[1]), dao.__file__
    assert {"local", "memory", "zarr", "zarrs"} <= set(available_backends())
    x = np.random.default_rng(0).poisson(1.0, (100, 20)).astype("float32")
    obs = pd.DataFrame({"donor": ["d1", "d2"] * 50}, index=[f"cell{i}" for i in range(100)])
    study = anndata.AnnData(x, obs, pd.DataFrame(index=[f"GENE{i}" for i in range(20)]))
    dao.write_store("smoke.dao", {"study": study}, organism="human", progress=False)
    cells = dao.load_store("smoke.dao").subset(donor="d1")
    batches = list(cells.generator(16, obs_keys=["donor"], x_format="dense"))
    assert sum(batch["X"].sum() for batch in batches) == x[::2].sum()
    assert not dao.validate_store("smoke.dao").problems


if __name__ == "__main__":
    main()
