//! How each cost grows with the table: a table of numbers and a drawing (`benches/growth.svg`), at one entry a bucket
//! at most, so that long chains are not measured with it.

use crate::chart::{self, Line, Panel, short};
use crate::gateway::Gateway;
use crate::harness::hostwide;
use crate::part_flush::Stale;
use crate::part_rescue::Table;
use crate::process::status_mb;
use crate::ratio::Spread;
use crate::{Asked, bare, machine, part_events, part_queries, part_rest, part_scan};

/// Kernel, agent and what this writes itself.
const BYTES_AN_ENTRY: u64 = 1000;

/// A cost at each size: what the program takes, and a limit of its own kind where there is one.
struct Measure {
    name: &'static str,
    unit: &'static str,
    limit: Option<&'static str>,
    /// What one entry of that costs, as a factor and a unit, where the cost has to grow with the table.
    an_entry: Option<(f64, &'static str)>,
}

const MEASURES: [Measure; 8] = [
    Measure {
        name: "top-sources --direct",
        unit: "s",
        limit: Some("bare dump"),
        an_entry: Some((1e6, "us")),
    },
    Measure {
        name: "flush --stale of 30 %",
        unit: "s",
        limit: Some("bare dump and deletes"),
        an_entry: Some((1e6, "us")),
    },
    Measure { name: "RSS of the agent", unit: "MB", limit: None, an_entry: Some((1e6, "bytes")) },
    Measure { name: "CPU of an event", unit: "us", limit: Some("bare listener"), an_entry: None },
    Measure { name: "top-sources -n 20", unit: "ms", limit: None, an_entry: None },
    Measure { name: "list | head -1", unit: "ms", limit: None, an_entry: None },
    Measure { name: "from full to the first admitted", unit: "ms", limit: None, an_entry: None },
    Measure { name: "the agent at rest", unit: "% of a core", limit: None, an_entry: None },
];

/// The program's own, not a number where it could not be measured, and the limit's.
type Value = (f64, Option<f64>);
/// All of one size.
type Column = (f64, [Value; MEASURES.len()]);

pub fn run(asked: &Asked) {
    let mut columns = Vec::new();
    for &entries in &asked.sizes {
        let (needed, available) = (u64::from(entries) * BYTES_AN_ENTRY, machine::available_bytes());
        if available < needed {
            println!(
                "  left out: {entries} entries need {needed} bytes of memory, {available} are available"
            );
            continue;
        }
        eprintln!("  {entries} entries ...");
        columns.push((f64::from(entries), measured(&Asked { entries, ..asked.clone() })));
    }
    if columns.len() < 2 {
        println!("  two sizes at least are needed to tell of growth");
        return;
    }
    println!("{}", table(&columns));
    let panels = MEASURES.iter().enumerate().map(|(i, measure)| panel(measure, i, &columns));
    let panels: Vec<Panel> = panels.filter(|panel| !panel.lines[0].points.is_empty()).collect();
    let title = "ctctl: what it costs by entries in the table; dotted as it should grow";
    let drawing = chart::svg(title, &machine::named(), &panels);
    std::fs::write(&asked.svg, drawing).unwrap_or_else(|error| panic!("{}: {error}", asked.svg.display()));
    println!("  drawn in {}", asked.svg.display());
}

fn median(runs: u32, mut one: impl FnMut() -> f64) -> f64 {
    let values: Vec<f64> = (0..runs).map(|_| one()).collect();
    Spread::of(&values).median
}

/// All at one size, in the order of [`MEASURES`].
fn measured(asked: &Asked) -> [Value; MEASURES.len()] {
    let [count, event, rss, top, first, rest] = of_a_quiet_table(asked);
    [count, flush(asked), rss, event, top, first, rescue(asked), rest]
}

fn gateway(asked: &Asked) -> Gateway {
    Gateway::new(u64::from(asked.entries) * 2 + 100_000).with_buckets(buckets(asked))
}

/// As many as entries, and never fewer than the host has: other tables are in them too.
fn buckets(asked: &Asked) -> u32 {
    asked.entries.max(hostwide::read(hostwide::BUCKETS) as u32)
}

fn of_a_quiet_table(asked: &Asked) -> [Value; 6] {
    let gateway = gateway(asked).filled(asked.entries, asked.sources());
    let dump = median(asked.runs, || bare::dump(&gateway.namespace, asked.entries.into()));
    let count = median(asked.runs, || part_scan::seconds(&gateway));
    let agent = gateway.start();
    let rss = status_mb(agent.pid, "VmRSS:").expect("a running agent");
    let top = median(asked.runs, || part_queries::top_sources_ms(&gateway));
    let first = median(asked.runs, || part_queries::first_line_ms(&gateway));
    let rest = part_rest::percent(asked, &agent);
    let event = part_events::agent_us(asked, &gateway, &agent);
    assert_eq!(agent.stop(), 0);
    let bare_event = part_events::bare_listener_us(asked, &gateway);
    [(count, Some(dump)), (event, Some(bare_event)), (rss, None), (top, None), (first, None), (rest, None)]
}

fn flush(asked: &Asked) -> Value {
    let gateway = gateway(asked);
    let stale = Stale::new(&gateway, asked.entries);
    (median(asked.runs, || stale.ours()), Some(median(asked.runs, || stale.bare())))
}

fn rescue(asked: &Asked) -> Value {
    let full = Table { entries: asked.entries, buckets: buckets(asked) };
    let seconds: Option<Vec<f64>> =
        (0..asked.runs).map(|_| full.while_held().map(|waited| waited.as_secs_f64())).collect();
    (seconds.map_or(f64::NAN, |seconds| 1000.0 * Spread::of(&seconds).median), None)
}

/// The `i`th measure of each size.
fn row(i: usize, columns: &[Column]) -> Vec<(f64, Value)> {
    columns.iter().map(|(entries, values)| (*entries, values[i])).collect()
}

fn table(columns: &[Column]) -> String {
    let line = |name: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>9}")).collect();
        format!("  {name:<44}{cells}")
    };
    let sizes = columns.iter().map(|(entries, _)| short(*entries));
    let mut lines = vec![line("entries", sizes.chain(["grows as".into(), "should".into()]).collect())];
    for (i, measure) in MEASURES.iter().enumerate() {
        let row = row(i, columns);
        let should = if measure.an_entry.is_some() { "n" } else { "1" };
        let cell = |(entries, (own, _)): &(f64, Value)| match measure.an_entry {
            Some((factor, _)) => short(own * factor / entries),
            None => short(*own),
        };
        let unit = measure.an_entry.map_or(measure.unit.into(), |(_, unit)| format!("{unit} an entry"));
        let grows = format!("n^{:.2}", exponent(&row));
        let cells = row.iter().map(cell).chain([grows, should.into()]).collect();
        lines.push(line(&format!("{}, {unit}", measure.name), cells));
        if let Some(limit) = measure.limit {
            let of = |(_, (own, limit)): &(f64, Value)| short(own / limit.unwrap_or(f64::NAN));
            lines.push(line(&format!("  of a {limit}"), row.iter().map(of).collect()));
        }
    }
    lines.join("\n")
}

/// The power of the number of entries that fits best, without the smallest of four sizes, where what is fixed tells
/// most.
fn exponent(row: &[(f64, Value)]) -> f64 {
    let measured = row[row.len() / 4..].iter().filter(|(_, (own, _))| own.is_finite());
    let points: Vec<(f64, f64)> =
        measured.map(|(entries, (own, _))| (entries.ln(), positive(*own).ln())).collect();
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let over: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    over / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

/// For logarithms.
fn positive(value: f64) -> f64 {
    value.max(1e-4)
}

fn panel(measure: &Measure, i: usize, columns: &[Column]) -> Panel {
    let row = row(i, columns);
    let measured = row.iter().filter(|(_, (own, _))| own.is_finite());
    let own = measured.map(|(entries, (own, _))| (*entries, positive(*own))).collect();
    let mut lines = vec![Line { name: "ctctl", points: own }];
    if let Some(name) = measure.limit {
        let points = row.iter().filter_map(|(entries, (_, limit))| Some((*entries, positive((*limit)?))));
        lines.push(Line { name, points: points.collect() });
    }
    Panel { title: measure.name, unit: measure.unit, linear: measure.an_entry.is_some(), lines }
}
