"""What independent programs say of a clip: it decodes without an error, and how many frames it has."""

import subprocess
from pathlib import Path


def decode_errors(clip: Path) -> str:
    """Everything ffmpeg complains about while it decodes the whole clip; empty is well."""
    command = ["ffmpeg", "-v", "error", "-xerror", "-i", str(clip), "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.stderr.strip() or ("" if done.returncode == 0 else f"exit {done.returncode}")


def frame_count(clip: Path) -> int:
    """Frames that ffprobe decodes."""
    command = ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0"]
    command += ["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", str(clip)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0].rstrip(","))


def contact_sheet(clip: Path, picture: Path, frames: int) -> None:
    """A PNG of twelve pictures spread over the clip."""
    every = max(1, frames // 12)
    picks = f"select=not(mod(n\\,{every})),scale=320:-1,tile=4x3:padding=4:margin=4"
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(clip), "-vf", picks]
    command += ["-frames:v", "1", str(picture)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
