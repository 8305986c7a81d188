"""The reference for other implementations of sparse training.

baseline     what a step, a prediction and an update cost here, as files
bounds       how far a correct implementation can be from the truth, by error analysis
cases        the runs of a kit: sizes, hyperparameters, data
check        command: drive another implementation, say where it departs and why
comparing    one step or update of another implementation beside the truth
divergence   picture: the largest difference of each quantity over the steps
driving      another implementation, called with a time limit
kit          files of a kit: layout, manifest, digests
named        what ``module:name`` on a command line stands for
protocol     what another implementation has to offer
reasons      likely reasons of a departure: variants of the rules, replayed
replay       one step in float64, by sparse products alone
this_engine  this engine as an implementation, with the scores of its updates
write        command: write a kit
"""
