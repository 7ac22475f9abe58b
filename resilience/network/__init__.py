"""What the machine's network looks like, and when that changes.

```
messages ◄── rtnetlink ──┐
snapshot ◄── poll      ──┼── monitor
             clocks    ──┘
```

`snapshot` (interfaces, addresses, routes; the path to an address; the difference
between two readings) and `messages` (netlink bytes) are pure. `rtnetlink` and `poll`
read the world, `clocks` tells sleep and stall, `monitor` runs them on an event loop.

Netlink by the standard library: `from pyroute2 import IPRoute` took 125-152 ms
here (0.9.7, five runs), which is the whole budget for `import resilience`.
"""
