"""One layer: its connections, and what is computed with them.

connections  index arrays, weights and optimiser state
rewiring     a change of the pattern, and the numbers that go with its connections
layer        connections, biases and activation; forward and backward
srelu        trained parameters of the activation srelu
balance      how the work of a layer is split into tasks
"""
