//! Tables of names.

/// Pairs of beginnings of names, ours and theirs. A beginning that ends in no dot is a whole name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names(pub &'static [(&'static str, &'static str)]);

impl Names {
    /// Our name of theirs, where they have it.
    pub(super) fn ours(self, name: &str) -> Option<String> {
        let change = |&(ours, theirs): &_| replaced(name, theirs, ours);
        self.0.iter().find_map(change)
    }

    /// Their name of ours, where they have it.
    pub(super) fn theirs(self, name: &str) -> Option<String> {
        let change = |&(ours, theirs): &_| replaced(name, ours, theirs);
        self.0.iter().find_map(change)
    }
}

fn replaced(name: &str, from: &str, to: &str) -> Option<String> {
    let rest = name.strip_prefix(from)?;
    let is_whole = rest.is_empty() || from.is_empty() || from.ends_with('.');
    is_whole.then(|| format!("{to}{rest}"))
}
