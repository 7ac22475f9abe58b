"""The stories of the library, as text: what happens to people's networks, machines and images.

Each is played for about as long as it takes to tell what happened; long sleeps cost nothing where time is
virtual. Steps are written as `faults.Step.parse` reads them, with commas between.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Story:
    """One story: what it is called, told in a sentence, and step by step."""

    key: str
    title: str
    told: str
    script: str
    images: int = 1
    named: bool = False
    """The client dials a host name."""


STORIES = (
    # -- our own network -------------------------------------------------------------------------------------
    Story(
        "commuter",
        "commuter on WiFi",
        "Short gaps between access points, a change of network at the station, and a crowded platform.",
        "0 link down, 0.8 link up, 2.5 link down, 3 link up, 4 loss 0.2, 6 roam away, 6.6 roam arrive,"
        "7 loss 0, 9 link down, 10.2 link up",
    ),
    Story(
        "lift",
        "into the lift and out",
        "The signal fades, is gone behind the doors, and comes back bar by bar.",
        "0 loss 0.3, 1.5 loss 0.8, 3 carrier off, 11 carrier on, 11 loss 0.3, 12.5 loss 0",
    ),
    Story(
        "vpn",
        "VPN up and down",
        "The tunnel takes over the route to the images, twice, in the middle of work.",
        "0 vpn up, 4 vpn down, 6 vpn up, 10 vpn down",
    ),
    Story(
        "dock",
        "docking station",
        "A cable appears beside the WiFi; the WiFi is switched off meanwhile; the laptop is taken away.",
        "0 dock, 3 undock, 5 dock, 6 link down, 9 link up, 11 undock",
    ),
    Story(
        "office",
        "office roam",
        "Through the building with the laptop open: four access points in two subnets.",
        "0 roam away, 0.3 roam arrive, 3 roam away, 3.5 roam arrive, 6 roam away, 7 roam arrive,"
        "10 roam away, 10.2 roam arrive",
    ),
    Story(
        "lease",
        "another address",
        "The DHCP server hands out a new address while all goes well, and again after a gap.",
        "0 lease new, 5 lease lost, 8 lease new",
    ),
    Story(
        "docker",
        "bystanders",
        "Containers come and go with their interfaces; nothing of it concerns the images.",
        "0 bystander, 1.5 bystander, 3 hints repeated 300, 5 bystander",
    ),
    Story(
        "deaf",
        "no hints",
        "The kernel's announcements overflow just while the laptop roams.",
        "0 hints lost 6, 0.5 roam away, 1.5 roam arrive, 8 hints lost 5, 9 link down, 10 link up",
    ),
    # -- the way between -------------------------------------------------------------------------------------
    Story(
        "tunnel",
        "train tunnel",
        "Silence without warning, each time longer.",
        "0 drop, 0.7 undrop, 3 drop, 5 undrop, 8 drop, 12 undrop, 15 drop, 24 undrop",
    ),
    Story(
        "hotel",
        "hotel portal",
        "A new network, and whatever is dialled, a login page answers until somebody has paid.",
        "0 roam away, 0.5 portal on, 1 roam arrive, 9 portal off",
    ),
    Story(
        "cafe",
        "in the café",
        "Shared WiFi: slow, uneven, lossy, and gone for a moment.",
        "0 delay 0.06, 0 jitter 0.08, 0 loss 0.03, 6 loss 0.15, 9 drop, 10.5 undrop, 14 loss 0,"
        "14 jitter 0, 14 delay 0",
    ),
    Story(
        "conference",
        "full conference hall",
        "Every third packet is lost at the worst.",
        "0 loss 0.1, 4 loss 0.35, 8 loss 0.1, 10 drop, 11 undrop, 14 loss 0",
    ),
    Story(
        "nat",
        "the NAT forgets",
        "A home router drops the connections it has not seen packets of; later it restarts and refuses them.",
        "0 nat forgets, 6 nat forgets, 12 nat resets",
    ),
    Story(
        "oneway",
        "half a way",
        "What we send is discarded, then only what we receive.",
        "0 drop out, 3 undrop, 6 drop in, 10 undrop",
    ),
    Story(
        "mtu",
        "MTU black hole",
        "A tunnel somewhere swallows large packets and says nothing.",
        "0 mtu hole 600, 10 mtu hole 0",
    ),
    Story(
        "swallowed",
        "code that does not fit through",
        "The same tunnel, and the user evaluates more than one packet holds: what is small still passes, "
        "and the link that carries what is large is as good as dead.",
        "0 large evaluation 20000, 2 mtu hole 600, 3 large evaluation 20000, 9 large evaluation 3000,"
        "16 mtu hole 0, 18 large evaluation 20000",
    ),
    Story(
        "upload",
        "much code on a narrow line",
        "A transfer that takes seconds is no silence: the link is left alone until it is through.",
        "0 rate 10000, 1 large evaluation 60000, 12 large evaluation 60000, 24 rate 0",
    ),
    Story(
        "narrow",
        "narrow line",
        "A telephone as a modem, its volume used up.",
        "0 rate 8000, 8 link down, 9 link up, 13 rate 0",
    ),
    Story(
        "basement",
        "ten minutes without a word",
        "Somewhere a router discards everything, for as long as it takes until somebody notices.",
        "0 drop, 594 undrop",
    ),
    Story(
        "satellite",
        "stalls on the way",
        "Everything is kept somewhere for seconds, then arrives at once.",
        "0 delay 0.3, 2 stall way 1.2, 8 stall way 6, 18 delay 0",
    ),
    Story(
        "slow",
        "slow line, long replies",
        "A narrow line to an image that takes its time for every answer.",
        "0 rate 20000, 1 image slow 1.5, 4 drop, 6 undrop, 14 image slow 0, 15 rate 0",
    ),
    # -- names -----------------------------------------------------------------------------------------------
    Story(
        "moved",
        "the image has moved",
        "The host name points elsewhere now, and a second move meets a name server that is down.",
        "0 image move, 10 name fails, 11 image move, 14 name works",
        named=True,
    ),
    Story(
        "names",
        "name server in trouble",
        "It hangs, then refuses, while the link goes down and the network changes.",
        "0 name hangs, 1 link down, 3 link up, 8 name fails, 9 roam away, 10 roam arrive, 15 name works",
        named=True,
    ),
    # -- the image -------------------------------------------------------------------------------------------
    Story(
        "maintenance",
        "server maintenance",
        "The image is stopped for an update and started when it is done.",
        "0 image kill, 20 image start",
    ),
    Story(
        "crashes",
        "an image that crashes again and again",
        "Three starts until the cause is found.",
        "0 image kill, 1 image start, 4 image kill, 4.5 image start, 7.5 image kill, 10 image start",
    ),
    Story(
        "saves",
        "saving the image",
        "Its sockets close while it writes itself to disk, and it is never the same again as a connection.",
        "0 image save 0.3, 3 image save 0.3, 5 link down, 5.3 image save 0.3, 6.5 link up",
    ),
    Story(
        "bigsave",
        "saving a very large image",
        "A gigabyte takes its time.",
        "0 image save 8, 14 image save 3",
    ),
    Story(
        "busy",
        "busy image",
        "Somebody else's evaluation takes 8 s; a short gap of the network falls into another one.",
        "0 image busy 8, 11 image busy 3, 12 link down, 13 link up",
    ),
    Story(
        "frozen",
        "frozen image",
        "The process is stopped while the network is fine; it goes on as if nothing had been.",
        "0 image freeze, 8 image thaw, 10 image freeze, 11 image thaw",
    ),
    Story(
        "power",
        "the host loses power",
        "Nobody answers and nobody resets; after the boot the old connections are unknown.",
        "0 host crash, 14 host boot",
    ),
    Story(
        "squatter",
        "another program on the port",
        "The image is gone, and what listens in its place talks HTTP, then nothing, then garbage.",
        "0 image hostile 'http', 9 image hostile 'silence', 18 image hostile 'garbage', 27 image back",
    ),
    Story(
        "version",
        "wrong version, then the right one",
        "The server was updated too far, and is taken back.",
        "0 image version, 9 image back, 10 retry",
    ),
    Story(
        "other",
        "another image, then the right one",
        "Somebody starts the wrong image at the session's address.",
        "0 image other, 9 image back, 10 retry",
    ),
    Story(
        "isolation",
        "one of four in trouble",
        "Three images have a bad day, one after the other and together; the fourth is not to notice.",
        "0 image kill #1, 1 image freeze #2, 2 image hostile 'silence' #3, 4 image start #1,"
        "5 image busy 3 #1, 8 image thaw #2, 9 image back #3",
        images=4,
    ),
    # -- our own machine -------------------------------------------------------------------------------------
    Story(
        "sleep",
        "laptop sleep",
        "The lid is closed for the night; in the morning the WiFi needs a moment.",
        "0 lease lost, 0 link down, 0.2 suspend 28800, 28806 link up, 28807 lease back",
    ),
    Story(
        "nap",
        "short sleeps",
        "The lid is closed on the way to a meeting, and again; the connections may have survived.",
        "0 suspend 20, 26 suspend 240, 275 suspend 3, 276 link down, 280 link up",
    ),
    Story(
        "debugger",
        "held in a debugger",
        "Our own process does not run for a while; the network is not to blame.",
        "0 stall 2, 5 stall 8, 15 link down, 15.2 stall 1, 15.5 link up",
    ),
    Story(
        "kill",
        "kill -9",
        "Our process is killed while all is well, and again in the middle of an outage.",
        "0 kill, 1 start, 5 link down, 6 kill, 8 start, 10 link up",
    ),
    Story(
        "restart",
        "closed and opened",
        "The program is ended in good order, also while the image is away.",
        "0 close, 1 start, 5 image kill, 6 close, 7.5 start, 9 image start",
    ),
    Story(
        "powercut",
        "power cut in an outage",
        "The mains fail, first the router's, then ours.",
        "0 drop, 1 power cut, 5 start, 7 undrop, 10 disk slow 0.2, 11 link down, 11.2 power cut, 13 start,"
        "14 link up, 16 disk slow 0",
    ),
    Story(
        "evaluating",
        "killed during an evaluation",
        "The image works on, and nobody is to ask it again.",
        "0 long evaluation 6, 1.5 kill, 2.5 start, 9 long evaluation 4, 10 drop, 11 kill, 12 start,15 undrop",
    ),
    Story(
        "clocks",
        "the time of day is set",
        "NTP, summer time and a flat battery: forwards and backwards, also during an outage.",
        "0 step clock 3600, 3 step clock -3600, 6 step clock -86400, 8 drop, 9 step clock 86400,"
        "10 step clock 0.4, 11 undrop, 13 step clock -0.4",
    ),
    Story(
        "fulldisk",
        "full disk while the link flaps",
        "Nothing can be written; the connection goes on, and says that it is not durable.",
        "0 disk full, 1 link down, 2 link up, 5 drop, 7 undrop, 10 disk works, 12 link down, 13 link up",
    ),
    Story(
        "faildisk",
        "failing disk while the link flaps",
        "Writes are refused, then slow; transitions keep coming.",
        "0 disk fails, 1 link down, 1.7 link up, 4 link down, 4.5 link up, 8 disk works, 9 disk slow 0.4,"
        "10 link down, 11 link up, 14 image kill, 15 image start, 17 disk slow 0",
    ),
    Story(
        "login",
        "keyring locked at login",
        "The program starts before the user has opened the keyring: work is typed meanwhile, and joined with "
        "what is stored once it opens; a kill later on finds all of it.",
        "0 close, 0.5 keyring locks, 1 start, 9 keyring opens, 24 kill, 25 start",
    ),
    Story(
        "lockout",
        "killed while the keyring is locked",
        "It locks in the middle of work, which goes on; whoever starts then can read nothing, and what is "
        "typed goes with the next kill, but nothing that was saved.",
        "0 keyring locks, 3 kill, 4 start, 8 link down, 9 kill, 10 start, 11 link up, 13 keyring opens,"
        "27 power cut, 28 start",
    ),
    # -- the user --------------------------------------------------------------------------------------------
    Story(
        "away",
        "disconnected on purpose",
        "The user disconnects, moves to another network, and connects again.",
        "0 disconnect, 3 roam away, 4 roam arrive, 7 reconnect",
    ),
    # -- all at once -----------------------------------------------------------------------------------------
    Story(
        "swizzle",
        "everything at once",
        "One after another things break, and heal in another order.",
        "0 loss 0.2, 0.3 hints repeated 100, 0.5 link down, 1 image freeze, 1.5 drop, 2 stall 0.5, 3 link up,"
        "3.5 image kill, 4 lease lost, 4.5 undrop, 5 image thaw, 5 image start, 6 lease new, 6.5 kill,"
        "7 roam away, 7.5 start, 8 roam arrive, 8.5 nat forgets, 9 loss 0, 9.5 image busy 1.5,"
        "12 image save 0.3",
    ),
)
