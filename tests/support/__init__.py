"""What several modules of tests make use of: twins, strategies, small nets and runs."""
