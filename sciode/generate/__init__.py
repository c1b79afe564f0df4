"""Datasets from recipes."""

from sciode.generate.recipe import Recipe, Size, load_recipe, recipe_folder, recipe_names
from sciode.generate.run import generate, integrate

__all__ = ["Recipe", "Size", "generate", "integrate", "load_recipe", "recipe_folder", "recipe_names"]
