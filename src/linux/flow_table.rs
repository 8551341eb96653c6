//! Tells whether flows can be in a flowtable on this kernel, and whether they were. Asking loads no module.

use super::modules::Modules;
use super::root::Root;

/// Modules that are loaded by a flowtable or by a rule that puts flows into one: of nftables, and of tc's act_ct, whose
/// flowtables no ruleset shows. They stay when it is deleted.
const USED_BY: [&str; 5] =
    ["nft_flow_offload", "nf_flow_table_inet", "nf_flow_table_ipv4", "nf_flow_table_ipv6", "act_ct"];

/// Flowtables as the kernel's code tells of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlowTable {
    /// `nf_flow_table` is in the kernel: built in, or loaded by whatever needs it (a driver of a network card does).
    pub there: bool,
    /// A module is loaded that flowtables in use have loaded.
    pub used: bool,
}

/// Looks at the running kernel.
#[derive(Debug)]
pub struct FlowTableProbe {
    root: Root,
    built_in: bool,
}

impl FlowTableProbe {
    /// Of the running kernel, whose release is `release`. `sysctls`: it has `nf_flowtable_tcp_timeout`, as every kernel
    /// since 5.14 that has flowtables.
    pub fn new(release: &str, sysctls: bool) -> Self {
        let modules = Modules::running(release);
        Self::at(Root::default(), &modules, sysctls)
    }

    fn at(root: Root, modules: &Modules, sysctls: bool) -> Self {
        // A kernel that loads no modules has all that it will have, and its sysctls tell what that is.
        let built_in = match modules.loads() {
            true => modules.is_builtin("nf_flow_table"),
            false => sysctls,
        };
        FlowTableProbe { root, built_in }
    }

    /// As it is now: modules come and go. Six small system calls.
    pub fn look(&self) -> FlowTable {
        // A module that is built in has no `initstate`.
        let loaded = |name: &str| self.root.join(format!("sys/module/{name}/initstate")).exists();
        let used = USED_BY.iter().any(|name| loaded(name));
        FlowTable { there: self.built_in || used || loaded("nf_flow_table"), used }
    }
}

#[cfg(test)]
mod tests {
    use super::super::root::fixture::Tree;
    use super::*;

    fn look(files: &[(&str, &str)], sysctls: bool) -> (bool, bool) {
        let tree = Tree::new(files);
        let modules = Modules::at(tree.root(), "6.1.0");
        let FlowTable { there, used } = FlowTableProbe::at(tree.root(), &modules, sysctls).look();
        (there, used)
    }

    #[test]
    fn the_sysctls_of_a_kernel_with_modules_tell_nothing() {
        let stock = [("proc/modules", "nf_conntrack 172032 1 nf_nat, Live 0x0\n")];
        assert_eq!(look(&stock, true), (false, false));
        assert_eq!(look(&stock, false), (false, false));
    }

    #[test]
    fn a_loaded_module_makes_it_possible_and_one_that_flowtables_load_tells_that_they_were_used() {
        let modules = ("proc/modules", "nf_flow_table 61440 1 mlx5_core, Live 0x0\n");
        let table = ("sys/module/nf_flow_table/initstate", "live\n");
        assert_eq!(look(&[modules, table], true), (true, false));
        for name in USED_BY {
            let path = format!("sys/module/{name}/initstate");
            assert_eq!(look(&[modules, table, (&path, "live\n")], true), (true, true), "{name}");
        }
    }

    #[test]
    fn what_is_built_in_is_there_and_says_nothing_of_its_use() {
        let builtin = (
            "lib/modules/6.1.0/modules.builtin",
            "kernel/net/netfilter/nf_flow_table.ko\nkernel/net/sched/act_ct.ko\n",
        );
        assert_eq!(look(&[("proc/modules", "x 1 0 - Live 0x0\n"), builtin], true), (true, false));
        assert_eq!(look(&[], true), (true, false), "without modules, by its sysctls");
        assert_eq!(look(&[], false), (false, false), "without modules and without them");
    }
}
