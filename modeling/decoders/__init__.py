"""Room 3, codes -> media. Each decoder is `configuration_x.py` + `modeling_x.py` behind `MediaDecoder`."""
