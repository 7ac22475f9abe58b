"""Every bound on what comes from outside, and every duration of the runtime, with its reason."""

from __future__ import annotations

import sys

MAX_MESSAGE_BYTES = 10 * 1024 * 1024
"""The protocol documents' limit for one message, either way."""

TRANSPORT_SLACK_BYTES = 6 * 1024 * 1024
"""libzmq drops the whole connection on an oversized frame; a reply slightly over is read and named."""

MAX_QUEUED_REQUESTS = 256
"""Requests of one image that may wait for a connection."""

MAX_DETAIL_CHARS = 300
"""How much of a transition's detail is journaled."""

MAX_ERROR_CHARS = 4_000
"""How much of an image's error text is kept."""

MAX_FRAMES_PER_WAKE = 64
"""So many messages of one link are read before other links get their turn."""

MAX_HOST_CHARS = 253
"""RFC 1035 section 2.3.4."""

DEFAULT_TIMEOUT_S = 5.0
"""Today's STUI client waits 5 s."""

MAX_TIMEOUT_S = 3_600.0
"""One hour; the stock image forgets its sessions after the same time."""

PROBE_TIMEOUT_S = 0.5
"""A `watch --probe` ping that is not answered by then is reported as failed."""

TICKS_PER_SECOND = 4
"""The supervisor looks at clocks and crowd four times a second: a suspend is seen within 250 ms of waking."""

HAS_TCP_INFO = sys.platform == "linux"
"""The kernel tells when a connection was last heard. Elsewhere libzmq's own heartbeat timeout decides."""

HEARTBEAT_TIMEOUT_MS = 30_000 if HAS_TCP_INFO else 2_000
"""libzmq counts whole messages only, so a tight timeout kills a healthy long transfer (libzmq#2709). Where
the kernel tells of every segment, libzmq's timeout is the backstop behind `machines.liveness.judge`."""

TCP_USER_TIMEOUT_MS = 20_000
"""Bytes unacknowledged for so long end the connection in the kernel. Not tighter: a link that is only suspect
may still deliver its reply, and the judgement that dials beside it takes less than a second anyway."""

HANDSHAKE_IVL_MS = 4_000
CONNECT_TIMEOUT_MS = 4_000
"""Backstops behind the machine's own deadlines (`machines.policy`), should our process be stalled."""

SEND_HWM = 4
RECV_HWM = 64
"""One request is outstanding per link; more in the pipes than this can only be a flood."""

RESOLVE_FRESH_S = 5.0
"""A resolved address is used for so long before the name is looked up again beside the dial."""

RESOLVE_TIMEOUT_S = 5.0

RESOLVE_AGAIN_S = 1.0
"""A name without an answer is asked for again this often: a question lost with the old network is not
repeated by the resolver for 5 s, and 10 s are all there is."""

MAX_LOOKUPS_A_NAME = 4
"""At once: a name server that never answers must not take all threads."""

MAX_LOOKUPS = 8
"""Lookups at once: a resolver that hangs must not cost a thread for each of a thousand images."""

PATH_PROVEN_GAP_S = 0.5
"""One image's answer wakes the others on its path at most this often."""

JOURNAL_RETRY_S = 2.0
"""After a failed commit the disk is tried again this much later."""

OPEN_JOURNAL_S = 5.0
"""Opening the journal takes five syncs at most: a disk that needs a second for each is slow. One that takes
longer must not use up the 10 s an image has to be back in; that life's transitions are not durable then."""

JOURNAL_PATIENCE_S = 1.0
"""A disk that takes longer (a sync takes 0.1 to 30 ms, a spun-down disk some seconds) hangs: what it was to
keep is told as not durable, because a host that is told nothing shows a state that has long passed."""

MAX_WAITING = 10_000
"""Transitions that wait for a disk that hangs, about 5 MB; beyond, the oldest are given up."""

CLOSE_JOURNAL_S = 5.0
"""At the end the disk is waited for so long. One that hangs has kept what it said it has."""

MAX_BATCH = 1_000
"""Transitions in one write and one sync: a third of what the journal holds in memory."""

MAX_SUBSCRIBER_BACKLOG = 1_024
"""Changes that a slow reader of `changes()` may be behind; the oldest go first, and it is told."""

DESCRIPTORS_PER_LINK = 8
"""A link takes 4 descriptors (bare pyzmq), our copy of its connection one, scouts a few."""

DESCRIPTORS_AT_ONCE = 3
"""So many are there when the link is (measured: 3 or 4 of 5); the others come within `LINK_SETTLES_S`."""

LINK_SETTLES_S = 2.0
"""A link this young may not have taken all its descriptors yet: its connection is being made."""

SPARE_DESCRIPTORS = 32
"""Kept free for the host, the journal and the network monitor."""

WRITE_DELAY_S = 0.1
"""Edits are handed to the operating system this long after the first that waits. Law 15 gives 250 ms; the
rest is for the write itself, and for those of others on the same lane."""

SAVE_DELAY_S = 2.0
"""... and are on the medium this much later: what a power cut may cost who never says `save`. More often
would keep a laptop's disk awake for every keystroke, and Modified would only flicker."""

MAX_EARLY_ENTRIES = 10_000
"""Entries of a document not read yet whose removal or change is remembered until it is."""

RESTORE_PATIENCE_S = 1.0
"""A session that is not read by then (20 ms is usual) goes on in memory and is merged when it is read: a
keyring may wait for a person for minutes, and a connection must not."""

SESSION_RETRY_S = 2.0
"""After a disk refused a session's edits it is tried again this much later; as for the journal."""

KEYS_RETRY_S = 10.0
"""A locked keyring is asked again this much later. A prompt that still stands is not shown twice."""

REREAD_S = 5.0
"""A session that could not be opened is tried again this much later: it may have been repaired."""

CLOSE_SESSIONS_S = 5.0
"""At the end sessions are waited for so long. What was edited is with the operating system long before."""

WISHES_S = 1.0
"""How often open sessions are looked at for somebody else's wish to have them."""

TAKE_OVER_LOOK_S = 0.25
"""How often it is tried whether a wished-for session was let go; its owner looks every `WISHES_S`."""

TAKE_OVER_TIMEOUT_S = 10.0
"""Its owner looks once a second, and saving takes less; longer means that it cannot, or does not want to."""

MAX_RESULT_CHARS = 16_000
"""Of one evaluation's result or error in the session's history: thirteen such fill a snapshot."""

MAX_CODE_CHARS = 256_000
"""Of its code."""

MAX_MEMORY_EVALUATIONS = 600
"""Evaluations of a session that is in memory alone; a stored one trims itself at each snapshot."""
