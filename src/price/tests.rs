use super::*;
use genai_prices::{Calculator, PriceRequest, UsageKey};
use proptest::prelude::*;
use std::time::{Duration, UNIX_EPOCH};

/// 2026-11-23.
const NOW: Timestamp = Timestamp(1_795_392_000_000);

fn usage(input: u64, output: u64) -> Usage {
    Usage {
        input,
        output,
        ..Usage::default()
    }
}

fn basis<'a>(catalogue: &'a str, model: &'a str) -> Basis<'a> {
    Basis {
        catalogue,
        source: BasisSource::Explicit,
        model,
        adjustment_ppm: CostRule::UNCHANGED,
    }
}

#[test]
fn the_founding_models_have_their_prices() {
    // Dollars for a million tokens in and a million out.
    let cases = [
        ("anthropic", "claude-haiku-4-5-20251001", 1, 5),
        ("anthropic", "claude-sonnet-4-5", 3, 15),
        ("anthropic", "claude-opus-4-5", 5, 25),
        ("openai", "gpt-4o", 2_500_000, 10),
        ("openai", "gpt-4o-mini", 150_000, 600_000),
        ("openai", "o1", 15, 60),
    ];
    let pico = |dollars: u64| {
        if dollars < 1000 {
            dollars * 1_000_000
        } else {
            dollars
        }
    };
    for (catalogue, model, input, output) in cases {
        let rates = rates(catalogue, model, None, 1000, NOW).unwrap();
        assert_eq!(
            (rates.input, rates.output),
            (pico(input), pico(output)),
            "{model}"
        );
        let cost = cost(&basis(catalogue, model), None, &usage(10, 10), NOW);
        assert_eq!(cost.state, CostState::Priced);
        assert_eq!(cost.pico, 10 * (pico(input) + pico(output)));
        assert_eq!(cost.basis, format!("{catalogue}/{model}"));
        assert_eq!(cost.prices, VERSION);
    }
}

#[test]
fn names_are_compared_exactly() {
    for name in ["claude-sonnet-4-5", "claude-sonnet-4-5-20250929"] {
        assert!(rates("anthropic", name, None, 1, NOW).is_some(), "{name}");
    }
    for name in [
        "claude-sonnet-4-5-19990101",
        "claude-sonnet-4-5 ",
        "Claude-sonnet-4-5",
        "claude",
        "",
        "gpt-4o-mini-mine",
    ] {
        for catalogue in ["anthropic", "openai"] {
            let cost = cost(&basis(catalogue, name), None, &usage(1, 1), NOW);
            assert_eq!((cost.state, cost.pico), (CostState::Unpriced, 0), "{name}");
        }
    }
    // An older snapshot that is priced apart.
    let older = rates("openai", "gpt-4o-2024-05-13", None, 1, NOW).unwrap();
    assert_eq!(older.input, 5_000_000);
}

#[test]
fn no_tokens_cost_nothing_and_are_not_unpriced() {
    assert_eq!(
        cost(&basis("openai", "gpt-4o"), None, &Usage::default(), NOW),
        Cost::default()
    );
    assert_eq!(
        cost(&basis("openai", "nobody"), None, &Usage::default(), NOW),
        Cost::default()
    );
}

#[test]
fn long_inputs_cached_parts_and_tiers_have_their_own_rates() {
    let at = |input| rates("anthropic", "claude-sonnet-4-5", None, input, NOW).unwrap();
    assert_eq!(
        (at(200_000).input, at(200_001).input),
        (3_000_000, 6_000_000)
    );
    assert_eq!((at(200_001).output, at(0).input), (22_500_000, 3_000_000));
    let mixed = Usage {
        input: 1,
        cache_read: 10,
        cache_write: 100,
        cache_write_1h: 1000,
        output: 5,
        reasoning: 3,
        web_searches: 2,
        ..Usage::default()
    };
    let mixed = cost(&basis("anthropic", "claude-haiku-4-5"), None, &mixed, NOW).pico;
    assert_eq!(
        mixed,
        1_000_000
            + 10 * 100_000
            + 100 * 1_250_000
            + 1000 * 2_000_000
            + 5 * 5_000_000
            + 2 * 10_000_000_000
    );
    let tier = |tier| rates("openai", "gpt-5", tier, 1, NOW).unwrap().input;
    assert_eq!(
        (tier(None), tier(Some("default")), tier(Some("priority"))),
        (1_250_000, 1_250_000, 2_500_000)
    );
}

fn provider(
    cost_basis: Option<&str>,
    dialects: Vec<Dialect>,
    model_cost_map: Vec<CostRule>,
) -> Provider {
    Provider {
        dialects,
        cost_basis: cost_basis.map(str::to_owned),
        model_cost_map,
        ..Provider::new("p", http::Uri::from_static("http://p"))
    }
}

#[test]
fn the_configuration_picks_the_entry() {
    let infer = Config {
        auto_cost_basis: true,
        ..Config::default()
    };
    let explicit = Config::default();
    let chat = provider(None, vec![Dialect::OpenaiChat], Vec::new());
    let found = |config: &Config, provider: &Provider| {
        resolve_basis(config, provider, "m").map(|basis| (basis.catalogue.to_owned(), basis.source))
    };
    assert_eq!(
        found(&infer, &chat),
        Some(("openai".into(), BasisSource::Inferred))
    );
    assert_eq!(found(&explicit, &chat), None);
    let messages = provider(
        None,
        vec![Dialect::OpenaiChat, Dialect::AnthropicMessages],
        Vec::new(),
    );
    assert_eq!(
        found(&infer, &messages),
        Some(("anthropic".into(), BasisSource::Inferred))
    );
    let stated = provider(Some("openrouter"), vec![Dialect::OpenaiChat], Vec::new());
    assert_eq!(
        found(&explicit, &stated),
        Some(("openrouter".into(), BasisSource::Explicit))
    );

    let own = price_of(&infer, &chat, "llama-3.1-70b", None, &usage(1, 1), NOW);
    assert_eq!(
        (own.state, own.basis.as_str()),
        (CostState::Unpriced, "openai/llama-3.1-70b")
    );
    let none = price_of(&explicit, &chat, "gpt-4o", None, &usage(1, 1), NOW);
    assert_eq!((none.state, none.basis.as_str()), (CostState::Unpriced, ""));
}

#[test]
fn hosts_that_sell_under_their_own_prices_are_known() {
    let infer = Config {
        auto_cost_basis: true,
        ..Config::default()
    };
    let found = |base: &'static str, dialect| {
        let provider = Provider {
            base: http::Uri::from_static(base),
            ..provider(None, vec![dialect], Vec::new())
        };
        resolve_basis(&infer, &provider, "m").map(|basis| basis.catalogue.to_owned())
    };
    for (base, dialect, catalogue) in [
        ("https://api.openai.com", Dialect::OpenaiChat, "openai"),
        (
            "https://openrouter.ai/api",
            Dialect::OpenaiChat,
            "openrouter",
        ),
        ("https://not-openrouter.ai", Dialect::OpenaiChat, "openai"),
        (
            "https://me.openai.azure.com/openai",
            Dialect::OpenaiResponses,
            "azure",
        ),
        (
            "https://generativelanguage.googleapis.com",
            Dialect::GeminiGenerateContent,
            "google",
        ),
        (
            "https://aiplatform.googleapis.com",
            Dialect::GoogleRawPredict,
            "vertex",
        ),
        (
            "https://europe-west1-aiplatform.googleapis.com",
            Dialect::AnthropicMessages,
            "vertex",
        ),
        (
            "https://bedrock-runtime.us-east-1.amazonaws.com",
            Dialect::BedrockConverse,
            "bedrock-us",
        ),
        (
            "https://bedrock-runtime.eu-west-3.amazonaws.com",
            Dialect::BedrockModelInvoke,
            "bedrock-eu",
        ),
        (
            "https://bedrock-runtime.ap-south-1.amazonaws.com",
            Dialect::BedrockModelInvoke,
            "bedrock-ap",
        ),
        (
            "https://bedrock-runtime.ca-central-1.amazonaws.com",
            Dialect::BedrockModelInvoke,
            "bedrock",
        ),
        ("http://stand-in", Dialect::BedrockConverse, "bedrock"),
        ("http://stand-in", Dialect::GoogleGenerateContent, "vertex"),
    ] {
        assert_eq!(found(base, dialect).as_deref(), Some(catalogue), "{base}");
    }
}

#[test]
fn the_names_that_bedrock_and_vertex_clients_send_have_prices() {
    for (catalogue, model) in [
        ("bedrock", "anthropic.claude-opus-4-6-v1"),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        (
            "bedrock",
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        ("bedrock-eu", "eu.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("bedrock-us", "us.amazon.nova-pro-v1:0"),
        ("bedrock-us", "us.meta.llama3-3-70b-instruct-v1:0"),
        ("vertex", "claude-sonnet-4-5@20250929"),
        ("vertex", "claude-opus-4-6@default"),
        ("vertex", "gemini-2.5-pro"),
        ("google", "gemini-2.5-flash"),
    ] {
        assert!(rates(catalogue, model, None, 1, NOW).is_some(), "{model}");
    }
    let provider = provider(Some("bedrock"), vec![Dialect::BedrockConverse], Vec::new());
    for (arn, state) in [
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-pro-v1:0",
            CostState::Priced,
        ),
        (
            "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0",
            CostState::Priced,
        ),
        (
            "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc123",
            CostState::Unpriced,
        ),
        (
            "arn:aws:bedrock:us-east-1:1:application-inference-profile/amazon.nova-pro-v1:0",
            CostState::Unpriced,
        ),
    ] {
        let cost = price_of(&Config::default(), &provider, arn, None, &usage(1, 1), NOW);
        assert_eq!(cost.state, state, "{arn}");
    }
}

#[test]
fn audio_images_and_batches_have_their_own_rates() {
    let dollars = |usage: &Usage, catalogue, model, tier| {
        cost(&basis(catalogue, model), tier, usage, NOW).pico
    };
    // Dollars a million: 0.3 text, 0.03 cached, 1 audio, 0.1 cached audio; 2.5 out.
    let heard = Usage {
        input: 100,
        cache_read: 50,
        audio_input: 60,
        cached_audio: 20,
        output: 10,
        ..Usage::default()
    };
    assert_eq!(
        dollars(&heard, "google", "gemini-2.5-flash", None),
        60 * 300_000 + 40 * 1_000_000 + 30 * 30_000 + 20 * 100_000 + 10 * 2_500_000
    );
    let drawn = Usage {
        output: 100,
        image_output: 90,
        ..Usage::default()
    };
    assert_eq!(
        dollars(&drawn, "google", "gemini-2.5-flash-image", None),
        10 * 2_500_000 + 90 * 30_000_000
    );
    // Parts that say more than the whole are cut: never more than all of it is charged.
    let absurd = Usage {
        input: 10,
        audio_input: 99,
        cached_audio: 50,
        ..Usage::default()
    };
    assert_eq!(
        dollars(&absurd, "google", "gemini-2.5-flash", None),
        10 * 1_000_000
    );
    let plain = usage(1000, 0);
    assert_eq!(
        2 * dollars(&plain, "anthropic", "claude-sonnet-5-5", Some("batch")),
        dollars(&plain, "anthropic", "claude-sonnet-5-5", Some("standard"))
    );
}

fn record(usage: Usage, estimate: Option<(u64, u64)>) -> Record {
    let id = crate::record::RequestId::at(NOW);
    Record {
        usage,
        usage_state: UsageState::Partial,
        estimate: estimate.map(|(input, output)| crate::record::Estimate {
            input,
            output,
            ..crate::record::Estimate::default()
        }),
        ..Record::new(id, crate::endpoint::Endpoint::OpenaiChat)
    }
}

/// An estimate costs what it adds to what was stated, and is never part of the cost.
#[test]
fn estimates_are_priced_apart() {
    let config = Config {
        auto_cost_basis: true,
        ..Config::default()
    };
    let chat = provider(None, vec![Dialect::OpenaiChat], Vec::new());
    let settled = |model: &str, mut record: Record| {
        settle(&config, &chat, model, &mut record);
        (
            record.cost.state,
            record.cost.pico,
            record.estimate.map(|e| (e.cost.state, e.cost.pico)),
        )
    };
    assert_eq!(
        settled("gpt-4o", record(Usage::default(), Some((100, 10)))),
        (
            CostState::None,
            0,
            Some((CostState::Priced, 100 * 2_500_000 + 10 * 10_000_000))
        )
    );
    assert_eq!(
        settled("gpt-4o", record(usage(100, 1), Some((0, 10)))),
        (
            CostState::Priced,
            100 * 2_500_000 + 10_000_000,
            Some((CostState::Priced, 10 * 10_000_000))
        )
    );
    assert_eq!(
        settled("mine", record(usage(100, 1), Some((0, 10)))),
        (CostState::Unpriced, 0, Some((CostState::Unpriced, 0)))
    );
    let mut unknown = record(usage(1 << 30, 1), None);
    unknown.usage_state = UsageState::Unknown;
    assert_eq!(settled("gpt-4o", unknown), (CostState::Unpriced, 0, None));
}

#[test]
fn the_first_rule_that_matches_prices_as_another() {
    let rule = |matches: &str, as_model: Option<&str>, adjustment_ppm| CostRule {
        matches: matches.to_owned(),
        as_model: as_model.map(str::to_owned),
        adjustment_ppm,
    };
    let rules = vec![
        rule("my-*", Some("gpt-4o"), 500_000),
        rule("my-mini", Some("gpt-4o-mini"), CostRule::UNCHANGED),
        rule("gpt-*", None, 1_100_000),
    ];
    let config = Config {
        auto_cost_basis: true,
        ..Config::default()
    };
    let provider = provider(None, vec![Dialect::OpenaiChat], rules);
    let price = |model| price_of(&config, &provider, model, None, &usage(2, 0), NOW);
    assert_eq!(
        (price("my-mini").pico, price("my-mini").basis.as_str()),
        (2_500_000, "openai/gpt-4o")
    );
    assert_eq!(price("gpt-4o").pico, 5_500_000);
    assert_eq!(
        price("my/mini").state,
        CostState::Unpriced,
        "a star stays within a segment"
    );
}

#[test]
fn the_table_is_sorted_and_covers_every_catalogue() {
    assert!(ENTRIES.is_sorted_by(|a, b| (a.basis, a.model, a.tier) < (b.basis, b.model, b.tier)));
    for basis in [
        "anthropic",
        "azure",
        "bedrock",
        "bedrock-ap",
        "bedrock-eu",
        "bedrock-us",
        "google",
        "openai",
        "openrouter",
        "vertex",
    ] {
        assert!(models(basis).count() > 20, "{basis}");
    }
    for entry in &ENTRIES {
        assert_eq!(
            entry.steps.first().map(|step| (step.from, step.above)),
            Some((0, 0))
        );
        let order = |step: &Step| (step.from, step.above);
        assert!(entry.steps.is_sorted_by(|a, b| order(a) < order(b)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    /// The crate's own answer, for any model, usage, tier and day: equal but for half a pico-dollar a token.
    #[test]
    fn as_the_crate_prices(
        which in any::<prop::sample::Index>(),
        input in prop_oneof![0..2_000_u64, 0..400_000_u64, 199_990..200_010_u64, 0..5_000_000_u64],
        shares in (0..4_u64, 0..4_u64, 0..3_u64),
        output in 0..100_000_u64,
        thought in 0..4_u64,
        web_searches in 0..5_u64,
        media in (0..4_u64, 0..4_u64, 0..4_u64, 0..4_u64, 0..4_u64),
        file_searches in 0..5_u64,
        day in 20_454..21_400_u64,
        tier in prop::option::of(prop_oneof![Just("default"), Just("flex"), Just("priority"), Just("fast"), Just("batch"), Just("unheard-of")]),
    ) {
        let entry = &ENTRIES[which.index(ENTRIES.len())];
        let cache_read = input * shares.0 / 8;
        let written = input * shares.1 / 8;
        let cache_write_1h = written * shares.2 / 2;
        let cached_audio = cache_read * media.0 / 8;
        let cached_image = cache_read * media.1 / 8;
        let fresh = input - cache_read - written;
        let reasoning = output * thought / 8;
        let usage = Usage {
            audio_input: cached_audio + fresh * media.2 / 8,
            image_input: cached_image + fresh * media.3 / 8,
            cached_audio,
            cached_image,
            audio_output: (output - reasoning) * media.4 / 8,
            image_output: (output - reasoning) * media.0 / 8,
            file_searches,
            input: fresh,
            cache_read,
            cache_write: written - cache_write_1h,
            cache_write_1h,
            output,
            reasoning,
            web_searches,
            ..Usage::default()
        };
        let provider = match entry.basis {
            "vertex" => "google",
            other if other.starts_with("bedrock") => "aws",
            other => other,
        };
        #[expect(clippy::cast_precision_loss, reason = "counts are small")]
        let theirs = genai_prices::Usage::from([
            (UsageKey::INPUT_TOKENS, usage.input_all() as f64),
            (UsageKey::CACHE_READ_TOKENS, cache_read as f64),
            (UsageKey::CACHE_WRITE_TOKENS, written as f64),
            (UsageKey::CACHE_WRITE_1H_TOKENS, cache_write_1h as f64),
            (UsageKey::OUTPUT_TOKENS, output as f64),
            (UsageKey::OUTPUT_REASONING_TOKENS, usage.reasoning as f64),
            (UsageKey::WEB_SEARCHES, web_searches as f64),
            (UsageKey::INPUT_AUDIO_TOKENS, usage.audio_input as f64),
            (UsageKey::INPUT_IMAGE_TOKENS, usage.image_input as f64),
            (UsageKey::CACHE_AUDIO_READ_TOKENS, cached_audio as f64),
            (UsageKey::CACHE_IMAGE_READ_TOKENS, cached_image as f64),
            (UsageKey::OUTPUT_AUDIO_TOKENS, usage.audio_output as f64),
            (UsageKey::OUTPUT_IMAGE_TOKENS, usage.image_output as f64),
            (UsageKey::STORAGE_SEARCHES, file_searches as f64),
        ]);
        let mut request = PriceRequest::new(entry.model, &theirs)
            .with_provider_id(provider)
            .with_timestamp(UNIX_EPOCH + Duration::from_secs(day * 86_400 + 3_600));
        if let Some(tier) = tier {
            request = match tier {
                "batch" => request.with_price_context("processing", tier),
                other => request.with_price_context("service_tier", other),
            };
        }
        let theirs = Calculator::bundled().calculate(&request).unwrap().total_price;
        let at = Timestamp(day * 86_400_000 + 3_600_000);
        let own = cost(&basis(entry.basis, entry.model), tier, &usage, at);
        if usage == Usage::default() {
            prop_assert_eq!(own, Cost::default());
        } else {
            prop_assert_eq!(own.state, CostState::Priced);
            #[expect(clippy::cast_precision_loss, reason = "compared with a tolerance")]
            let (own, counts) = (own.pico as f64 / 1e12, (usage.total() + web_searches + 1) as f64);
            prop_assert!((own - theirs).abs() <= counts * 1e-12 + theirs * 1e-9, "{own} but {theirs}");
        }
    }
}

#[test]
fn context_windows_are_those_of_the_data() {
    assert_eq!(context_window("openai", "gpt-4o"), Some(128_000));
    assert_eq!(context_window("openai", "no-such-model"), None);
    assert_eq!(context_window("nobody", "gpt-4o"), None);
    assert!(WINDOWS.is_sorted_by_key(|(basis, model, _)| (*basis, *model)));
}
