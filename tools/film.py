"""Films with marked motion, put together from real shots: what moves when is known, not guessed.

A film is a row of parts of one shot, each played forwards or backwards, its last picture held as
long as wanted: played to and fro a shot goes on without a cut. Over all of it lies noise, as of a
sensor, and light that changes. The marks follow from the parts: a part moves from its first picture
to its last, or not at all; where the shots themselves are still was seen with the eye.
"""

from collections.abc import Sequence
from typing import NamedTuple

FPS = 25


class Part(NamedTuple):
    """Pictures `first` to `last` of the shot, then `last` for `held` seconds more."""

    first: int
    last: int
    held: int = 0
    moves: bool = True

    @property
    def frames(self) -> int:
        return abs(self.last - self.first) + 1


class Light(NamedTuple):
    """From one second to another the light is `gain` times what it is else."""

    begin: float
    end: float
    gain: float
    ramp: float  # seconds that it takes to come and to go


class Film(NamedTuple):
    clip: str
    parts: tuple[Part, ...]
    noise: int
    lights: tuple[Light, ...] = ()
    noisy: tuple[tuple[int, int, int], ...] = ()  # from second, to second, more noise


def marks(film: Film) -> list[tuple[float, float]]:
    """When something moves, in seconds from the beginning; spans that touch are one."""
    found: list[tuple[float, float]] = []
    at = 0
    for part in film.parts:
        begin, end = at / FPS, (at + part.frames) / FPS
        if part.moves and found and found[-1][1] == begin:
            found[-1] = found[-1][0], end
        elif part.moves:
            found.append((begin, end))
        at += part.frames + part.held * FPS
    return found


def frames(film: Film) -> int:
    return sum(part.frames + part.held * FPS for part in film.parts)


def graph(film: Film) -> str:
    """The film as a graph of ffmpeg's filters, from [0:v] to the one output that is open."""
    count = len(film.parts)
    names = [f"[p{i}]" for i in range(count)]
    played = [
        f"{name}{_played(part)}[q{i}]"
        for i, (name, part) in enumerate(zip(names, film.parts, strict=True))
    ]
    joined = "".join(f"[q{i}]" for i in range(count))
    after = ",".join((f"{joined}concat=n={count}", *_light(film.lights), *_noise(film)))
    return ";".join((f"[0:v]split={count}{''.join(names)}", *played, after))


def _played(part: Part) -> str:
    begin, end = sorted((part.first, part.last))
    filters = [f"trim=start_frame={begin}:end_frame={end + 1}"]
    if part.last < part.first:
        filters.append("reverse")
    filters.append(f"setpts=N/{FPS}/TB")
    if part.held:
        filters.append(f"tpad=stop_mode=clone:stop={part.held * FPS}")
    return ",".join(filters)


def _light(lights: Sequence[Light]) -> list[str]:
    """Every sample times the gain, which `eq` can do picture by picture."""
    if not lights:
        return []
    terms = (
        f"{light.gain - 1:.3f}*(clip((t-{light.begin})/{light.ramp},0,1)"
        f"-clip((t-{light.end})/{light.ramp},0,1))"
        for light in lights
    )
    gain = "(1+" + "+".join(terms) + ")"
    return [f"eq=eval=frame:contrast='{gain}':brightness='({gain}-1)/2'"]


def _noise(film: Film) -> list[str]:
    more = (
        f"noise=alls={strength}:allf=t:all_seed=2:enable='between(t,{begin},{end})'"
        for begin, end, strength in film.noisy
    )
    return [f"noise=alls={film.noise}:allf=t:all_seed=1", *more]


def _there_and_back(*turns: int, held: int) -> tuple[Part, ...]:
    """Through a shot from turn to turn; the last picture is held."""
    played = [Part(*pair) for pair in zip(turns, turns[1:], strict=False)]
    return (*played[:-1], played[-1]._replace(held=held))


# The pavement: a man's legs pass (pictures 187 to 213), then nobody is there.
_LEFT, _GONE, _EMPTY = 187, 213, 216


def _walk(times: int, still: int) -> tuple[Part, ...]:
    """In, to the left and out again, so many times; then nobody for so many seconds."""
    turns = (_GONE, _LEFT) * times + (_GONE,)
    return (*_there_and_back(*turns, held=0), Part(_EMPTY, _EMPTY, still, moves=False))


# The crossing: a bus passes close by, then a cyclist stands there (from picture 118 on).
_BUS, _STANDING = 78, 119

# The street: two cars drive away between others that stand; they get small (picture 137 to 182).
_NEAR, _MIDDLE, _FAR = 138, 160, 182

FILMS = {
    "pavement": Film(
        "bikes.mp4",
        (
            Part(_EMPTY, _EMPTY, 12, moves=False),
            *_walk(1, 10),
            *_walk(2, 20),  # while nobody is there, a lamp goes on and off again
            *_walk(2, 20),  # and a cloud passes
            *_walk(1, 10),
        ),
        noise=7,
        lights=(Light(34, 41, 1.35, 0.04), Light(62, 70, 0.7, 3)),
    ),
    "street": Film(
        "bikes.mp4",
        (
            Part(_NEAR, _NEAR, 12, moves=False),
            *_there_and_back(_NEAR, _FAR, held=10),
            *_there_and_back(_FAR, _MIDDLE, held=8),
            *_there_and_back(_MIDDLE, _FAR, _NEAR, held=20),  # a lamp goes off for a while
            *_there_and_back(_NEAR, _FAR, _MIDDLE, _FAR, held=10),
        ),
        noise=9,
        lights=(Light(40, 48, 0.75, 0.04),),
    ),
    "crossing": Film(
        "bikes.mp4",
        (
            Part(_STANDING, _STANDING, 12, moves=False),
            *_there_and_back(_STANDING, _BUS, _STANDING, held=20),  # while a cloud passes
            *_there_and_back(_STANDING, _BUS, held=10),
            *_there_and_back(_BUS, _STANDING, held=12),
        ),
        noise=8,
        lights=(Light(20, 30, 0.75, 2.5),),
    ),
    "night": Film(
        "bikes.mp4",
        (
            Part(_EMPTY, _EMPTY, 15, moves=False),
            *_walk(2, 20),
            *_walk(1, 15),
            *_walk(2, 15),
        ),
        noise=10,
        lights=(Light(-1, 999, 0.45, 0.04),),
        noisy=((46, 999, 5),),
    ),
}
