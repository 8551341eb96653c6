//! What stands in the three files. No date, and nothing of the moment: the same values give the same bytes.

use std::fmt::Write;

use super::today::Today;
use crate::model::{PersistedValue, TIMEOUTS};

/// How a file of ours begins; what does not is somebody else's.
pub(super) const MARK: &str = "# Written by `ctctl persist`.";
const HEAD: &str =
    " It writes this file again when values change,\n# and keeps the file before beside it (.bak).\n";

/// Read first.
pub(super) const MODULES_LOAD: &str = "etc/modules-load.d/ctctl.conf";
/// Read when the module is loaded.
pub(super) const MODPROBE: &str = "etc/modprobe.d/ctctl.conf";
/// Read after both.
pub(super) const SYSCTL: &str = "etc/sysctl.d/90-ctctl.conf";

/// Path and text of each file that there is something to say in.
pub(super) fn files(values: &[PersistedValue], today: &Today) -> Vec<(&'static str, String)> {
    let mut files = Vec::new();
    if today.host {
        let about =
            "# The table's module, so that sysctl.d finds its values. Loading it tracks nothing by itself.\n";
        files.push((MODULES_LOAD, format!("{MARK}{HEAD}{about}nf_conntrack\n")));
    }
    // Nobody reads modprobe.d for what is part of the kernel: there the sysctl says it.
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
