"""Files: tensors, models, preprocessing, the folder of a run."""
