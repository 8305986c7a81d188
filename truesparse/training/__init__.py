"""Training: the loop, the state of a run, its events and its checkpoints.

trainer      Trainer: batches, learning rate, topology updates, validation
fit_data     data of a fit, checked, with a validation part
run          Run: the state of a run, and the record of each epoch
events       Callback: the events to which callbacks listen
checkpoints  checkpoint files: read and write
snapshot     the last good model of a run
zeros        weights that Powerpropagation would never move
"""
