"""Choosing cells: from what a user says to a `Selection`, and what one is made of.

``conditions`` and ``filters`` are `Store.subset`; ``positions`` and ``draw`` give places,
``algebra`` joins selections, ``ontology`` knows branches, ``counts`` and ``describe`` look at
what was chosen, ``saved`` keeps it in a file.
"""
