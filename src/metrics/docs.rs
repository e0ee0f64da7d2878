//! Renders `docs/metrics.md` from the tables.

use super::{families, process};
use std::fmt::Write as _;

/// The reference of every metric, as `docs/metrics.md` holds it.
pub fn render_metrics_md() -> String {
    let mut out = String::from(
        "<!-- Generated from src/metrics/families.rs by `aperture docs --write`. -->\n\
         # Metrics\n\n\
         Served as Prometheus text on the metrics port of the tailnet node, to admins and to whom a grant gives\n\
         `read_metrics`. The counters of use derive from finished records alone, so they equal what the dashboard and\n\
         `aperture export` show for the life of the process. Labels are bounded: providers and models are those of the\n\
         configuration; a label without a value is left out. Users appear only with `gateway.metrics.per_user`.\n",
    );
    section(&mut out, "The gateway");
    for family in families::TABLE {
        let labels: Vec<String> = family.labels.iter().map(|l| format!("`{l}`")).collect();
        row(
            &mut out,
            family.name,
            family.kind,
            &labels.join(" "),
            family.help.trim(),
        );
    }
    section(&mut out, "The process");
    for (name, kind, help) in process::TABLE {
        row(&mut out, name, kind, "", help);
    }
    out.push_str(
        "\n## The tailnet node\n\n\
         The node's own `tailscaled_…` series (traffic by path, dropped packets, health) follow as it reports them.\n",
    );
    out
}

fn section(out: &mut String, title: &str) {
    let _ = write!(
        out,
        "\n## {title}\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n"
    );
}

fn row(out: &mut String, name: &str, kind: &str, labels: &str, help: &str) {
    let _ = writeln!(out, "| `{name}` | {kind} | {labels} | {help} |");
}
