"""What every folder may use and that holds no science: errors, names, files, progress, seeds."""
