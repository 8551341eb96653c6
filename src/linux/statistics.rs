//! The table's per-CPU statistics as text: reading them needs no right and loads nothing, where netlink may do both.

use super::root::Root;
use crate::core::model::Statistics;

/// Sums over CPUs in the calling thread's namespace; `None` on kernels without NF_CONNTRACK_PROCFS.
pub fn read() -> Option<Statistics> {
    parse(&Root::default().text("proc/thread-self/net/stat/nf_conntrack"))
}

/// A line of names, then one of hexadecimal numbers for each CPU (`ct_cpu_seq_show`). Names have moved between
/// versions: `clashres` stands where `searched` was.
fn parse(text: &str) -> Option<Statistics> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next()?.split_whitespace().collect();
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    let column = |name: &str| -> Option<u64> {
        let at = names.iter().position(|n| *n == name)?;
        let cells = rows.iter().map(|row| u64::from_str_radix(row.get(at)?, 16).ok());
        cells.sum()
    };
    Some(Statistics {
        found: column("found")?,
        insert_failed: column("insert_failed")?,
        drop: column("drop")?,
        early_drop: column("early_drop")?,
        clash_resolve: column("clashres").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_their_names_and_summed() {
        let new = "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop x\n\
                   00000001  00000002 0000000a 0 0 0 0 0 0 00000001 00000002 00000003 0\n\
                   00000001  00000000 00000001 0 0 0 0 0 0 00000001 00000000 00000001 0\n";
        let expected = Statistics { found: 11, insert_failed: 2, drop: 2, early_drop: 4, clash_resolve: 2 };
        assert_eq!(parse(new), Some(expected));
        let old = "entries  searched found insert_failed drop early_drop\n1 7 3 1 2 ff\n";
        let expected = Statistics { found: 3, insert_failed: 1, drop: 2, early_drop: 255, clash_resolve: 0 };
        assert_eq!(parse(old), Some(expected));
        assert_eq!((parse(""), parse("entries found\n1 2\n"), parse("found drop\n1\n")), (None, None, None));
    }
}
