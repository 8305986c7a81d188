"""Pieces of the commands: options, a run built from them, results for people.

Options of truesparse.train
    config            every option of a run with its default, type and help
    config_files      options written to TOML files, and read from them
    flags             the command-line flags, made from config
    resume            resuming the run in a folder; which options may change
From options to a run
    build             defaults that depend on the data; model, trainer, callbacks
    estimate          memory of a run, before anything is allocated
Results
    train_report      texts of truesparse.train
    predictions       predictions of truesparse.predict, block by block
    describe          contents of a model file, for truesparse.info
    report_folder     truesparse.report: reading a run folder
    report_summary    its tables
    report_pictures   its pictures
    report_page       its HTML
    self_checks       the checks of truesparse.selftest
    model_rows        a model, and rows for it, for predict and analyse
    analysis_facts    truesparse.analyse: the measures that it takes
    analysis_parts    their tables and pictures: accuracies, ranks, graphs
    structure_parts   the same: degrees, weights, input maps, patterns
    analysis_output   all of them as text or as sections of a page
All commands
    shell             exit codes, errors in one line, signals, common flags
    streams           stdout and stderr, when they cannot be written
"""
