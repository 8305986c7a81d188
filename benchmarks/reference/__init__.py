"""Three implementations of sparse training that pass the check of the reference.

numpy_dense   masked dense NumPy in float64
torch_masked  dense weights and a mask in torch, as most research code has it
torch_csr     CSR products and sampled gradients in torch: nothing of size n_in n_out

    python -m truesparse.reference check KIT --implementation \
        benchmarks.reference.numpy_dense:factory

Those in torch run where their device is: ``factory`` on the processor, ``on_cuda`` on a
GPU; benchmarks/gpu.py times them. What they are made of:

dense_step    the step of numpy_dense, written from the formulas: the one to read
driven        a net, driven as the checker does
cells         cells of a layer: smallest, largest, empty, of highest path score
replay        dropout's generator, to the bit
rules         how each topology algorithm chooses cells
set_update    SET with draws of its own, on the device of a layer
torch_net     all of a net in torch but the products with its weights
"""
