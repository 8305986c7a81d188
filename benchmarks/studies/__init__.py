"""Studies: trainings of hours whose results answer a question of the literature."""
