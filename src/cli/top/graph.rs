//! Usage over time, with the watermarks, in so many columns and lines.

use std::collections::VecDeque;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

use super::Look;
use crate::model::PressureSettings;

/// An hour of samples, one a second.
const MOST_SAMPLES: usize = 3600;
/// Seconds that one column may stand for.
const STEPS: [usize; 8] = [1, 2, 5, 10, 15, 20, 30, 60];
/// For the names of the watermarks.
const LABELS: u16 = 14;
/// Eighths of a line.
const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Usage in percent, a sample a second; seconds without one are not known.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    samples: VecDeque<Option<f64>>,
    last_second: Option<u64>,
}

impl Usage {
    /// Usage at this second, counted from anywhere.
    pub fn add(&mut self, second: u64, percent: f64) {
        let missed = self.last_second.map_or(1, |last| second.saturating_sub(last));
        if missed == 0 {
            // Of two in a second the greater: a peak is what matters.
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

    /// The peaks of `width` columns, the newest last, and how many seconds each stands for.
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

/// Draws it; gives how many seconds it spans.
pub fn draw(usage: &Usage, marks: &PressureSettings, look: &Look, area: Rect, buffer: &mut Buffer) -> usize {
    let width = area.width.saturating_sub(LABELS);
    if area.height == 0 || width == 0 {
        return 0;
    }
    let (columns, step) = usage.columns(width.into());
    rule(marks, look, area, buffer);
    let from = width - columns.len() as u16;
    for (at, percent) in columns.iter().enumerate() {
        if let Some(percent) = percent {
            bar(*percent, marks, look, area, area.x + from + at as u16, buffer);
        }
    }
    columns.len() * step
}

/// The line that a share of the limit falls into, from the top.
fn line_of(percent: f64, height: u16) -> u16 {
    let from_below = (percent.clamp(0.0, 99.999) / 100.0 * f64::from(height)) as u16;
    height - 1 - from_below.min(height - 1)
}

/// The watermarks: a line each, named at its right end. Those that fall together share it.
fn rule(marks: &PressureSettings, look: &Look, area: Rect, buffer: &mut Buffer) {
    let named =
        [(marks.critical_percent, "critical"), (marks.high_percent, "high"), (marks.low_percent, "low")];
    let mut last: Option<(u16, u16)> = None;
    for (percent, name) in named {
        let line = line_of(percent, area.height);
        let label = format!(" {name} {percent}");
        match last {
            // The second of a line has no room for its name, only for its number.
            Some((before, end)) if before == line => {
                let room = usize::from(area.right().saturating_sub(end));
                let short = format!(" {percent}");
                buffer.set_stringn(end, area.y + line, short, room, Style::default());
            }
            _ => {
                let dash = if look.unicode { "┄" } else { "-" };
                for x in area.x..area.right() - LABELS {
                    buffer[(x, area.y + line)].set_symbol(dash).set_style(look.dim());
                }
                let x = area.right() - LABELS;
                let (end, _) = buffer.set_stringn(x, area.y + line, label, LABELS.into(), Style::default());
                last = Some((line, end));
            }
        }
    }
}

fn bar(percent: f64, marks: &PressureSettings, look: &Look, area: Rect, x: u16, buffer: &mut Buffer) {
    let colour = match percent {
        p if p >= marks.critical_percent => Color::Red,
        p if p >= marks.high_percent => Color::Yellow,
        _ => Color::Green,
    };
    let eighths = (percent.clamp(0.0, 100.0) / 100.0 * f64::from(area.height) * 8.0).round() as u16;
    // A table that holds anything is not empty.
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

    fn drawn(percents: &[f64], unicode: bool, width: u16) -> Vec<String> {
        let mut usage = Usage::default();
        for (second, percent) in percents.iter().enumerate() {
            usage.add(second as u64 + 10, *percent);
        }
        let area = Rect::new(0, 0, width, 10);
        let mut buffer = Buffer::empty(area);
        let look = Look { colour: false, unicode };
        draw(&usage, &PressureSettings::default(), &look, area, &mut buffer);
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol().to_string()).collect::<String>();
        (0..10).map(|y| line(y).trim_end().to_string()).collect()
    }

    #[test]
    fn the_newest_is_at_the_right_between_the_watermarks() {
        let lines = drawn(&[10.0, 50.0, 96.0], true, 20);
        assert_eq!(lines[0], "┄┄┄┄┄▅ critical 95");
        assert_eq!(lines[1], "┄┄┄┄┄█ high 80");
        assert_eq!(lines[2], "┄┄┄┄┄█ low 75");
        assert_eq!(lines[5], "    ██");
        assert_eq!(lines[9], "   ███");
        let plain = drawn(&[10.0, 50.0, 96.0], false, 20);
        assert_eq!((plain[0].as_str(), plain[9].as_str()), ("-----# critical 95", "   ###"));
    }

    #[test]
    fn what_does_not_fit_is_the_peak_of_several_seconds() {
        let mut percents = vec![10.0; 12];
        percents[3] = 90.0;
        let lines = drawn(&percents, true, 20);
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
        for (width, height) in [(0, 0), (1, 1), (13, 2), (15, 1), (16, 2)] {
            let area = Rect::new(0, 0, width, height);
            let mut buffer = Buffer::empty(area);
            let mut usage = Usage::default();
            for (second, percent) in [(3, f64::NAN), (5, -1.0), (4, 1e300), (9, 0.0)] {
                usage.add(second, percent);
            }
            let look = Look { colour: true, unicode: true };
            draw(&usage, &PressureSettings::default(), &look, area, &mut buffer);
        }
    }
}
