"""What a method may see beyond pairs: a task's likelihood, its linear operator, its prior."""
