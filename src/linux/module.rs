//! Kernel modules that are part of the running kernel.

use super::root::Root;

/// True if a module is built into the running kernel: it shows its parameters, and nothing of it was loaded.
pub fn is_built_in(root: &Root, name: &str) -> bool {
    let loaded = root.text("proc/modules").lines().any(|line| line.split(' ').next() == Some(name));
    !loaded && root.join("sys/module").join(name).exists()
}

#[cfg(test)]
mod tests {
    use super::super::root::fixture::Tree;
    use super::*;

    #[test]
    fn what_is_there_and_was_not_loaded_is_built_in() {
        let tree = Tree::new(&[
            ("sys/module/nf_conntrack/parameters/hashsize", "65536\n"),
            ("proc/modules", "nf_conntrack_netlink 57344 0 - Live 0x0\n"),
        ]);
        assert!(is_built_in(&tree.root(), "nf_conntrack"));
        assert!(!is_built_in(&tree.root(), "nf_nat"));
        tree.put("proc/modules", "nf_conntrack 180224 1 nf_conntrack_netlink, Live 0x0\n");
        assert!(!is_built_in(&tree.root(), "nf_conntrack"));
    }
}
