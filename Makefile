# The same commands as CI. PYTHON=/path/to/python make test
PYTHON ?= python
CODE = triglot modeling processing training tests benchmarks

# mypy looks for packages by folder: a folder of links shows it the rooms where the installed package has them
TYPES = build/types/triglot

.PHONY: quality types style test smoke

quality:  ## lint, format and types
	$(PYTHON) -m ruff check $(CODE)
	$(PYTHON) -m ruff format --check $(CODE)
	$(MAKE) types

types:
	mkdir -p $(TYPES)
	for room in modeling processing training; do ln -sfn ../../../$$room $(TYPES)/$$room; done
	for file in triglot/*.py; do ln -sfn ../../../$$file $(TYPES)/$$(basename $$file); done
	MYPYPATH=build/types $(PYTHON) -m mypy -p triglot

style:  ## mend what can be mended
	$(PYTHON) -m ruff check --fix $(CODE)
	$(PYTHON) -m ruff format $(CODE)

test:  ## the whole test suite, a process a core; files stay together, for what their tests share
	$(PYTHON) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

smoke:  ## every training stage, tiny, end to end
	$(PYTHON) -m triglot train tiny_smoke --output-dir runs/tiny_smoke
	$(PYTHON) -m triglot train tiny_text_to_unit_smoke --output-dir runs/tiny_text_to_unit_smoke
	$(PYTHON) -m triglot train tiny_fastspeech2_smoke --output-dir runs/tiny_fastspeech2_smoke
	$(PYTHON) -m triglot train tiny_image_decoders_smoke --output-dir runs/tiny_image_decoders_smoke
