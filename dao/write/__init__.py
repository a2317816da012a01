"""From studies to a store: sources -> align -> shuffle -> encode -> commit."""
