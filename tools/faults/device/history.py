"""What one boot did to the card and to the world, in order, so that it can end at any instant.

A card whose power goes has the sectors written until then, and the world what happened until then:
the state after a cut is made from the record of a boot that was not cut. Nobody runs after a cut, so
this is the same as cutting there, and one record serves for all cuts.
"""

import hashlib

CLIP, STARTED, FLUSHED, PROMISED, STORE = "clip", "started", "flushed", "promised", "store"


class Clip:
    """A recording as it was written, kept outside the card.

    `facts` are what the camera told of it when it began; it `is_promised` once the camera owes it.
    """

    def __init__(self, path, data):
        self.path = path
        self.data = data
        self.facts = None
        self.flushed_bytes = self.flushes = 0
        self.is_promised = False
        self.sha = None

    def promise(self):
        self.is_promised = True
        self.sha = hashlib.sha256(self.data).digest()

    def copy(self):
        twin = Clip(self.path, self.data)
        twin.flushed_bytes, twin.facts = self.flushed_bytes, self.facts
        twin.is_promised, twin.sha = self.is_promised, self.sha
        return twin


class Facts:
    """What the cloud is to hear of a clip: its name there is one of `names`, which may grow, and
    (trigger, priority) is one of `kinds`.
    """

    def __init__(self, names, kinds):
        self.names = names
        self.kinds = kinds


class History:
    def __init__(self):
        self.writes = []  # (sector, bytes)
        self.events = []  # (kind, ...)
        self.seen_before = []  # for each write: how many events came before it
        self.at = []  # for each event: how many writes came before it
        self.syncs = []  # (writes, events) before each

    def wrote(self, sector, data):
        self.seen_before.append(len(self.events))
        self.writes.append((sector, data))

    def synced(self):
        self.syncs.append((len(self.writes), len(self.events)))

    def note(self, *event):
        self.at.append(len(self.writes))
        self.events.append(event)

    def events_until(self, write):
        """How many events came before that write, or before the end."""
        if write < len(self.writes):
            return self.seen_before[write]
        return len(self.events)


class World:
    """A card's sectors, what the store holds and the clips that were recorded: what survives a cut."""

    def __init__(self, sectors, store_ops, clips):
        self.sectors = sectors
        self.store_ops = store_ops
        self.clips = clips

    def after(self, history, sectors, events):
        """The world after the first `events` of a boot that began here, with these sectors written."""
        clips = {}
        for clip in self.clips:
            clips[id(clip)] = clip.copy()
        ops = list(self.store_ops)
        for kind, *facts in history.events[:events]:
            if kind == STORE:
                ops.append(facts)
            elif kind == CLIP:
                clips[id(facts[0])] = Clip(facts[0].path, facts[0].data)
            elif kind == STARTED:
                clips[id(facts[0])].facts = facts[1]
            elif kind == FLUSHED:
                clips[id(facts[0])].flushed_bytes = facts[1]
            elif kind == PROMISED:
                clips[id(facts[0])].is_promised = True
                clips[id(facts[0])].sha = facts[0].sha
        own = self.sectors.copy()
        own.update(sectors)
        return World(own, ops, list(clips.values()))
