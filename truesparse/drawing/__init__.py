"""How a network starts: how many connections, in which cells, with which weights.

budget       how many connections each layer gets
cells        uniform cells of a layer; initial weights
patterns     other initial topologies of a layer, by name
draw_layers  all layers of a network, from one seed
"""
