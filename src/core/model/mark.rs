//! A mark under a mask, as the configuration and the command line write it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A mark under a mask.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// Value that is wanted, within the mask.
    pub value: u32,
    /// Bits that count.
    pub mask: u32,
}

/// Reason for which a text is no mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MarkFault {
    /// Neither `VALUE` nor `VALUE/MASK`.
    NotAMark,
    /// Under the mask 0 every entry matches.
    NoMask,
    /// The value has bits that the mask does not let through: no entry matches. What it would mean without them.
    Outside(Mark),
}

impl Mark {
    /// True if `mark` has the wanted value under the mask.
    pub fn matches(self, mark: u32) -> bool {
        mark & self.mask == self.value & self.mask
    }

    /// `VALUE` or `VALUE/MASK`, each in decimal or, with `0x`, in hexadecimal.
    ///
    /// # Errors
    /// Anything else, and a mark that every entry or none can match.
    pub fn parse(text: &str) -> Result<Mark, MarkFault> {
        let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
        let (Some(value), Some(mask)) = (bits(value), bits(mask)) else { return Err(MarkFault::NotAMark) };
        match mask {
            0 => Err(MarkFault::NoMask),
            mask if value & !mask != 0 => Err(MarkFault::Outside(Mark { value: value & mask, mask })),
            mask => Ok(Mark { value, mask }),
        }
    }
}

fn bits(text: &str) -> Option<u32> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = hex.map_or((text, 10), |digits| (digits, 16));
    // from_str_radix takes a sign; a mark has none.
    digits.starts_with(|c: char| c.is_digit(radix)).then(|| u32::from_str_radix(digits, radix).ok())?
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mask {
            u32::MAX => write!(f, "{:#x}", self.value),
            mask => write!(f, "{:#x}/{mask:#x}", self.value),
        }
    }
}
