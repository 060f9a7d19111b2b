# The same commands as `python3 run.py ...`; arguments: make test ARGS="-k journal"
ARGS ?=

.PHONY: demo test check bench bundle chaos worlds lock
demo test check bench bundle chaos worlds lock:
	@python3 run.py $@ $(ARGS)
