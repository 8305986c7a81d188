"""What every room of the package uses.

checks      arguments that are refused with what was given and what is accepted
cores       how many cores of the processor this process may use
end_signals signals that end a program, and their handlers
lazy        names of a package that are loaded when first used
memory      memory of the machine, of the process, and what a job may take
rng         random streams: every draw is a function of (seed, purpose, step, layer)
tasks       tasks by name, with the losses that suit each and the name of its score
temporary   temporary folders, removed by the next process if this one is killed
work        long work, and who wants to know how far it is
workers     processes that must not outlive the one that started them
writing     files that are complete when they appear under their name, or not there
"""
