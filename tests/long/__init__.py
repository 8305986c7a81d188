"""What takes too long for CI: lanes of cases that run for as long as one likes.

    python -m tests.long --minutes 10
    python -m tests.long --lanes kills,faults --minutes 60
    python -m tests.long --lanes kills --seed 17        repeats one batch

registry    what a lane is, and what it returns
lanes       one file a lane, or several of one kind
journal     which batches have been run, so that the next call goes on from there
figures     the summary of a journal, and the table of promises in tests/README.md
"""
