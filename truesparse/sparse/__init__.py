"""One layer: its connections, and what is computed with them.

connections      index arrays, weights and optimiser state
rewiring         a change of the pattern, and the numbers that go with its connections
layer            connections, biases and activation; forward and backward
srelu            trained parameters of the activation srelu
balance          how the work of a layer is split into tasks
unpickled        the check of layers that come from a pickle
condensed_layer  a layer for prediction alone, its connections by output neuron
condensed_chain  such layers one after the other
one_by_one       a few samples through such layers
condensing       how trained layers become such layers
"""
