"""What the algorithms share: schedules, removal, growth, gradients, scores."""
