"""Room 1, media -> codes. Each tokenizer is `configuration_x.py` + `modeling_x.py` behind `MediaTokenizer`."""
