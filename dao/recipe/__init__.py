"""Recipes: what `dao.write_store` shall do, as a TOML file."""

from __future__ import annotations

from dao.recipe.read import Recipe, read_recipe

__all__ = ["Recipe", "read_recipe"]
