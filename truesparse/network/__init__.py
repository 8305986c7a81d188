"""The network: a row of layers, their buffers, forward and backward passes.

sparse_mlp       SparseMLP, the model
layer_stack      what it is by its layers: sizes, dtype, state of the optimiser
feedforward      forward passes over all layers
backprop         backward passes over all layers, with the optimiser step
buffers          the arrays a model works in
probabilities    what softmax or logistic makes of the outputs
condensed_copy   a condensed copy of the layers, for a few samples
hessian          gradients in float64, and products with the Hessian of the loss
averaging        one net that outputs the mean of several
precision        how activations are stored
exportable       what a net can be turned into
faults           where numbers stopped being finite
inputs           dense or CSR input data, in the form that kernels take
"""
