"""Spread: the datasets of a plan over the workers of a cluster."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao.store import Store
from dao.write.cluster import tasks
from dao.write.cluster.crew import Call, Crew, Work
from dao.write.cluster.site import Reference, building_site
from dao.write.dataset import Assignment, Written, describe
from dao.write.portion import Portion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dao.format.manifest import MatrixInfo
    from dao.write.cluster.crew import Steps
    from dao.write.cluster.site import Site
    from dao.write.plan import WritePlan
    from dao.write.progress import ProgressReport

__all__ = ["write_there"]

# Larger datasets are written by several workers; elements that a task reads then, which is a few
# seconds of work; and shards that it writes.
_WHOLE_ELEMENTS = 1 << 26
_RANGE_ELEMENTS = 1 << 25
_SHARDS = 2


def write_there(plan: WritePlan, client: Any, report: ProgressReport) -> list[Written]:
    """Write all datasets of a plan, in its order.

    Raises
    ------
    dao.errors.DaoError
        That which writing here would raise, and if the cluster fails.
    """
    root = plan.job.root
    with building_site(root, plan.job.generation, plan.job.memory) as site:
        crew = Crew(client, root, site)
        return [w for _, w in sorted(crew.carry_out(_works(plan, root, site, report)), key=_number)]


def _number(numbered: tuple[int, Written]) -> int:
    return numbered[0]


def _works(plan: WritePlan, root: Path, site: Site, report: ProgressReport) -> Iterator[Work]:
    spaces = {o: Reference.to(ids, site.folder) for o, ids in plan.space_ids.items()}
    for number, study in enumerate(plan.studies):
        name = f"{study.id} ({number + 1} of {len(plan.studies)})"
        advance = report.begin(name, study.n_elements)
        assignment = Assignment(plan.job, study, plan.space(study))
        if not isinstance(study.source.path, Path | Portion | Store):
            # What is in memory is not sent around.
            yield Work(number, _whole(assignment, study.n_elements, is_here=True), advance)
            continue
        stored = Reference.to(_travelling(assignment), site.folder)
        given = tasks.Given(stored, spaces[study.organism])
        if study.n_elements <= _WHOLE_ELEMENTS:
            yield Work(number, _whole(given, study.n_elements), advance)
        else:
            yield Work(number, _divided(assignment, given, root), advance)


def _travelling(assignment: Assignment) -> Assignment:
    """Return an assignment without what is sent once for all."""
    return replace(assignment, space=assignment.space[:0])


def _whole(
    given: tasks.Given | Assignment, n_elements: int, *, is_here: bool = False
) -> Steps[Written]:
    """Write a dataset in one task."""
    results = yield [Call(tasks.whole, (given,), n_elements, is_here=is_here)]
    written: Written = results[0]
    return written


def _divided(assignment: Assignment, given: tasks.Given, root: Path) -> Steps[Written]:
    """Write a dataset in many tasks."""
    (begun,) = yield [Call(tasks.begin, (given, _RANGE_ELEMENTS))]
    matrices = {}
    for name in assignment.matrices:
        matrices[name] = yield from _matrix(given, begun, name, root)
    return describe(assignment, root, begun.beside, matrices)


def _matrix(given: tasks.Given, begun: tasks.Begun, name: str, root: Path) -> Steps[MatrixInfo]:
    collected = yield [
        Call(tasks.collect, (given, begun, name, lines), n) for lines, n in begun.ranges[name]
    ]
    (outlined,) = yield [Call(tasks.outline, (begun, name, collected))]
    layout = outlined.layout
    call = partial(Call, tasks.encode)
    cuts = range(0, layout.rows.n_shards, _SHARDS)
    shards = [range(a, min(a + _SHARDS, layout.rows.n_shards)) for a in cuts]
    parts = []
    if shards:
        parts = yield [call((begun, name, outlined, some)) for some in shards]
    sizes = {array: [n for part in parts for n in part.get(array, ())] for array in layout.arrays}
    job = begun.jobs.get()[name]
    return job.info(root, layout, outlined.range, outlined.nnz, {**sizes, **outlined.sizes})
