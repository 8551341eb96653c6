//! Texts of the three files. They hold no date and nothing else of the moment: the same values give the same bytes.

use std::fmt::Write;

use super::today::Today;
use crate::core::model::{PersistedValue, TIMEOUTS};

/// First line of every file that ctctl writes; a file without it belongs to another program.
pub(super) const MARK: &str = "# Written by `ctctl persist`.";
const HEAD: &str =
    " It writes this file again when values change,\n# and keeps the file before beside it (.bak).\n";

/// File that is read first: it loads the module.
pub(super) const MODULES_LOAD: &str = "etc/modules-load.d/ctctl.conf";
/// File that is read when the module is loaded.
pub(super) const MODPROBE: &str = "etc/modprobe.d/ctctl.conf";
/// File that is read after the other two.
pub(super) const SYSCTL: &str = "etc/sysctl.d/90-ctctl.conf";

/// Returns path and text of each file that is needed.
pub(super) fn files(values: &[PersistedValue], today: &Today) -> Vec<(&'static str, String)> {
    let mut files = Vec::new();
    if today.host {
        let about =
            "# The table's module, so that sysctl.d finds its values. Loading it tracks nothing by itself.\n";
        files.push((MODULES_LOAD, format!("{MARK}{HEAD}{about}nf_conntrack\n")));
    }
    // modprobe.d is not read for a module that is built in: there the sysctl sets the buckets.
    if let Some(buckets) = values.iter().find(|row| row.name == "buckets").filter(|_| !today.built_in) {
        let about = "# Buckets of the table: sized while it is empty, nobody waits for it.\n";
        let line = format!("options nf_conntrack hashsize={}\n", buckets.value);
        files.push((MODPROBE, format!("{MARK}{HEAD}{about}{line}")));
    }
    files.push((SYSCTL, sysctl(values, today)));
    files
}

fn sysctl(values: &[PersistedValue], today: &Today) -> String {
    let mut text = format!("{MARK}{HEAD}");
    for row in values.iter().filter(|row| row.name != "buckets" || today.built_in) {
        if let Some(timeout) = TIMEOUTS.iter().find(|timeout| timeout.name == row.name) {
            let _ = writeln!(text, "# {} s by the kernel's own.", timeout.kernel_default_seconds);
        }
        let _ = writeln!(text, "{} = {}", today.key(&row.name), row.value);
    }
    text
}
