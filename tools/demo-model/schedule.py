"""What is shown when: pictures grow harder step by step."""
import fonts
from batches import LONG, OBLONG, TALL, WIDE
from pictures import Level

VISION_ONLY = 700       # steps with dense labels alone
GROWTH = 1000           # steps over which strings grow once the decoder has joined


def stage(step):
    """Faces by step."""
    return fonts.STAGES[0 if step < 250 else 1 if step < VISION_ONLY else 2]


def schedule(step):
    """Level, batch size and shares of frames at a step. Each entry of frames: (frames, share, pictures, text only)."""
    if step < VISION_ONLY:
        level = Level(stage(step), longest=7, two_lines=0.6, shares=(0.85, 0.1, 0.05), reverse=0.0)
        return {"level": level, "batch": 64, "frames": [(OBLONG, 0.12, 64, False)]}
    since = step - VISION_ONLY
    level = Level(stage(step), longest=2 + min(5, since * 5 // GROWTH), two_lines=0.3 if since > 600 else 0.0,
                  shares=(0.6, 0.27, 0.13), reverse=min(0.3, since / 4000))
    frames = [(OBLONG, 0.12, 64, False)]
    if since > 1200:
        frames = [(OBLONG, 0.15, 64, False), (WIDE, 0.12, 20, True), (TALL, 0.12, 20, True), (LONG, 0.03, 12, True)]
    return {"level": level, "batch": 64, "frames": frames}
