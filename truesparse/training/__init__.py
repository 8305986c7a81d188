"""Training: the loop, the state of a run, its events and its checkpoints.

trainer      Trainer: batches, learning rate, topology updates, validation
fit_data     data of a fit, checked, with a validation part
run          Run: the state of a run, and the record of each epoch
events       Callback: the events to which callbacks listen
checkpoints  checkpoint files: read and write
epoch_records  the records of epochs, as a tensor of a checkpoint
stored_states  states of algorithms and callbacks, as checkpoints store them
snapshot     the last good model of a run
notices      what a run warns of
zeros        weights that Powerpropagation would never move
"""
