"""The pieces of `benches/race.py`: models, lanes, measurements, and what is shown of them."""
