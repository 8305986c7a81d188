"""Parts that algorithms share: schedules, removal, growth, gradients, scores.

When, and how many
    schedule         UpdateSchedule and Fraction: when, and which share
    stages           optional stages of an update, and flat options for all
    distribute       sharing out a number of connections among layers
What is dropped
    prune            connections by their weights
    chains           connections that lead nowhere or come from nowhere
    importance       all inputs of weak neurons
Where connections grow
    gradients        batches to take gradients on, gradients of absent cells
    guided           growth where the gradient is largest
    paths            scores of absent cells by paths of three connections
    path_sampler     drawing cells in proportion to such a score
One update
    context          where in a run it happens, what it changes in a layer
    topology_update  Update: its layers, and the connections it drops
    state            checks of an algorithm's state that was read from a file
"""
