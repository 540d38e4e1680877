"""Training: data, one script per stage, recipes. Imports the other rooms; is never shipped inside a checkpoint."""
