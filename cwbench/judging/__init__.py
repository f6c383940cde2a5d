"""A metric and a sampler to an entry of a record: by observation, by image, by set."""
