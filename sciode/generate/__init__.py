"""Datasets from recipes."""

from sciode.generate.recipe import SIZES, Recipe, Size, load_recipe, recipe_folder, recipe_names
from sciode.generate.run import generate, integrate

__all__ = ["SIZES", "Recipe", "Size", "generate", "integrate", "load_recipe", "recipe_folder", "recipe_names"]
