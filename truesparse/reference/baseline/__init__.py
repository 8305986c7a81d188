"""Baseline times: what a training step, a prediction and an update cost here.

    python -m truesparse.reference times --out here.json
    python -m truesparse.reference compare here.json there.json

compare         command: the times in two files beside each other
engine          this engine, as timing measures it
machine_record  processor, caches, memory, system, versions, commit, energy counters
timed_nets      the nets that every file of times is about
times           command: measure the times of this machine
times_file      the JSON files: written, read, checked; TIMES.md is their format
timing          one net measured, in a process of its own
"""
