"""Parts that algorithms share: schedules, removal, growth, gradients, scores."""
