"""What turns a rule into a loop: threads that step, pools that call, the worker's sign of life."""
