"""Traffic with a known answer: organic prompts, innocent look-alikes and hidden campaigns, the truth kept apart.

`write_sample` makes the bundled sample. For other worlds: `sample(World(Scene(seed, days), requests, campaigns, ...))`;
each knob of a `Campaign` turns one thing and leaves the rest of the world as it is.
"""

from refrain.simulate.campaigns import Campaign
from refrain.simulate.demo import CAMPAIGNS, DEMO_CAMPAIGNS, LOOKALIKES, demo_world
from refrain.simulate.lookalikes import Lookalike
from refrain.simulate.nights import nights_world, write_nights
from refrain.simulate.scene import Habits, Scene
from refrain.simulate.world import Sample, World, sample
from refrain.simulate.writing import write_sample

__all__ = [
    "CAMPAIGNS",
    "DEMO_CAMPAIGNS",
    "LOOKALIKES",
    "Campaign",
    "Habits",
    "Lookalike",
    "Sample",
    "Scene",
    "World",
    "demo_world",
    "nights_world",
    "sample",
    "write_nights",
    "write_sample",
]
