"""One loop that trains every task: plans, losses, schedules, checkpoints, runs."""
