//! The generated configuration file, which shows everything and changes nothing: every key, commented, with its
//! default.

use std::fmt::Write;

use super::tables::TABLES;
use crate::core::model::{Settings, TIMEOUTS};

const HEAD: &str = "\
# ctctl: every key with its default, and on what that stands. Remove the `#` before a key to change it.
# An unknown key is an error with its line. `ctctl reload` or SIGHUP reads the file again; a bad one changes nothing.
# A time is a number in the unit that its key ends with, or a text with units (d, h, m, s, ms): 5400, \"90m\" and
# \"1h30m\" are the same, as for the options of commands.
";

/// Returns the text of the file. It gives exactly the defaults, both as it is and with every `# ` before a key removed.
pub fn generated() -> String {
    let settings = Settings::default();
    let mut text = HEAD.to_string();
    for table in TABLES {
        let _ = write!(text, "\n# {}\n[{}]\n", table.about, table.name);
        for key in table.keys {
            entry(&mut text, key.name, &(key.show)(&settings), key.about);
        }
        if table.name != "timeouts" {
            continue;
        }
        for timeout in TIMEOUTS {
            if let Some(key) = timeout.floor_key {
                let kernel = timeout.kernel_default_seconds;
                let about = format!(
                    "nf_conntrack_{}, {kernel} s by the kernel's own.\nFloor: {}.",
                    timeout.name, timeout.source
                );
                entry(&mut text, key, &timeout.floor_seconds.to_string(), &about);
            }
        }
    }
    text
}

fn entry(text: &mut String, key: &str, value: &str, about: &str) {
    text.push('\n');
    for line in about.lines() {
        let _ = writeln!(text, "## {line}");
    }
    let _ = writeln!(text, "# {key} = {value}");
}
