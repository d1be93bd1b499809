"""What is shown when: pictures grow harder step by step."""
import fonts
from batches import LONG, OBLONG, TALL, WIDE
from pictures import Level

VISION_ONLY = 700       # steps with dense labels alone; after them, every second step
MOSTLY_JOINT = 5500     # from here on, every fourth
GROWTH = 2000           # steps over which strings grow once the decoder has joined
TWO_LINES = 2200        # step from which text may have two lines
SEVERAL = 2900          # step from which pictures may have several pieces
VARIETY = 6000          # step from which there are more faces, and more double letters


def stage(step):
    """Faces by step."""
    return fonts.STAGES[sum(step >= start for start in (250, VISION_ONLY, VARIETY))]


def dense_only(step):
    """Whether the decoder sits this step out: telling letters apart takes the most steps, and these are cheap."""
    return step < VISION_ONLY or step % (4 if step > MOSTLY_JOINT else 2) == 1


def schedule(step):
    """Level, batch size and shares of frames at a step. Each entry of frames: (frames, share, pictures, text only)."""
    since = step - VISION_ONLY
    reverse, doubles = min(0.3, max(0, since) / 4000), 0.2 if step >= VARIETY else 0.0
    several = [(WIDE, 0.12, 10, True), (TALL, 0.12, 10, True), (LONG, 0.03, 6, True)] if step > SEVERAL else []
    if dense_only(step):
        level = Level(stage(step), longest=7, two_lines=0.6, shares=(0.85, 0.1, 0.05), reverse=reverse,
                      doubles=doubles)
        share, batch = 0.3, 48
    else:
        level = Level(stage(step), longest=2 + min(5, since * 5 // GROWTH), two_lines=0.4 if step > TWO_LINES else 0.0,
                      shares=(0.68, 0.26, 0.06), reverse=reverse, doubles=doubles)
        share, batch = 1.0, 32
    frames = [(OBLONG, 0.14, batch, False)] + [(f, p * share, n, t) for f, p, n, t in several]
    return {"level": level, "batch": batch, "frames": frames}
