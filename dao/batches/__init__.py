"""From a selection to batches: sample -> plan -> fetch -> gather -> batch, one stage per file."""
