//! The price table: asks the `genai-prices` crate for every model and writes the answers as sorted constants.
//!
//! In: the crate's calculator, the ids of its data, and `build/model-names.txt`. Out: `prices.rs` in `OUT_DIR`, which
//! `src/price` includes. The crate does not show its rates, so they are found by asking: what one more token of a kind
//! costs, at which input size and on which day that changes. Every answer is then checked against the crate once more with
//! mixed usages. At run time nothing is matched by pattern and nothing is floating point.

use genai_prices::{Calculator, PriceRequest, Usage, UsageKey};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The crate's provider, the catalogues of the configuration (`cost_basis`) that it stands for, and the lists whose names
/// it is asked for. `vercel` and `azure-eu` are not in the data: what they sell stays unpriced.
const CATALOGUES: [(&str, &[&str], &[&str]); 7] = [
    ("anthropic", &["anthropic"], &["anthropic"]),
    ("azure", &["azure"], &["azure", "openai", "anthropic"]),
    (
        "aws",
        &["bedrock", "bedrock-ap", "bedrock-eu", "bedrock-us"],
        &["aws"],
    ),
    ("google", &["google"], &["google"]),
    ("google", &["vertex"], &["google", "anthropic"]),
    ("openai", &["openai"], &["openai"]),
    ("openrouter", &["openrouter"], &["openrouter"]),
];

/// Service tiers that some models price apart; `batch` is the word by which providers report it beside the others.
const TIERS: [&str; 4] = ["batch", "fast", "flex", "priority"];

/// Input sizes between which a change of the rates is looked for.
const SIZES: [u64; 2] = [1, 10_000_000];

/// Days since 1970 between which a change is looked for: from 2026, when records begin, to 2028, every thirty.
const DAYS: (u64, u64, usize) = (20_454, 21_400, 30);

/// Pico-dollars: for one token of each kind, for one search, for a request.
type Rates = [u64; FIELDS.len()];

/// How many kinds of counts there are.
const KINDS: usize = 14;

/// Counts in the order of [`KEYS`].
type Tokens = [u64; KINDS];

/// What the crate is asked about: the first four are all input and parts of it, the next two all output and a part.
const KEYS: [UsageKey; KINDS] = [
    UsageKey::INPUT_TOKENS,
    UsageKey::CACHE_READ_TOKENS,
    UsageKey::CACHE_WRITE_TOKENS,
    UsageKey::CACHE_WRITE_1H_TOKENS,
    UsageKey::OUTPUT_TOKENS,
    UsageKey::OUTPUT_REASONING_TOKENS,
    UsageKey::WEB_SEARCHES,
    UsageKey::INPUT_AUDIO_TOKENS,
    UsageKey::INPUT_IMAGE_TOKENS,
    UsageKey::CACHE_AUDIO_READ_TOKENS,
    UsageKey::CACHE_IMAGE_READ_TOKENS,
    UsageKey::OUTPUT_AUDIO_TOKENS,
    UsageKey::OUTPUT_IMAGE_TOKENS,
    UsageKey::STORAGE_SEARCHES,
];

// Places in `KEYS`.
const INPUT: usize = 0;
const READ: usize = 1;
const WRITE: usize = 2;
const WRITE_1H: usize = 3;
const OUTPUT: usize = 4;
const REASONING: usize = 5;
const WEB_SEARCH: usize = 6;
const AUDIO: usize = 7;
const IMAGE: usize = 8;
const READ_AUDIO: usize = 9;
const READ_IMAGE: usize = 10;
const AUDIO_OUT: usize = 11;
const IMAGE_OUT: usize = 12;
const FILE_SEARCH: usize = 13;

/// The fields of `price::Rates`, in the same order.
const FIELDS: [&str; 15] = [
    "input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "output",
    "reasoning",
    "web_search",
    "audio_input",
    "image_input",
    "cached_audio",
    "cached_image",
    "audio_output",
    "image_output",
    "file_search",
    "request",
];

/// From that day (0 = always), above that many input tokens.
type Step = (u64, u64, Rates);

/// The steps of a model, by service tier.
type Tiers = Vec<(&'static str, Vec<Step>)>;

/// Why writing to a string does not fail.
const MEMORY: &str = "a string takes what is written to it";

/// Writes the table.
pub(crate) fn generate() {
    println!("cargo::rerun-if-changed=build/prices.rs");
    println!("cargo::rerun-if-changed=build/model-names.txt");
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let names = names(&root);
    let mut table = Table::default();
    for (provider, bases, lists) in CATALOGUES {
        let names: BTreeSet<&str> = lists
            .iter()
            .flat_map(|list| names.get(*list).into_iter().flatten())
            .map(String::as_str)
            .collect();
        table.catalogue(provider, bases, &names);
    }
    let text = table.render(&root);
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("prices.rs"), text).expect("the build directory can be written");
}

/// The names to ask for, by the crate's provider: the ids of the data and the lines of the file.
fn names(root: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for provider in Calculator::bundled().providers() {
        let ids = provider.models().map(|model| model.id().to_owned());
        names.insert(provider.id().to_owned(), ids.collect());
    }
    let file = fs::read_to_string(root.join("build/model-names.txt")).expect("the list of names");
    let mut section = String::new();
    for line in file.lines().map(str::trim) {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            name.clone_into(&mut section);
        } else if !line.is_empty() && !line.starts_with('#') {
            let known = names.get_mut(&section).expect("a section is a provider");
            known.insert(line.to_owned());
        }
    }
    names
}

#[derive(Default)]
struct Table {
    /// Steps by catalogue, name and tier.
    entries: BTreeMap<[String; 3], Vec<Step>>,
    /// Tokens that fit into the context, by catalogue and name, where the data says so.
    windows: BTreeMap<[String; 2], u64>,
}

impl Table {
    fn catalogue(&mut self, provider: &str, bases: &[&str], names: &BTreeSet<&str>) {
        let mut known: BTreeMap<String, ([u64; 2], Tiers)> = BTreeMap::new();
        for name in names {
            let ask = Ask {
                provider,
                model: name,
                tier: "",
            };
            let Some(id) = ask.model_id() else { continue };
            // Names of one model share its rates; that the id is not another model's is checked.
            let signature = ask.signature(DAYS.0);
            let (_, tiers) = match known.remove(&id) {
                Some(same) if same.0 == signature => same,
                _ => (signature, tiers(provider, name)),
            };
            for basis in bases {
                for (tier, steps) in &tiers {
                    let key = [*basis, *name, *tier].map(str::to_owned);
                    self.entries.insert(key, steps.clone());
                }
                if let Some(window) = window(provider, &id) {
                    let key = [*basis, *name].map(str::to_owned);
                    self.windows.insert(key, window);
                }
            }
            known.insert(id, (signature, tiers));
        }
    }

    fn render(&self, root: &Path) -> String {
        let mut rates: Vec<Rates> = self.entries.values().flatten().map(|step| step.2).collect();
        rates.sort_unstable();
        rates.dedup();
        let mut text = format!("static RATES: [Rates; {}] = [\n", rates.len());
        for row in &rates {
            text.push_str("    Rates { ");
            for (field, rate) in FIELDS.iter().zip(row) {
                write!(text, "{field}: {}, ", grouped(*rate)).expect(MEMORY);
            }
            text.push_str("},\n");
        }
        write!(
            text,
            "];\nstatic ENTRIES: [Entry; {}] = [\n",
            self.entries.len()
        )
        .expect(MEMORY);
        for ([basis, model, tier], steps) in &self.entries {
            write!(
                text,
                "    Entry {{ basis: {basis:?}, model: {model:?}, tier: {tier:?}, steps: &["
            )
            .expect(MEMORY);
            for (day, above, own) in steps {
                let index = rates.binary_search(own).expect("every row was collected");
                let (from, above) = (grouped(day * 86_400_000), grouped(*above));
                write!(
                    text,
                    "Step {{ from: {from}, above: {above}, rates: {index} }}, "
                )
                .expect(MEMORY);
            }
            text.push_str("] },\n");
        }
        text.push_str("];\n");
        // FNV-1a: enough to tell two tables apart.
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let version = format!("genai-prices {} {:08x}", crate_version(root), hash >> 32);
        text += "/// The price table's version: the data's, and a hash of the table.\n";
        writeln!(text, "pub const VERSION: &str = {version:?};").expect(MEMORY);
        // After the hash: they are no prices.
        writeln!(
            text,
            "static WINDOWS: [(&str, &str, u64); {}] = [",
            self.windows.len()
        )
        .expect(MEMORY);
        for ([basis, model], window) in &self.windows {
            writeln!(text, "    ({basis:?}, {model:?}, {}),", grouped(*window)).expect(MEMORY);
        }
        text.push_str("];\n");
        text
    }
}

/// Tokens that fit into the context of a model.
fn window(provider: &str, id: &str) -> Option<u64> {
    Calculator::bundled()
        .providers()
        .find(|known| known.id() == provider)?
        .models()
        .find(|model| model.id() == id)?
        .context_window()
}

/// A number as people and lints like it: `1_000_000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('_');
        }
        grouped.push(digit);
    }
    grouped
}

/// The version of the price data, from the lock file.
fn crate_version(root: &Path) -> String {
    let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap_or_default();
    let mut lines = lock
        .lines()
        .skip_while(|line| *line != "name = \"genai-prices\"");
    lines
        .nth(1)
        .and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
        .unwrap_or("unknown")
        .to_owned()
}

/// The steps of a model's standard price and of each tier that differs from it; none when it has no price a token.
fn tiers(provider: &str, model: &str) -> Tiers {
    let mut tiers = Vec::new();
    let standard = Ask {
        provider,
        model,
        tier: "",
    };
    let steps = standard.steps();
    let free = steps
        .iter()
        .all(|(_, _, rates)| rates[0] == 0 && rates[4] == 0);
    // A price by the hour or the page only would look like nothing; a free model says so in its name.
    if free && !model.ends_with(":free") {
        return tiers;
    }
    tiers.push(("", steps));
    let late = [20_780, DAYS.1];
    let usual = late.map(|day| standard.signature(day));
    for tier in TIERS {
        let apart = Ask { tier, ..standard };
        if late.map(|day| apart.signature(day)) != usual {
            tiers.push((tier, apart.steps()));
        }
    }
    tiers
}

/// One model as the crate is asked for it.
#[derive(Clone, Copy)]
struct Ask<'a> {
    provider: &'a str,
    model: &'a str,
    tier: &'a str,
}

impl Ask<'_> {
    /// The id of the model that the name stands for.
    fn model_id(&self) -> Option<String> {
        let usage = Usage::new();
        let request = PriceRequest::new(self.model, &usage).with_provider_id(self.provider);
        let found = Calculator::bundled().calculate(&request).ok()?;
        Some(found.model_id)
    }

    /// Dollars for such a usage.
    fn dollars(&self, day: u64, tokens: Tokens) -> f64 {
        let mut usage = Usage::new();
        for (key, count) in KEYS.into_iter().zip(tokens) {
            #[expect(clippy::cast_precision_loss, reason = "below 2⁵³")]
            usage.insert(key, count as f64);
        }
        let at: SystemTime = UNIX_EPOCH + Duration::from_secs(day * 86_400 + 1);
        let mut request = PriceRequest::new(self.model, &usage)
            .with_provider_id(self.provider)
            .with_timestamp(at);
        if !self.tier.is_empty() {
            let (key, value) = match self.tier {
                "batch" => ("processing", "batch"),
                tier => ("service_tier", tier),
            };
            request = request.with_price_context(key, value);
        }
        let price = Calculator::bundled().calculate(&request);
        price
            .expect("a model that was found has a price")
            .total_price
    }

    /// Two numbers, for small and large inputs, that change when any rate changes.
    fn signature(&self, day: u64) -> [u64; 2] {
        let small = [
            7_919, 2_639, 1_583, 719, 3_959, 1_131, 13, 823, 967, 211, 307, 521, 613, 17,
        ];
        [small, small.map(|count| count * 300)].map(|tokens| self.dollars(day, tokens).to_bits())
    }

    /// All rates at an input size.
    fn rates(&self, day: u64, size: u64) -> Rates {
        // So many of some kinds, given by their places in `KEYS`.
        let dollars = |kinds: &[usize], count: u64| {
            let mut tokens = [0; KINDS];
            for kind in kinds {
                tokens[*kind] = count;
            }
            self.dollars(day, tokens)
        };
        let each = |dollars: f64, count: u64| {
            #[expect(clippy::cast_precision_loss, reason = "below 2⁵³")]
            let pico = (dollars * 1e12 / count as f64).round();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "rates are small and positive"
            )]
            let pico = pico as u64;
            pico
        };
        let nothing = dollars(&[], 0);
        let plain = dollars(&[INPUT], size);
        let input = |kinds: &[usize]| each(dollars(kinds, size) - nothing, size);
        // The size of the input decides on the rates of the output.
        let output = |kinds: &[usize]| {
            let kinds = [&[INPUT], kinds].concat();
            each(dollars(&kinds, size) - plain, size)
        };
        let call = |kind: usize| {
            let mut tokens = [0; KINDS];
            (tokens[INPUT], tokens[kind]) = (size, 1000);
            each(self.dollars(day, tokens) - plain, 1000)
        };
        [
            input(&[INPUT]),
            input(&[INPUT, READ]),
            input(&[INPUT, WRITE]),
            input(&[INPUT, WRITE, WRITE_1H]),
            output(&[OUTPUT]),
            output(&[OUTPUT, REASONING]),
            call(WEB_SEARCH),
            input(&[INPUT, AUDIO]),
            input(&[INPUT, IMAGE]),
            input(&[INPUT, READ, AUDIO, READ_AUDIO]),
            input(&[INPUT, READ, IMAGE, READ_IMAGE]),
            output(&[OUTPUT, AUDIO_OUT]),
            output(&[OUTPUT, IMAGE_OUT]),
            call(FILE_SEARCH),
            each(nothing, 1),
        ]
    }

    fn steps(&self) -> Vec<Step> {
        let (first, last, stride) = DAYS;
        let grid: Vec<u64> = (first..last).step_by(stride).chain([last]).collect();
        let later = changes(&grid, &|day| self.signature(day));
        let days = [first].into_iter().chain(later);
        let mut steps = Vec::new();
        for day in days {
            let from = if day == first { 0 } else { day };
            steps.push((from, 0, self.rates(day, 1)));
            for size in changes(&SIZES, &|size| self.rates(day, size)) {
                steps.push((from, size - 1, self.rates(day, size)));
            }
        }
        self.check(&steps);
        steps
    }

    /// Compares the steps with the crate's own answer for a mixed usage.
    fn check(&self, steps: &[Step]) {
        for day in [DAYS.0, 20_780, DAYS.1] {
            for input in [1_000, 90_000, 190_000, 260_000, 5_000_000] {
                let tokens = [
                    input,
                    input / 4,
                    input / 5,
                    input / 10,
                    1_000,
                    400,
                    3,
                    input / 8,
                    input / 9,
                    input / 20,
                    input / 25,
                    150,
                    200,
                    5,
                ];
                let (_, _, rates) = steps
                    .iter()
                    .rev()
                    .find(|(from, above, _)| {
                        let newest = steps.iter().rev().find(|(from, ..)| *from <= day);
                        newest.is_some_and(|newest| newest.0 == *from) && *above < input
                    })
                    .expect("the first step is always there");
                let audio = tokens[AUDIO] - tokens[READ_AUDIO];
                let image = tokens[IMAGE] - tokens[READ_IMAGE];
                let spoken = tokens[AUDIO_OUT] + tokens[IMAGE_OUT];
                let parts = [
                    tokens[INPUT] - tokens[READ] - tokens[WRITE] - audio - image,
                    tokens[READ] - tokens[READ_AUDIO] - tokens[READ_IMAGE],
                    tokens[WRITE] - tokens[WRITE_1H],
                    tokens[WRITE_1H],
                    tokens[OUTPUT] - tokens[REASONING] - spoken,
                    tokens[REASONING],
                    tokens[WEB_SEARCH],
                    audio,
                    image,
                    tokens[READ_AUDIO],
                    tokens[READ_IMAGE],
                    tokens[AUDIO_OUT],
                    tokens[IMAGE_OUT],
                    tokens[FILE_SEARCH],
                    1,
                ];
                let pico: u128 = rates
                    .iter()
                    .zip(parts)
                    .map(|(rate, count)| u128::from(*rate) * u128::from(count))
                    .sum();
                let dollars = self.dollars(day, tokens);
                #[expect(clippy::cast_precision_loss, reason = "compared with a tolerance")]
                let apart = (pico as f64 / 1e12 - dollars).abs();
                // Half a pico-dollar a token is lost by rounding.
                #[expect(clippy::cast_precision_loss, reason = "below 2⁵³")]
                let allowed = 1e-12 * (input + 2_000) as f64 + dollars * 1e-9;
                assert!(
                    apart <= allowed,
                    "{} {} {}: {pico} pico-dollars, but {dollars}",
                    self.provider,
                    self.model,
                    self.tier
                );
            }
        }
    }
}

/// The places where a step function changes, found by halving between the points of a grid.
fn changes<T: PartialEq>(grid: &[u64], of: &impl Fn(u64) -> T) -> Vec<u64> {
    fn between<T: PartialEq>(
        low: (u64, &T),
        high: (u64, &T),
        of: &impl Fn(u64) -> T,
        found: &mut Vec<u64>,
    ) {
        if low.1 == high.1 {
            return;
        }
        if high.0 == low.0 + 1 {
            found.push(high.0);
            return;
        }
        let middle = u64::midpoint(low.0, high.0);
        let value = of(middle);
        between(low, (middle, &value), of, found);
        between((middle, &value), high, of, found);
    }
    let values: Vec<T> = grid.iter().map(|at| of(*at)).collect();
    let mut found = Vec::new();
    for (at, value) in grid.windows(2).zip(values.windows(2)) {
        between((at[0], &value[0]), (at[1], &value[1]), of, &mut found);
    }
    found
}
