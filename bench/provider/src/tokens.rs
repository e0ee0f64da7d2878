//! How tokens are counted here: one exact rule that a test can compute.
//!
//! Comes in: the length of a request body, what it says about caching, and
//! the length of the reply's texts. Goes out: [`Usage`]. The rule is written
//! down in the README; change both together.

use serde::{Deserialize, Serialize};

/// Bytes that count as one token.
const BYTES_PER_TOKEN: usize = 4;

/// Prompts below this many tokens are not cached by a provider that caches by itself.
const AUTOMATIC_CACHE_FLOOR: u64 = 1024;

/// Tokens of one reply, by the names that every dialect's figures map to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Usage {
    /// Prompt tokens that were neither read from nor written to a cache.
    pub input: u64,
    /// Prompt tokens read from a cache.
    pub cache_read: u64,
    /// Prompt tokens written to the short-lived cache (5 or 30 minutes).
    pub cache_write: u64,
    /// Prompt tokens written to the long-lived cache (1 or 12 hours).
    pub cache_write_long: u64,
    /// Tokens of the reply, thinking included.
    pub output: u64,
    /// How many of them were thinking.
    pub reasoning: u64,
    /// How many of the uncached prompt tokens were audio.
    pub input_audio: u64,
    /// How many of the uncached prompt tokens were images.
    pub input_image: u64,
    /// How many of the uncached prompt tokens the provider's own tools brought.
    pub input_tool: u64,
    /// How many tokens of the reply were audio.
    pub output_audio: u64,
    /// How many tokens of the reply were images.
    pub output_image: u64,
    /// Searches of the web that the provider made; not tokens.
    pub web_searches: u64,
}

impl Usage {
    /// All prompt tokens, cached or not.
    pub fn prompt(&self) -> u64 {
        self.input + self.cache_read + self.cache_write + self.cache_write_long
    }
}

/// What a request says about caching.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Caching {
    /// Nothing is cached.
    #[default]
    Off,
    /// The provider reads long prompts from its cache by itself and reports no writes.
    Automatic,
    /// The request names content that was cached before.
    Named,
    /// The prompt carries marks of these lifetimes.
    Marked { short: bool, long: bool },
}

/// Tokens of a text: its bytes divided by four, rounded up.
pub fn tokens(bytes: usize) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN) as u64
}

/// The prompt side of a usage, for a body of that many bytes.
///
/// A conversation with an earlier answer reads half its prompt from the cache;
/// one without has nothing to read. Marks write half of what is left then, or
/// half of the prompt at first.
pub(crate) fn prompt_usage(body_bytes: usize, caching: Caching, has_earlier_answer: bool) -> Usage {
    let total = tokens(body_bytes);
    let (cache_read, written) = match caching {
        Caching::Automatic if has_earlier_answer && total >= AUTOMATIC_CACHE_FLOOR => {
            (total / 2, 0)
        }
        Caching::Off | Caching::Automatic => (0, 0),
        Caching::Named => (total / 2, 0),
        Caching::Marked { .. } if has_earlier_answer => (total / 2, total / 4),
        Caching::Marked { .. } => (0, total / 2),
    };
    let cache_write_long = match caching {
        Caching::Marked {
            short: false,
            long: true,
        } => written,
        Caching::Marked {
            short: true,
            long: true,
        } => written / 2,
        Caching::Marked { long: false, .. }
        | Caching::Off
        | Caching::Automatic
        | Caching::Named => 0,
    };
    Usage {
        input: total - cache_read - written,
        cache_read,
        cache_write: written - cache_write_long,
        cache_write_long,
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Caching, prompt_usage, tokens};

    #[test]
    fn a_token_is_four_bytes_rounded_up() {
        assert_eq!([0, 1, 4, 5, 8].map(tokens), [0, 1, 1, 2, 2]);
    }

    #[test]
    fn the_parts_of_a_prompt_add_up_under_every_kind_of_caching() {
        let both = Caching::Marked {
            short: true,
            long: true,
        };
        for caching in [Caching::Off, Caching::Automatic, Caching::Named, both] {
            for earlier in [false, true] {
                for bytes in [0, 1, 4097, 40_003] {
                    assert_eq!(
                        prompt_usage(bytes, caching, earlier).prompt(),
                        tokens(bytes)
                    );
                }
            }
        }
    }

    #[test]
    fn lifetimes_decide_where_writes_are_counted() {
        let write = |short, long| {
            let usage = prompt_usage(400, Caching::Marked { short, long }, false);
            (usage.cache_write, usage.cache_write_long)
        };
        assert_eq!(write(true, false), (50, 0));
        assert_eq!(write(false, true), (0, 50));
        assert_eq!(write(true, true), (25, 25));
    }

    #[test]
    fn an_automatic_cache_needs_a_long_prompt_and_an_earlier_answer() {
        assert_eq!(
            prompt_usage(8192, Caching::Automatic, true).cache_read,
            1024
        );
        assert_eq!(prompt_usage(8192, Caching::Automatic, false).cache_read, 0);
        assert_eq!(prompt_usage(4092, Caching::Automatic, true).cache_read, 0);
    }
}
