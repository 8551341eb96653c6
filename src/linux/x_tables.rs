//! Tables of legacy iptables, by name: listing their rules would load what is not there yet.

use super::root::Root;

const LISTS: [(&str, &str); 2] = [("iptables", "ip_tables_names"), ("ip6tables", "ip6_tables_names")];

/// `iptables-legacy table nat`, for each that the calling thread's namespace has. The lists are 0440: only root sees
/// them.
pub fn tables() -> Vec<String> {
    tables_at(&Root::default())
}

fn tables_at(root: &Root) -> Vec<String> {
    let lists = LISTS.iter().flat_map(|(program, list)| {
        let text = root.text(&format!("proc/thread-self/net/{list}"));
        let names: Vec<String> =
            text.split_whitespace().map(|name| format!("{program}-legacy table {name}")).collect();
        names
    });
    lists.collect()
}

#[cfg(test)]
mod tests {
    use super::super::root::fixture::Tree;
    use super::*;

    #[test]
    fn tables_are_named_with_their_program() {
        let tree = Tree::new(&[("proc/thread-self/net/ip_tables_names", "nat\nfilter\n")]);
        assert_eq!(tables_at(&tree.root()), ["iptables-legacy table nat", "iptables-legacy table filter"]);
        assert!(tables_at(&Tree::new(&[]).root()).is_empty());
    }
}
