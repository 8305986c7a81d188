"""Files: tensors, models, preprocessing, the folder of a run.

models         saving and loading models; which file of a run holds its model
predictor      a loaded model that predicts from raw rows
preprocessing  what a model file says about predicting from raw rows
tensors        the safetensors format, written and checked
replacing      replacing a file as a whole
run_folder     names of a run folder's files, and whether the run has ended
"""
