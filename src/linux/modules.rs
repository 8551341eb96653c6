//! Modules that are there. Asking loads none.

use super::image::Image;
use super::root::Root;

/// Modules of the running kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Modules {
    loaded: Vec<String>,
    builtin: Vec<String>,
    /// The kernel loads modules at all (/proc/modules is there).
    loads: bool,
    present: Vec<String>,
}

impl Modules {
    /// Of the running kernel, whose release is `release`.
    pub fn running(release: &str) -> Modules {
        Self::at(Root::default(), release)
    }

    pub(super) fn at(root: Root, release: &str) -> Modules {
        let loaded = std::fs::read_to_string(root.join("proc/modules"));
        let image = Image::new(root.clone());
        let word = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
        let sys = std::fs::read_dir(root.join("sys/module")).into_iter().flatten().flatten();
        Modules {
            loads: loaded.is_ok(),
            loaded: loaded.unwrap_or_default().lines().map(word).collect(),
            builtin: builtin(&image, release),
            present: sys.filter_map(|entry| entry.file_name().into_string().ok()).collect(),
        }
    }

    /// True if a module's code is in the kernel now, so that asking for what it offers loads nothing. A kernel
    /// that loads no modules cannot load one either.
    pub fn is_there(&self, name: &str) -> bool {
        let among = |names: &[String]| names.iter().any(|n| n == name);
        !self.loads || among(&self.loaded) || among(&self.builtin) || among(&self.present)
    }

    /// True if the kernel has it built in, as far as can be told.
    pub fn is_builtin(&self, name: &str) -> bool {
        let among = |names: &[String]| names.iter().any(|n| n == name);
        !self.loads || among(&self.builtin) || (among(&self.present) && !among(&self.loaded))
    }

    /// True if the kernel loads modules at all.
    pub(super) fn loads(&self) -> bool {
        self.loads
    }

    /// Those that are loaded now.
    pub fn loaded(&self) -> &[String] {
        &self.loaded
    }
}

/// The questions that the kernel may be asked. A question to what a module offers loads that module (`request_module`
/// in `nfnetlink_rcv_msg`, `nfnetlink_bind` and `sock_load_diag_module`), unless it is there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Asking {
    /// Everything: the kernel loads what it lacks.
    #[default]
    Anything,
    /// Questions that these modules answer, for a caller that has to leave the kernel as it is.
    Only(Modules),
}

impl Asking {
    /// True if a question to this module may be put.
    pub fn may(&self, module: &str) -> bool {
        match self {
            Asking::Anything => true,
            Asking::Only(modules) => modules.is_there(module),
        }
    }
}

/// Releases below /lib/modules.
pub fn releases(image: &Image) -> Vec<String> {
    let mut found = image.list("lib/modules");
    found.extend(image.list("usr/lib/modules"));
    found.sort();
    found.dedup();
    found
}

/// Modules that the kernel of a release has built in (`modules.builtin`).
pub fn builtin(image: &Image, release: &str) -> Vec<String> {
    let Some(text) = image.read(&format!("lib/modules/{release}/modules.builtin")) else { return Vec::new() };
    let name = |line: &str| {
        let file = line.trim().rsplit('/').next()?;
        Some(file.strip_suffix(".ko")?.replace('-', "_"))
    };
    text.text.lines().filter_map(name).collect()
}

/// Of a file of dependencies: depmod writes a megabyte for the kernel of a distribution.
const DEPENDENCIES_BYTES: u64 = 1 << 24;

/// Modules of a release that need another, itself among them (`modules.dep`, where depmod(8) names all that a module
/// needs); nothing where the file is not there, or does not have the module.
pub fn dependents(image: &Image, release: &str, module: &str) -> Option<Vec<String>> {
    let (text, _) = image.tail(&format!("lib/modules/{release}/modules.dep"), DEPENDENCIES_BYTES)?;
    let name = |path: &str| {
        let file = path.rsplit('/').next().unwrap_or(path);
        file.split(".ko").next().unwrap_or(file).replace('-', "_")
    };
    let is_it = |path: &str| name(path) == module;
    let needing = text.text.lines().filter_map(|line| line.split_once(':'));
    let needing = needing.filter(|(own, needs)| is_it(own) || needs.split_whitespace().any(is_it));
    let found: Vec<String> = needing.map(|(own, _)| name(own)).collect();
    found.iter().any(|name| name == module).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::super::root::fixture::Tree;
    use super::*;

    #[test]
    fn a_module_is_there_when_it_is_loaded_or_built_in() {
        let tree = Tree::new(&[
            ("proc/modules", "nf_conntrack 172032 1 nf_nat, Live 0x0\n"),
            ("lib/modules/6.1.0/modules.builtin", "kernel/net/netfilter/nf_tables.ko\nkernel/a/x-b.ko\n"),
            ("sys/module/nf_conntrack/refcnt", "1"),
        ]);
        let modules = Modules::at(tree.root(), "6.1.0");
        assert!(modules.is_there("nf_conntrack") && !modules.is_builtin("nf_conntrack"));
        assert!(modules.is_there("nf_tables") && modules.is_builtin("nf_tables") && modules.is_there("x_b"));
        assert!(!modules.is_there("nf_conntrack_netlink"));
        assert_eq!(releases(&Image::new(tree.root())), ["6.1.0"]);
    }

    #[test]
    fn dependents_are_those_of_the_file() {
        let dep = "kernel/a/nf_conntrack.ko.xz: kernel/a/nf_defrag_ipv4.ko.xz\nkernel/b/ip_vs.ko.xz: \
                   kernel/a/nf_conntrack.ko.xz\nkernel/b/ip_vs-rr.ko.xz: kernel/b/ip_vs.ko.xz kernel/a/nf_conntrack.ko.xz\n\
                   kernel/c/nf_conntrack_bridge_x.ko.xz:\n";
        let tree = Tree::new(&[
            ("lib/modules/6.1.0/modules.dep", dep),
            ("lib/modules/6.2.0/modules.dep", "a.ko:\n"),
        ]);
        let image = Image::new(tree.root());
        let of = |release: &str| dependents(&image, release, "nf_conntrack");
        assert_eq!(of("6.1.0").expect("it says"), ["nf_conntrack", "ip_vs", "ip_vs_rr"]);
        assert_eq!((of("6.2.0"), of("6.3.0")), (None, None));
    }

    #[test]
    fn what_would_load_a_module_is_not_asked() {
        let tree = Tree::new(&[("proc/modules", "nf_tables 311296 0 - Live 0x0\n")]);
        let asking = Asking::Only(Modules::at(tree.root(), "6.1.0"));
        assert!(asking.may("nf_tables") && !asking.may("nfnetlink_cttimeout"));
        assert!(Asking::default().may("nfnetlink_cttimeout"));
    }

    #[test]
    fn a_kernel_that_loads_none_has_all_that_it_will_have() {
        let modules = Modules::at(Tree::new(&[]).root(), "6.18");
        assert!(modules.is_there("nf_tables") && modules.is_builtin("nf_conntrack"));
    }
}
