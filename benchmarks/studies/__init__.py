"""Studies: trainings of hours whose results answer a question of the literature.

    frame               what the studies share: flags, data, journal, progress
    training            one run: train a net, and measure it as the studies need
    claims              what a publication claims, judged by runs
    robustness_study    SET and CH3-L3, with and without chain removal, and dense
    zeta_study          accuracy against the rewired fraction, and against density
    balance_study       SET, RigL, DSR and GGR: densities that move between layers
    fan_in_study        constant fan-in with and without ablation, and its latency
    ..._claims          what the publication behind a study claims; zeta_report
    ..._figures         the pictures of a study
    zeta_curves         the points and fits that report and pictures of zeta share
    vgg16               sparse layers behind a convolutional network, with torch;
                        its report is made by vgg16_report

    python -m benchmarks.studies.robustness_study --data-home DIR --jobs 2
    python -m benchmarks.studies.zeta_study --data-home DIR --jobs 2
    python -m benchmarks.studies.balance_study --data-home DIR --jobs 2
    python -m benchmarks.studies.fan_in_study --data-home DIR --jobs 2

Every run of these four is a line of OUT/journal.jsonl. A study that was stopped runs
what is missing when it is started again with the same flags; the report and its figures
are drawn anew from the journal.
"""
