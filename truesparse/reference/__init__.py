"""The reference for other implementations of sparse training.

baseline    what a training step, a prediction and an update cost here, as files
compare     command: the times in two files beside each other
times       command: measure the times of this machine
"""
