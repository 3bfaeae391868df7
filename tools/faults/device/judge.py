"""Holds a boot after a cut against what the product promises.

- A promised clip is in the store once, byte for byte.
- The cloud hears of it what was known: time, trigger, priority, MD5.
- Of a clip that was not finished, whole packets up to its last flush at least are in the store once, and
  the cloud hears that it was recovered.
- The store holds nothing else, and the camera tells of no upload that did not happen.
- The camera starts, nothing dies, and it records and delivers as ever.
- Whatever was deleted was in the store (watched.py looks at that moment).

Of the phase that is about recording, besides:

- What came back plays: every picture that was complete at the last flush at least.
- No two files share a cluster, neither after the cut nor after the recovery.
"""

import json

from fsck import CROSS_LINKS, HARMLESS

PACKET = 188
# What must never be; the rest of a verdict is counted.
FAILURES = (
    "promised_lost",
    "forgotten",
    "unverified_deletes",
    "crashes",
    "stored_twice",
    "foreign_objects",
    "recovery_lost",
    "recording_lost",
    "false_reports",
    "renamed",
    "rewritten",
    "unflushed",
    "unplayable",
    CROSS_LINKS,
    "damaged_card",
)


class Verdict:
    def __init__(self):
        self.counts = {}
        self.texts = []
        self.came_back = []  # (clip, what the store has of it)

    def add(self, kind, text=None, count=1):
        if count:
            self.counts[kind] = self.counts.get(kind, 0) + count
        if text is not None:
            self.texts.append("%s: %s" % (kind, text))

    @property
    def is_failure(self):
        return any(kind in self.counts for kind in FAILURES)


def judge(world, boot, has_holes=False, may_lose=False, may_forget=None):
    """The verdict on a boot that began in `world`.

    `may_forget`: what it is called if the card did not let the camera keep what it knew of a clip.
    `has_holes`: sectors behind the last flush may hold anything. `may_lose`: a sector of the file
    system itself is garbage, with which files are lost that nobody can bring back.
    """
    verdict = Verdict()
    for kind, text in boot.faults:
        verdict.add("crashes" if kind in ("deaths", "resets") else kind, text)
    if boot.refusal:
        verdict.add("not_started" if may_lose else "crashes", boot.refusal)
    verdict.add("duplicates", count=boot.store.resent)
    verdict.add("deleted_damaged", count=boot.deleted_damaged)
    unclaimed = dict(boot.store.objects)
    forgotten = may_forget or ("forgotten_to_garbage" if may_lose else "forgotten")
    clips = world.clips + boot.made
    for clip in [clip for clip in clips if clip.is_promised]:
        lost = "lost_to_garbage" if may_lose else "promised_lost"
        for name in _judge_promised(clip, unclaimed, lost, verdict):
            _judge_memory(clip, name, boot.service.asked.get(name), forgotten, verdict)
    for clip in [clip for clip in clips if not clip.is_promised]:
        lost = "lost_to_garbage" if may_lose else "recovery_lost"
        for name in _judge_unfinished(clip, unclaimed, lost, has_holes, verdict):
            _judge_memory(clip, name, boot.service.asked.get(name), forgotten, verdict)
    if not boot.made or not boot.made[-1].is_promised:
        verdict.add("lost_to_garbage" if may_lose else "recording_lost", "no new clip")
    for name in unclaimed:
        verdict.add(
            "damaged_objects" if may_lose else "foreign_objects",
            "%s, %d bytes" % (name, len(unclaimed[name].body)),
        )
    _judge_reports(boot, verdict)
    return verdict


def _judge_promised(clip, unclaimed, lost, verdict):
    found = [name for name in unclaimed if unclaimed[name].sha == clip.sha]
    for name in found:
        verdict.came_back.append((clip, unclaimed.pop(name).body))
    if not found:
        verdict.add(lost, "%s, %d bytes" % (clip.path, len(clip.data)))
    elif len(found) > 1:
        verdict.add("stored_twice", "%s as %s" % (clip.path, ", ".join(found)))
    return found


def _judge_unfinished(clip, unclaimed, lost, has_holes, verdict):
    least = clip.flushed_bytes // PACKET * PACKET
    found = []
    for name in list(unclaimed):
        body = unclaimed[name].body
        size = len(body)
        if not least <= size <= len(clip.data) or size % PACKET:
            continue
        if body == clip.data[:size]:
            verdict.add("recovered")
        elif has_holes and body[:least] == clip.data[:least] and _is_named(name, clip):
            verdict.add("recovered_with_holes")
        else:
            continue
        found.append(name)
        verdict.came_back.append((clip, unclaimed.pop(name).body))
    if not found and least:
        verdict.add(lost, "%s, %d bytes flushed" % (clip.path, clip.flushed_bytes))
    elif len(found) > 1:
        verdict.add("stored_twice", "%s as %s" % (clip.path, ", ".join(found)))
    return found


def _judge_memory(clip, name, asked, kind, verdict):
    """Whether the object's name and the last request for it (None: in an earlier boot) tell the facts."""
    if clip.facts is None:
        return
    if name not in clip.facts.names:
        return verdict.add(kind, "%s is %s, not %s" % (clip.path, name, clip.facts.names))
    if asked is None:
        return
    told = asked["metadata"]["trigger"], asked["priority"]
    if told not in clip.facts.kinds:
        verdict.add(kind, "%s is %s of priority %d" % ((clip.path,) + told))
    is_recovered = asked["metadata"].get("recovered", False)
    if clip.is_promised and (is_recovered or "content_md5" not in asked):
        verdict.add(kind, "%s is not known as finished" % clip.path)
    if not clip.is_promised and not (is_recovered or "content_md5" in asked):
        verdict.add(kind, "%s is not known as recovered" % clip.path)


def _is_named(object_name, clip):
    return object_name.endswith("_" + clip.path.rsplit("/", 1)[-1])


def _judge_reports(boot, verdict):
    names = [name.rsplit("/", 1)[-1] for name in boot.store.objects]
    for payload in boot.reports:
        fields = json.loads(payload)
        if fields.get("event") == "upload_completed":
            name = fields["cloud_url"].rsplit("/", 1)[-1]
            if name not in names:
                verdict.add("false_reports", name)


def judge_footage(verdict, screening):
    """Add whether what came back plays."""
    for clip, body in verdict.came_back:
        safe_bytes = len(body) if clip.is_promised else clip.flushed_bytes
        if body != clip.data[: len(body)]:  # there are holes behind the last flush
            wrong, pictures = screening.see_damaged(clip, body, safe_bytes // PACKET * PACKET)
        else:
            wrong, pictures = screening.see(clip, body)
        promised = screening.complete(clip, safe_bytes)
        if wrong or pictures < promised:
            facts = clip.path, len(body), pictures, promised, wrong
            verdict.add("unplayable", "%s, %d bytes, %d pictures of %d: %s" % facts)
        if not clip.is_promised:
            verdict.add("pictures_promised", count=promised)
            verdict.add("pictures_played", count=pictures)


def judge_card(verdict, findings, when, has_holes, may_lose):
    """Add what fsck.fat found.

    A card that loses writes and keeps later ones may have files that lack clusters, but no two on
    one; on a card whose file system was hit, neither is the camera's fault.
    """
    for kind, line in findings:
        if may_lose:
            verdict.add("cross_links_to_garbage" if kind == CROSS_LINKS else "fsck_garbage")
        elif kind == CROSS_LINKS or not (has_holes or kind in HARMLESS):
            kind = CROSS_LINKS if kind == CROSS_LINKS else "damaged_card"
            verdict.add(kind, "%s, %s" % (when, line))
        else:
            verdict.add(kind)
