//! A chart of usage over time, with the watermarks and an axis of time.

use std::collections::VecDeque;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

use super::Look;
use crate::core::model::{PressureSettings, ShortDuration};

/// Number of samples kept: an hour, one a second.
const MOST_SAMPLES: usize = 3600;
/// Numbers of seconds that one column may stand for.
const STEPS: [usize; 8] = [1, 2, 5, 10, 15, 20, 30, 60];
/// Smallest width of the watermarks' names, in columns.
const LABELS: u16 = 14;
/// Largest height without an axis, in lines: all of it is for the bars.
const LEAST_FOR_AXIS: u16 = 3;
/// Smallest distance between two ticks of the axis, in columns.
const APART: usize = 12;
/// Distances between two ticks of the axis, in seconds.
const TICKS: [usize; 12] = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600];
/// Symbols for eighths of a line.
const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Usage in percent, one sample a second; `None` for a second without a sample.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    samples: VecDeque<Option<f64>>,
    last_second: Option<u64>,
}

impl Usage {
    /// Adds usage at this second, counted from any start.
    pub fn add(&mut self, second: u64, percent: f64) {
        let missed = self.last_second.map_or(1, |last| second.saturating_sub(last));
        if missed == 0 {
            // Of two samples in one second the greater is kept: peaks matter.
            if let Some(Some(last)) = self.samples.back_mut() {
                *last = last.max(percent);
            }
            return;
        }
        for _ in 1..missed.min(MOST_SAMPLES as u64) {
            self.samples.push_back(None);
        }
        self.samples.push_back(Some(percent));
        self.last_second = Some(second);
        while self.samples.len() > MOST_SAMPLES {
            self.samples.pop_front();
        }
    }

    /// Returns the peaks of at most `width` columns, the newest last, and the number of seconds that each column stands
    /// for.
    fn columns(&self, width: usize) -> (Vec<Option<f64>>, usize) {
        let enough = |step: &&usize| **step * width >= self.samples.len();
        let step = *STEPS.iter().find(enough).unwrap_or(&STEPS[STEPS.len() - 1]);
        let newest_first: Vec<Option<f64>> = self.samples.iter().rev().copied().collect();
        let peak = |seconds: &[Option<f64>]| seconds.iter().flatten().copied().reduce(f64::max);
        let mut columns: Vec<Option<f64>> = newest_first.chunks(step).take(width).map(peak).collect();
        columns.reverse();
        (columns, step)
    }
}

/// Draws bars, the watermarks, and below them an axis that says how long ago each bar was, with `end` as the name of
/// the newest. Returns the number of seconds that the chart spans.
pub fn draw(
    usage: &Usage,
    marks: &PressureSettings,
    end: &str,
    look: &Look,
    area: Rect,
    buffer: &mut Buffer,
) -> usize {
    let bars = if area.height > LEAST_FOR_AXIS { area.height - 1 } else { area.height };
    if bars == 0 {
        return 0;
    }
    let labels = labels(marks, bars, (area.width / 2).max(LABELS).into());
    let longest = labels.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0);
    let width = area.width.saturating_sub(LABELS.max(longest as u16));
    if width == 0 {
        return 0;
    }
    let (columns, step) = usage.columns(width.into());
    let plot = Rect { height: bars, width, ..area };
    rule(&labels, look, plot, area, buffer);
    let from = width - columns.len() as u16;
    for (at, percent) in columns.iter().enumerate() {
        if let Some(percent) = percent {
            bar(*percent, marks, look, plot, plot.x + from + at as u16, buffer);
        }
    }
    if bars < area.height {
        axis(step, end, look, Rect { y: area.y + bars, height: 1, width, ..area }, buffer);
    }
    columns.len() * step
}

/// Returns the line, counted from the top, that a percentage of the limit falls into.
fn line_of(percent: f64, height: u16) -> u16 {
    let from_below = (percent.clamp(0.0, 99.999) / 100.0 * f64::from(height)) as u16;
    height - 1 - from_below.min(height - 1)
}

/// Returns the names of the watermarks, each with its line. Names that fall into one line are joined; if they are wider
/// than `room`, all but the first are shown by their numbers alone.
fn labels(marks: &PressureSettings, height: u16, room: usize) -> Vec<(u16, String)> {
    let named =
        [(marks.critical_percent, "critical"), (marks.high_percent, "high"), (marks.low_percent, "low")];
    let mut lines: Vec<(u16, Vec<(f64, &str)>)> = Vec::new();
    for (percent, name) in named {
        let line = line_of(percent, height);
        match lines.last_mut() {
            Some((last, together)) if *last == line => together.push((percent, name)),
            _ => lines.push((line, vec![(percent, name)])),
        }
    }
    let text = |together: &[(f64, &str)]| {
        let whole: Vec<String> = together.iter().map(|(percent, name)| format!("{name} {percent}")).collect();
        let whole = format!(" {}", whole.join(", "));
        if whole.chars().count() <= room {
            return whole;
        }
        let rest: String = together[1..].iter().map(|(percent, _)| format!(", {percent}")).collect();
        format!(" {} {}{rest}", together[0].1, together[0].0)
    };
    lines.iter().map(|(line, together)| (*line, text(together))).collect()
}

/// Draws a line at each watermark, and its name after it.
fn rule(labels: &[(u16, String)], look: &Look, plot: Rect, area: Rect, buffer: &mut Buffer) {
    for (line, label) in labels {
        let dash = if look.unicode { "┄" } else { "-" };
        for x in plot.x..plot.right() {
            buffer[(x, plot.y + line)].set_symbol(dash).set_style(look.dim());
        }
        let room = usize::from(area.right().saturating_sub(plot.right()));
        buffer.set_stringn(plot.right(), plot.y + line, label, room, Style::default());
    }
}

/// Draws the axis, with ticks at round times before now.
fn axis(step: usize, end: &str, look: &Look, area: Rect, buffer: &mut Buffer) {
    let width = usize::from(area.width);
    let label = |seconds: usize| {
        let tick = if look.unicode { "╵" } else { "'" };
        format!("{tick}-{}", ShortDuration(seconds as u32))
    };
    // A label has at most 7 characters, so that it reaches neither the next label nor the one at the end.
    let apart = APART.max(end.len() + 6);
    let interval = TICKS.into_iter().find(|seconds| seconds % step == 0 && seconds / step >= apart);
    let ticks = interval.into_iter().flat_map(|interval| (1..).map(move |n| n * interval));
    for seconds in ticks.take_while(|seconds| seconds / step < width) {
        let x = area.x + (width - 1 - seconds / step) as u16;
        buffer.set_stringn(x, area.y, label(seconds), usize::from(area.right() - x), look.dim());
    }
    if let Some(at) = width.checked_sub(end.len()) {
        buffer.set_stringn(area.x + at as u16, area.y, end, end.len(), look.dim());
    }
}

fn bar(percent: f64, marks: &PressureSettings, look: &Look, area: Rect, x: u16, buffer: &mut Buffer) {
    let colour = match percent {
        p if p >= marks.critical_percent => Color::Red,
        p if p >= marks.high_percent => Color::Yellow,
        _ => Color::Green,
    };
    let eighths = (percent.clamp(0.0, 100.0) / 100.0 * f64::from(area.height) * 8.0).round() as u16;
    // A table that holds anything is not shown as empty.
    let eighths = if percent > 0.0 { eighths.max(1) } else { eighths };
    for line in 0..area.height {
        let filled = eighths.saturating_sub(line * 8).min(8);
        let symbol = match (filled, look.unicode) {
            (0, _) => continue,
            (filled, true) => EIGHTHS[usize::from(filled)],
            (filled, false) if filled >= 4 || line == 0 => "#",
            (_, false) => continue,
        };
        buffer[(x, area.bottom() - 1 - line)].set_symbol(symbol).set_style(look.paint(colour));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(percents: &[f64], unicode: bool, width: u16, height: u16) -> Vec<String> {
        let mut usage = Usage::default();
        for (second, percent) in percents.iter().enumerate() {
            usage.add(second as u64 + 10, *percent);
        }
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        let look = Look { colour: false, unicode };
        draw(&usage, &PressureSettings::default(), "now", &look, area, &mut buffer);
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol().to_string()).collect::<String>();
        (0..height).map(|y| line(y).trim_end().to_string()).collect()
    }

    #[test]
    fn the_newest_is_at_the_right_between_the_watermarks() {
        let lines = drawn(&[10.0, 50.0, 96.0], true, 20, 11);
        assert_eq!(lines[0], "┄┄┄┄┄▅ critical 95");
        assert_eq!(lines[1], "┄┄┄┄┄█ high 80");
        assert_eq!(lines[2], "┄┄┄┄┄█ low 75");
        assert_eq!(lines[5], "    ██");
        assert_eq!(lines[9], "   ███");
        let plain = drawn(&[10.0, 50.0, 96.0], false, 20, 11);
        assert_eq!((plain[0].as_str(), plain[9].as_str()), ("-----# critical 95", "   ###"));
    }

    #[test]
    fn watermarks_of_one_line_are_told_apart() {
        let lines = drawn(&[10.0], false, 80, 7);
        assert!(lines[0].ends_with("- critical 95") && lines[1].ends_with("- high 80, low 75"), "{lines:#?}");
        let lines = drawn(&[10.0], false, 60, 4);
        assert!(lines[0].ends_with("- critical 95, high 80, low 75"), "{lines:#?}");
        let lines = drawn(&[10.0], false, 40, 3);
        assert!(lines[0].ends_with("- critical 95, 80, 75"), "{lines:#?}");
    }

    #[test]
    fn the_axis_has_round_times_that_do_not_run_into_each_other() {
        for (seconds, width, expected) in [
            (3, 80, "   '-1m           '-45s          '-30s          '-15s        now"),
            (100, 80, "   '-2m           '-1m30s        '-1m           '-30s        now"),
            (3600, 80, "   '-1h           '-45m          '-30m          '-15m        now"),
        ] {
            let lines = drawn(&vec![1.0; seconds], false, width, 7);
            assert!(lines[6].ends_with(expected), "{lines:#?}");
        }
        for seconds in (1..3600).step_by(97) {
            for width in 20..140 {
                let line = &drawn(&vec![1.0; seconds], false, width, 7)[6];
                let ticks: Vec<&str> = line.split_whitespace().collect();
                assert_eq!(ticks.last(), Some(&"now"), "{seconds} s in {width}: {line}");
                for tick in &ticks[..ticks.len() - 1] {
                    assert!(tick.starts_with("'-") && tick.ends_with(['s', 'm', 'h']), "{width}: {line}");
                }
            }
        }
    }

    #[test]
    fn a_tick_stands_under_its_second() {
        let mut percents = vec![0.0; 61];
        percents[30] = 100.0;
        let lines = drawn(&percents, true, 80, 7);
        let columns = |line: &str, c: char| line.chars().position(|at| at == c);
        let tick = lines[6].chars().collect::<Vec<_>>();
        let peak = columns(&lines[3], '█').expect("a peak");
        assert_eq!(tick[peak..peak + 5].iter().collect::<String>(), "╵-30s", "{lines:#?}");
    }

    #[test]
    fn what_does_not_fit_is_the_peak_of_several_seconds() {
        let mut percents = vec![10.0; 12];
        percents[3] = 90.0;
        let lines = drawn(&percents, true, 20, 11);
        // 12 seconds in 6 columns: the second of them holds the peak.
        assert!(lines[1].starts_with("┄█┄┄┄┄"), "{lines:#?}");
        let mut usage = Usage::default();
        for second in 0..10_000 {
            usage.add(second, 1.0);
        }
        assert_eq!(usage.samples.len(), MOST_SAMPLES);
        usage.add(50_000, 1.0);
        assert_eq!(usage.samples.len(), MOST_SAMPLES);
    }

    #[test]
    fn no_room_and_strange_values_are_no_panic() {
        for (width, height) in [(0, 0), (1, 1), (13, 2), (15, 1), (16, 2), (2, 9), (15, 9), (16, 4)] {
            let area = Rect::new(0, 0, width, height);
            let mut buffer = Buffer::empty(area);
            let mut usage = Usage::default();
            for (second, percent) in [(3, f64::NAN), (5, -1.0), (4, 1e300), (9, 0.0)] {
                usage.add(second, percent);
            }
            let look = Look { colour: true, unicode: true };
            draw(&usage, &PressureSettings::default(), "now", &look, area, &mut buffer);
        }
    }
}
