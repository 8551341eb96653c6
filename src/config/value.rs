//! A value of the file, with its key and its place, read as the type that its key takes.

use std::ops::RangeInclusive;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, nearest, shown};
use crate::core::model::{Mark, MarkFault, SPAN_HINT, network, span_seconds};

pub(super) type Read<T> = Result<T, Fault>;

/// A value under a key, or an element of a list under it.
pub(super) struct Value<'t, 'i> {
    /// Key as written, without quotes.
    pub(super) key: &'t str,
    /// Byte at which the key begins.
    pub(super) key_at: usize,
    value: &'t Spanned<DeValue<'i>>,
}

impl<'t, 'i> Value<'t, 'i> {
    /// Returns the entries of a table in the order of the file, so that the first fault in it is the one shown.
    pub(super) fn entries(table: &'t DeTable<'i>) -> Vec<Value<'t, 'i>> {
        let value = |(key, value): (&'t Spanned<_>, _)| {
            let name: &std::borrow::Cow<'i, str> = key.get_ref();
            Value { key: name, key_at: key.span().start, value }
        };
        let mut entries: Vec<_> = table.iter().map(value).collect();
        entries.sort_by_key(|entry| entry.key_at);
        entries
    }

    pub(super) fn content(&self) -> &'t DeValue<'i> {
        self.value.get_ref()
    }

    /// Returns a fault of the value itself.
    pub(super) fn fault(&self, what: impl Into<String>) -> Fault {
        Fault::new(self.at(), what)
    }

    fn at(&self) -> usize {
        self.value.span().start
    }

    /// Returns the fault of a value that is not `what`, which its key takes.
    pub(super) fn takes(&self, what: &str) -> Fault {
        let found = match self.content() {
            DeValue::String(text) => format!("\"{}\"", shown(text)),
            DeValue::Integer(number) => shown(&number.to_string()),
            DeValue::Float(number) => shown(number.as_str()),
            DeValue::Boolean(truth) => truth.to_string(),
            DeValue::Datetime(_) => "a date".into(),
            DeValue::Array(_) => "a list".into(),
            DeValue::Table(_) => "a table".into(),
        };
        Fault::new(self.at(), format!("`{}` takes {what}, not {found}", shown(self.key)))
    }

    pub(super) fn truth(&self) -> Read<bool> {
        self.content().as_bool().ok_or_else(|| self.takes("true or false"))
    }

    pub(super) fn text(&self, what: &str) -> Read<&'t str> {
        self.content().as_str().ok_or_else(|| self.takes(what))
    }

    /// Reads a whole number inside `range`; no number overflows, because the range is checked at 128 bits.
    pub(super) fn whole<T: TryFrom<u64>>(&self, range: RangeInclusive<u64>) -> Read<T> {
        let number = self.content().as_integer();
        number
            .and_then(|n| i128::from_str_radix(n.as_str(), n.radix()).ok())
            .and_then(|n| u64::try_from(n).ok())
            .filter(|n| range.contains(n))
            .and_then(|n| T::try_from(n).ok())
            .ok_or_else(|| self.takes(&format!("a whole number from {} to {}", range.start(), range.end())))
    }

    /// Reads a finite number for which `fits` holds.
    pub(super) fn number(&self, what: &str, fits: impl Fn(f64) -> bool) -> Read<f64> {
        let number = match self.content() {
            DeValue::Integer(n) => i128::from_str_radix(n.as_str(), n.radix()).ok().map(|n| n as f64),
            DeValue::Float(n) => n.as_str().parse().ok(),
            _ => None,
        };
        number.filter(|n| n.is_finite() && fits(*n)).ok_or_else(|| self.takes(what))
    }

    /// Reads a span of time in the unit of its key, inside `range`, without a fraction.
    pub(super) fn whole_span<T: TryFrom<u64>>(&self, range: RangeInclusive<u64>) -> Read<T> {
        if !self.content().is_str() {
            return self.whole(range);
        }
        let what = format!("a whole number from {} to {}", range.start(), range.end());
        let span = self.span(&what, |n| n.fract().abs() < 1e-6 && range.contains(&(n as u64)))?;
        T::try_from(span as u64).map_err(|_| self.takes(&what))
    }

    /// Reads a span of time in the unit of its key, for which `fits` holds: a number, or a text with units.
    pub(super) fn span(&self, what: &str, fits: impl Fn(f64) -> bool) -> Read<f64> {
        let Some(text) = self.content().as_str() else { return self.number(what, fits) };
        let unit_seconds = if self.key.ends_with("_ms") { 0.001 } else { 1.0 };
        // The span is rounded, so that a whole number of milliseconds in a text stays whole: a binary fraction may miss
        // it.
        let seconds = span_seconds(text, unit_seconds).map_err(|fault| {
            self.takes(&format!("{what}, or a duration")).hint(format!("{fault}: {SPAN_HINT}"))
        })?;
        let span = (seconds / unit_seconds * 1e6).round() / 1e6;
        if fits(span) { Ok(span) } else { Err(self.takes(what)) }
    }

    /// Reads one of a few words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Read<T> {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let what = format!("\"{}\"", known.join("\" or \""));
        let found = self.text(&what)?;
        match words.iter().find(|(word, _)| *word == found) {
            Some((_, value)) => Ok(*value),
            None => {
                let fault = self.takes(&what);
                let meant = nearest(found, &known);
                Err(match meant {
                    Some(word) => fault.hint(format!("did you mean \"{word}\"?")),
                    None => fault,
                })
            }
        }
    }

    /// Reads a list, each element by `element`.
    pub(super) fn list<T>(&self, what: &str, element: impl Fn(&Self) -> Read<T>) -> Read<Vec<T>> {
        let elements = self.elements().ok_or_else(|| self.takes(what).hint("a list is written [a, b]"))?;
        elements.iter().map(element).collect()
    }

    /// Returns the elements of a list, `None` if the value is no list.
    pub(super) fn elements(&self) -> Option<Vec<Self>> {
        let array = self.content().as_array()?;
        Some(array.iter().map(|value| Value { key: self.key, key_at: self.key_at, value }).collect())
    }

    /// Reads a network in CIDR form, or a host. Host bits are cleared, as iptables and conntrack do.
    pub(super) fn network(&self) -> Read<IpNet> {
        const WHAT: &str = "addresses and networks such as \"10.0.0.1\" and \"fd00::/8\"";
        network(self.text(WHAT)?).ok_or_else(|| self.takes(WHAT))
    }

    /// Reads a mark, `VALUE` or `VALUE/MASK`, in hexadecimal or decimal.
    pub(super) fn mark(&self) -> Read<Mark> {
        const WHAT: &str = "marks such as \"0x1/0xff\" and \"7\"";
        if self.content().is_integer() {
            return Ok(Mark { value: self.whole(0..=u32::MAX.into())?, mask: u32::MAX });
        }
        Mark::parse(self.text(WHAT)?).map_err(|fault| match fault {
            MarkFault::NotAMark => self.takes(WHAT),
            MarkFault::NoMask => self.takes("marks with a mask").hint("under the mask 0 every entry matches"),
            MarkFault::Outside(meant) => self
                .takes("marks inside their mask")
                .hint(format!("under that mask it would mean {:#x}/{:#x}", meant.value, meant.mask)),
        })
    }
}
