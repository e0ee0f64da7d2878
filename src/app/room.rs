//! How many connections the process has descriptors for.
//!
//! Owns: the rule that holds the limits of connections below what the system permits, so that a crowd is turned away at the door and
//! never takes the descriptors that the store, the node and requests under way need. In: the limits of the configuration. Out: those
//! in force. Must not know: whose connections they are.

use crate::identity::connections::ConnectionLimits;
use rustix::process::{Resource, getrlimit};

/// Descriptors of one connection: its two ends, and the one to a provider.
pub(crate) const EACH: u64 = 3;

/// Descriptors that are no connection's: files, the node, pages, whatever a library opens.
const OWN: u64 = 128;

/// The limits, as far as there are descriptors.
pub(super) fn within(wanted: ConnectionLimits) -> ConnectionLimits {
    fit(wanted, permitted())
}

/// Says so where that is fewer than the configuration wants.
pub(super) fn tell(wanted: usize, limits: ConnectionLimits) {
    if limits.all < wanted {
        tracing::warn!(
            descriptors = permitted(),
            connections = limits.all,
            wanted,
            "the descriptors do not suffice for limits.connections: fewer are accepted (LimitNOFILE in systemd, --ulimit nofile in docker)"
        );
    }
}

fn permitted() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn fit(wanted: ConnectionLimits, descriptors: u64) -> ConnectionLimits {
    let room = descriptors.saturating_sub(OWN) / EACH;
    let room = usize::try_from(room).unwrap_or(usize::MAX).max(2);
    if wanted.all <= room {
        return wanted;
    }
    ConnectionLimits {
        all: room,
        // One peer alone must not take all that is left.
        per_peer: wanted.per_peer.min(room / 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_descriptors_leave_room_for_fewer_and_for_more_than_one_peer() {
        let usual = ConnectionLimits {
            per_peer: 4_096,
            all: 20_000,
        };
        for (descriptors, per_peer, all) in [
            (u64::MAX, 4_096, 20_000),
            (65_536, 4_096, 20_000),
            (20_000, 3_312, 6_624),
            (1_024, 149, 298),
            (256, 21, 42),
            (64, 1, 2),
        ] {
            let limits = ConnectionLimits { per_peer, all };
            assert_eq!(fit(usual, descriptors), limits, "{descriptors}");
        }
        let few = ConnectionLimits {
            per_peer: 5,
            all: 20,
        };
        assert_eq!(fit(few, 1_024), few);
    }
}
