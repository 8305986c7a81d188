"""Numba functions on arrays: all code that is hot. One file for each computation.

One training step
    batch         gathers samples of dense or sparse data into a batch
    forward       outputs of a sparse layer
    backward      gradient of each connection, delta of the layer below, optimiser step
    awake         skipping input neurons that are zero in a small batch
    sparse_input  the same two passes for a first layer with sparse input
    activation    activations, their derivatives, dropout
    srelu         activation with trained parameters
    loss          value of the loss, and the delta at the outputs
    update        rules of the optimisers: from a gradient to a new weight
Topology
    transpose     column view of a pattern
    rewire        dropping and inserting connections, absent cells
    candidates    absent cells with the largest gradients
    ranks         ranks within groups
    products      absent cells with the largest products of two numbers
    paths         scores of absent cells by paths of three connections
    path_draws    draws of such paths, and with them of cells
    patterns      draws of initial connections that depend on each other
Predictions on a few samples
    condensed     products by output neuron, 16 neurons at once
    windows       the same for one sample, with AVX-512
    condensed_net a few samples through all layers in one call
    sparse_sample first layer for one sparse sample
    fingerprint   whether arrays still hold what they held
What they are made of
    arrays        NamedTuples of arrays that kernels take
    addresses     arrays by their addresses
    aligned       arrays that start on a cache line
    bfloat16      numbers of activations in memory, which may be of 16 bits
    simd          vectors in registers
    simd_numpy    the same, for when the JIT is off
    subnormal     flushing subnormal numbers to zero
    jit           decorators of kernels, threads, compile cache
"""
