"""Other gateways beside this one: how each is started. scripts/bench --peers calls it; scripts/fetch-peers installs them.

Each gets what it needs to pass `/v1/messages` on to the scripted provider, and nothing that slows it: no retries, no log
of requests, but for the one row that says that it captures.
"""

import collections
import os
import time
import urllib.error
import urllib.request

import demo

Peer = collections.namedtuple("Peer", "name url pid")
MODELS = ["claude-haiku-4-5", "claude-sonnet-4-5"]


def crabllm(program, directory, address, provider):
    """Stores nothing."""
    config = directory / "crab.toml"
    config.write_text(
        f'listen = "{address}"\n[providers.bench]\nkind = "anthropic"\nbase_url = "{provider}/v1"\napi_key = "k"\n'
        f"models = {MODELS}\nmax_retries = 0\n"
    )
    return [program, "serve", "-c", config]


def relay(program, directory, address, provider):
    """Captures nothing."""
    return [program, "--bind", address, "--openai-base-url", f"{provider}/v1", "--anthropic-base-url", provider]


def relay_that_captures(program, directory, address, provider):
    """One JSON line for each event, in a file."""
    (directory / "config.toml").write_text(
        f'[upstream]\nopenai_base_url = "{provider}/v1"\nanthropic_base_url = "{provider}"\n'
    )
    (directory / "plugins.toml").write_text(
        'version = 1\n[[components]]\nkind = "observability"\nenabled = true\n[components.config]\nversion = 4\n'
        '[components.config.atof]\nenabled = true\n[[components.config.atof.sinks]]\ntype = "file"\n'
        f'output_directory = "{directory}/relay-logs"\nfilename = "events.jsonl"\nmode = "overwrite"\n'
    )
    return [program, "--config", directory / "config.toml", "--bind", address]


# What the table calls it, its program below the directory of scripts/fetch-peers, how it is started.
PEERS = [
    ("crabllm, stores nothing", "bin/crabllm", crabllm),
    ("NeMo Relay, capture off", "python/bin/nemo-relay", relay),
    ("NeMo Relay, capture on", "python/bin/nemo-relay", relay_that_captures),
]


def program(options, path):
    return os.path.join(os.path.abspath(options.peers), path)


def start(options, root, child, provider, free_address):
    """Those that are installed, one after the other."""
    for name, path, command in PEERS:
        if not os.path.exists(program(options, path)):
            continue
        directory = root / name.replace(" ", "-").replace(",", "")
        directory.mkdir()
        address = free_address()
        process = child(directory.name, command(program(options, path), directory, address, provider), root,
                        ready=False, stdin=False, env=dict(os.environ, HOME=str(directory), RUST_LOG="error"))
        wait(f"http://{address}/", process)
        yield Peer(name, f"http://{address}", process.process.pid)


def wait(url, process):
    """Until it answers anything at all."""
    end = time.monotonic() + 20
    while time.monotonic() < end and process.process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise demo.Failed(f"{process.name} did not start:\n{process.tail()}")


def absent(options):
    """A line about those that could not be measured."""
    if not options.peers:
        return []
    missing = sorted({name for name, path, _ in PEERS if not os.path.exists(program(options, path))})
    return [f"Not installed here, and so not measured: {', '.join(missing)}.", ""] if missing else []
