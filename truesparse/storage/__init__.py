"""Files: tensors, models, preprocessing, the folder of a run.

models         saving and loading models; which file of a run holds its model
predictor      a loaded model that predicts from raw rows
preprocessing  what a model file says about predicting from raw rows
tensors        the safetensors format, written and checked
digest         digests of tensor files, which tell whether anything has changed
run_folder     names of a run folder's files, whether the run has ended, who trains
"""
