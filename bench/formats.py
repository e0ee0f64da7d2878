"""All formats side by side: the same conversation in each, through one gateway with capture on.

scripts/bench --formats calls it. What is sent, and what gateway and provider must be told for it, is bench/load's; here are
only the processes, the rounds and the tables. Every answer is compared with the provider's own, byte for byte.
"""

import json
import pathlib
import statistics
import subprocess
import sys

import demo

# A request for a whole answer, and one for a stream: name, connections, further arguments.
KINDS = [("whole", 32, []), ("stream", 16, ["--stream"])]


class Row:
    """One format's measurements: by kind, one result a round."""

    def __init__(self, name, whole):
        self.name = name
        self.rounds = {kind: [] for kind, _, _ in KINDS if whole or kind == "stream"}

    def values(self, kind, what):
        if what == "cpu":
            return [result["processes"]["gateway"]["processor_us"] for result in self.rounds[kind]]
        return [result[what] for result in self.rounds[kind]]

    def median(self, kind, what):
        return statistics.median(self.values(kind, what))

    def spread(self, kind, what):
        """Half of how far the rounds lie apart, in percent of their median."""
        values = self.values(kind, what)
        return 50 * (max(values) - min(values)) / max(statistics.median(values), 1e-9)


class Bench:
    """The provider, the gateway, and what they were told."""

    def __init__(self, options, root, children, free_address):
        binaries = pathlib.Path(options.bin)
        self.load = binaries / "load"
        provider = demo.Child("provider", [binaries / "scripted-provider", "--light", "--exit-with-stdin"], root)
        children.append(provider)
        self.provider = provider.ready["url"]
        setup = json.loads(self.call([self.provider, "--setup"]))
        for script in setup["scripts"]:
            status, _, text = demo.call(self.provider + "/_script", script)
            if status >= 300:
                raise demo.Failed(f"the provider did not take its script: {text}")
        config = root / "formats.hujson"
        config.write_text(json.dumps(setup["config"]))
        address = free_address()
        self.gateway = demo.Child(
            "gateway",
            [binaries / "aperture", "--state-dir", root / "state", "--config", config, "--allow-local-upstreams",
             "--dev-listen", address, "--dev-user", "alice@example.com"],
            root, ready=False, stdin=False,
        )
        children.append(self.gateway)
        self.url = "http://" + address
        demo.wait_until_serving(self.url, self.gateway)
        self.rows = [Row(format["name"], format["whole"]) for format in setup["formats"]]
        self.number = 0

    def call(self, arguments):
        done = subprocess.run([str(part) for part in [self.load, *arguments]], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise demo.Failed(f"load {' '.join(str(part) for part in arguments)}: {done.stderr}{done.stdout}")
        return done.stdout

    def measure(self, row, kind, connections, more, seconds):
        text = self.call([
            self.url, "--format", row.name, "--expect-from", self.provider, "--connections", connections, *more,
            "--seconds", seconds, "--warm-up", 3, "--first", self.number, "--json",
            "--process", f"gateway={self.gateway.process.pid}",
        ])
        result = json.loads(text)
        if set(result["statuses"]) != {"200"}:
            raise demo.Failed(f"{row.name}, {kind}: {result['statuses']}")
        # No number comes twice, so no body is known already.
        self.number += 3 * connections + result["answered"] + connections
        row.rounds[kind].append(result)

    def resident(self):
        """The gateway's memory in MiB: all of it, the heap's part, and what is mapped from files."""
        lines = dict(line.split(":", 1) for line in open(f"/proc/{self.gateway.process.pid}/status"))
        return tuple(int(lines[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon", "RssFile"))


def run(options, root, children, free_address):
    """The text of the results."""
    bench = Bench(options, root, children, free_address)
    before = bench.resident()
    for at in range(options.rounds):
        for kind, connections, more in KINDS:
            rows = [row for row in bench.rows if kind in row.rounds]
            # Every round begins with another one, so that nobody always follows the same neighbour.
            for row in rows[at % len(rows):] + rows[:at % len(rows)]:
                bench.measure(row, kind, connections, more, options.seconds)
        print(f"round {at + 1} of {options.rounds}", file=sys.stderr, flush=True)
    after = bench.resident()
    parts = []
    for kind, connections, _ in KINDS:
        parts += [f"{kind.capitalize()} answers, {connections} connections:" if kind == "whole" else f"Streams, {connections} connections:",
                  "", table(bench.rows, kind), "", verdict(bench.rows, kind), ""]
    parts.append(
        "Resident memory: {:.0f} MiB before the first request ({:.0f} anonymous, {:.0f} files), ".format(*before)
        + "{:.0f} MiB after all of them ({:.0f} anonymous, {:.0f} files).".format(*after)
    )
    return "\n".join(parts)


def best(rows, kind):
    """The most requests a second, and the least processor time."""
    rows = [row for row in rows if kind in row.rounds]
    return max(row.median(kind, "per_second") for row in rows), min(row.median(kind, "cpu") for row in rows)


def table(rows, kind):
    """The rows, in Markdown."""
    fastest, cheapest = best(rows, kind)
    lines = [
        f"| format | {'requests' if kind == 'whole' else 'streams'}/s | of the fastest | CPU µs | of the cheapest | answer bytes |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        if kind not in row.rounds:
            continue
        speed, cpu = row.median(kind, "per_second"), row.median(kind, "cpu")
        size = row.rounds[kind][-1]
        lines.append(
            f"| {row.name} | {speed:.0f} (±{row.spread(kind, 'per_second'):.0f} %) | {speed / fastest:.0%} "
            f"| {cpu:.0f} (±{row.spread(kind, 'cpu'):.0f} %) | {cpu / cheapest:.0%} "
            f"| {size['bytes'] / max(size['answered'], 1):,.0f} |"
        )
    return "\n".join(lines)


def verdict(rows, kind):
    """Which formats are more than a quarter behind."""
    fastest, cheapest = best(rows, kind)
    behind = [
        row.name for row in rows
        if kind in row.rounds
        and (row.median(kind, "per_second") < 0.75 * fastest or row.median(kind, "cpu") > 1.25 * cheapest)
    ]
    return "More than 25 % behind the best: " + (", ".join(behind) or "none") + "."
